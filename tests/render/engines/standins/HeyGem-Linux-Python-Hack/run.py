"""Stands in for HeyGem-Linux-Python-Hack at 11c01e9: no argument is read."""

import standin

if __name__ == "__main__":
    standin.heygem("example/audio.wav", "example/video.mp4")
