"""Media files: asking ffprobe, running ffmpeg, telling whole files from half-copied ones. Light: no numpy."""
