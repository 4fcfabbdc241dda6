"""Stands in for the forks of HeyGem-Linux-Python-Hack that take paths."""

import argparse

import standin

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--audio_path", default="example/audio.wav")
    parser.add_argument("--video_path", default="example/video.mp4")
    given = parser.parse_args()
    standin.heygem(given.audio_path, given.video_path)
