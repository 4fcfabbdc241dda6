"""Audio-visual offset and the check of the finished file."""
