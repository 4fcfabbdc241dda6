"""heygemd: lip-syncs a presenter's video to a new voice recording."""

__version__ = "0.1.0"
