"""Media files: ffprobe, ffmpeg, a sandbox for what they read, and whether a file is complete. Light: no numpy."""
