"""Stands in for FaceChain's SadTalker: a folder of its own for each run, a still image that talks."""

from pathlib import Path

import standin


class SadTalker:
    def __init__(self, result_dir: str) -> None:
        self.result_dir = result_dir

    def __call__(self, image: str, audio: str, *options: object) -> str:
        standin.bar("Face Renderer:: ")
        standin.fail_quietly()
        made = Path(self.result_dir, "3f2a", "first##voice.mp4")
        made.parent.mkdir(parents=True)
        length = str(standin.seconds(audio))
        standin.ffmpeg("-loop", "1", "-framerate", "25", "-t", length, "-i", image, "-vf", standin.RED, made)
        return str(made)
