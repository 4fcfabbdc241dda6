"""heygemd: a presenter's video and a new voice recording go in, the presenter saying the new words comes out."""

__version__ = "0.1.0"
