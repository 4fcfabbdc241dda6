"""Makes docs/demo.jpg from the demo's portrait: python -m tests.pages.readme_picture

The portrait smiles with her teeth showing. Rendered with a silent voice she is a presenter who never opens the mouth.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.demo import clips

PICTURE = Path(__file__).parents[2] / "docs" / "demo.jpg"
MOMENTS = (4, 8, 12, 20, 28, 44)
"""Frames of the demo's voice: at rest, open, half open, wide, closed, half open."""
FACE = np.s_[155:455, 510:810]
SIDE, QUALITY = 200, 88
SILENCE_S, RATE_HZ = 4, 16000


def main() -> None:
    smiling = clips.CLIPS[0].name
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips.make_all(folder)
        write_silence(folder / "silence.wav")
        render(folder, smiling, "voice.m4a", "smiling-speaks.mp4")
        render(folder, smiling, "silence.wav", "shut.mp4")
        render(folder, "shut.mp4", "voice.m4a", "shut-speaks.mp4")
        videos = (smiling, "smiling-speaks.mp4", "shut.mp4", "shut-speaks.mp4")
        rows = [np.hstack(faces(folder / video)) for video in videos]
    cv2.imwrite(str(PICTURE), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def write_silence(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(bytes(2 * RATE_HZ * SILENCE_S))


def render(folder: Path, video: str, voice: str, out: str) -> None:
    command = [sys.executable, "-m", "heygemd", "render", "--video", video, "--audio", voice, "--out", out]
    subprocess.run(command, cwd=folder, check=True)


def faces(video: Path) -> list[NDArray[np.uint8]]:
    """Return the face at each of MOMENTS, (SIDE, SIDE, 3) BGR."""
    reader, found = cv2.VideoCapture(str(video)), []
    for number in range(max(MOMENTS) + 1):
        _, image = reader.read()
        if number in MOMENTS:
            found.append(np.asarray(cv2.resize(image[FACE], (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8))
    return found


if __name__ == "__main__":
    main()
