"""Subtitles that lie beside the voice: read strictly, written anew as plain text, one track for each file."""
