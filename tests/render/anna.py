"""A video file of a real face in motion: the portrait that comes with scikit-image (NASA, public domain)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from .. import media_factory

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "18")


def film(
    path: Path,
    seconds: float = 2,
    size: int = 320,
    rate: str = "25",
    gap: tuple[float, float] = (0, 0),
    codec: Sequence[str] = X264,
) -> Path:
    """The head sways and nods; between the seconds of `gap` the picture is black, so that there is no face."""
    still = path.with_suffix(".still.png")
    cv2.imwrite(str(still), np.ascontiguousarray(data.astronaut()[..., ::-1]))
    sway = "crop=400:400:x='56+20*sin(1.3*t)':y='30+10*sin(2*t)'"
    black = f"drawbox=t=fill:color=black:enable='between(t,{gap[0]},{gap[1]})'" if gap[1] else "null"
    filters = f"{sway},scale={size}:{size},{black},format=yuv420p"
    media_factory.ffmpeg(
        "-loop", "1", "-framerate", rate, "-i", still, "-t", str(seconds), "-vf", filters, *codec, path
    )  # fmt: skip
    still.unlink()
    return path


def pair(path: Path, seconds: float = 2, size: int = 240) -> Path:
    """Two faces side by side, the right one a mirror image that moves later."""
    one = film(path.with_suffix(".one.mp4"), seconds + 0.4, size)
    moved = f"[0]trim=end={seconds}[a];[0]hflip,trim=start=0.4,setpts=PTS-STARTPTS[b];[a][b]hstack"
    media_factory.ffmpeg("-i", one, "-filter_complex", moved, "-t", str(seconds), *X264, path)
    one.unlink()
    return path
