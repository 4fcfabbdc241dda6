"""Which job is next, how its videos are rendered, what becomes of failures."""
