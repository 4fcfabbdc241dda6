"""Generates short presenter clips from one public-domain portrait, with slow sub-pixel head motion and zoom.

Also cuts the recorded voice into what they are to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from ..media import ffmpeg, process

Image = NDArray[np.uint8]
"""(height, width, 3), uint8, BGR."""

UPSCALE = 4
"""The portrait is enlarged once in high quality; frames are sampled from the enlarged image."""
FACE_CENTRE = (222.0, 128.0)
"""A point between the eyes and the mouth, in pixels of the original portrait (x, y)."""
CLIP_BYTES = 64 << 20
CRF = 16
CUT_TIMEOUT_S = 60


@dataclass(frozen=True)
class Clip:
    """One clip.

    view_height   height of the visible part of the portrait in its pixels (of 512): smaller is closer
    head_height   vertical position of the face's centre in the frame, 0 (top) to 1 (bottom)
    """

    name: str
    width: int
    height: int
    fps: Fraction
    seconds: float
    view_height: float
    head_height: float = 0.42
    mirrored: bool = False


CLIPS = (
    Clip("astronaut-wide.mp4", 1280, 720, Fraction(25), 4.0, 300),
    Clip("astronaut-portrait.mkv", 720, 1280, Fraction(24), 3.0, 480, head_height=0.3),
)
PHOTO = Clip("astronaut-photo.jpg", 720, 720, Fraction(25), 0.04, 300)
"""One frame, as a photograph."""
NO_FACE = Clip("no-face.mp4", 640, 360, Fraction(25), 2.0, 0)
"""A video without a face: it shows how a failed video is explained while the others are delivered."""

PAIR = Clip("two-people.mov", 960, 540, Fraction(30000, 1001), 2.5, 380)
"""The portrait and its mirror image, side by side."""
VOICE = Path(__file__).with_name("voice.m4a")
GREETING_S, SENTENCE_S, ANSWER_S = 1.4, 5.4, 7.6
"""Where in the recording its greeting, its first sentence and a part of the second end: all of it takes too long."""


def make_all(folder: Path) -> None:
    """Write all clips of one presenter, the photograph and the voice into `folder`."""
    image = portrait()
    for clip in CLIPS:
        write(clip, frames(clip, image), folder)
    cv2.imwrite(str(folder / PHOTO.name), next(frames(PHOTO, image)))
    (folder / "job.toml").write_text(f'photos = ["{PHOTO.name}"]\n')  # beside videos it must be asked for
    write(NO_FACE, _gradient(NO_FACE), folder)
    _cut_voice(folder / "voice.m4a", 0, SENTENCE_S)


def make_conversation(folder: Path) -> None:
    """Write the clip of two people, their voices and job.toml, which says who speaks when, into `folder`."""
    image = portrait()
    half = replace(PAIR, width=PAIR.width // 2)
    sides = zip(frames(half, image), frames(replace(half, mirrored=True), image), strict=True)
    write(PAIR, (np.hstack(both) for both in sides), folder)
    _cut_voice(folder / "first.m4a", 0, GREETING_S)
    _cut_voice(folder / "second.m4a", SENTENCE_S, ANSWER_S)
    speakers = (("first.m4a", "left", 0.0), ("second.m4a", "right", GREETING_S))
    lines = [f'[[speakers]]\nvoice = "{voice}"\nface = "{face}"\nat_s = {at_s}\n' for voice, face, at_s in speakers]
    (folder / "job.toml").write_text("\n".join(lines))


def _cut_voice(target: Path, start_s: float, end_s: float) -> None:
    part = ffmpeg.media(VOICE, ss=start_s, t=end_s - start_s)["a"]
    output = ffmpeg.to_file(part, path=target, max_bytes=CLIP_BYTES, acodec="aac")
    process.run(ffmpeg.command(output, media_s=end_s, max_bytes=CLIP_BYTES), CUT_TIMEOUT_S, reading=False)


def write(clip: Clip, images: Iterator[Image], folder: Path) -> None:
    """Encode the frames as H.264, in the container of the clip's file extension."""
    source = ffmpeg.raw_video(clip.width, clip.height, clip.fps)
    matrix = {"colorspace": "smpte170m", "color_primaries": "smpte170m", "color_trc": "smpte170m"}  # as cv2 converts
    options: dict[str, Any] = {"vcodec": "libx264", "pix_fmt": "yuv420p", "crf": CRF, "preset": "veryfast", **matrix}
    target = ffmpeg.to_file(source, path=folder / clip.name, max_bytes=CLIP_BYTES, **options)
    with process.Writer(ffmpeg.command(target, media_s=clip.seconds, max_bytes=CLIP_BYTES)) as encoder:
        for image in images:
            planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
            encoder.write(np.ascontiguousarray(planes).data.cast("B"))
        encoder.finish()


def frames(clip: Clip, image: Image) -> Iterator[Image]:
    """Yield the clip's frames from the enlarged portrait, which slowly sways, nods and zooms."""
    if clip.mirrored:
        image = np.ascontiguousarray(image[:, ::-1])
    centre_x = 512 - FACE_CENTRE[0] if clip.mirrored else FACE_CENTRE[0]
    for number in range(round(clip.seconds * clip.fps)):
        seconds = float(number / clip.fps)
        scale = UPSCALE * clip.view_height / clip.height * (1 - 0.03 * math.sin(2 * math.pi * seconds / 7.0))
        angle = math.radians(1.5) * math.sin(2 * math.pi * seconds / 3.7)
        x = UPSCALE * (centre_x + 3.0 * math.sin(2 * math.pi * seconds / 4.3))
        y = UPSCALE * (FACE_CENTRE[1] + 1.5 * math.sin(2 * math.pi * seconds / 2.9))
        yield _view(image, clip, (x, y), scale, angle)


def _view(image: Image, clip: Clip, at: tuple[float, float], scale: float, angle: float) -> Image:
    """Sample the portrait so that the point `at` is at the head's position; the image is reflected at its edges."""
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    rotation = np.array([[cos, -sin], [sin, cos]])
    head = np.array([clip.width / 2, clip.height * clip.head_height])
    matrix = np.column_stack([rotation, np.array(at) - rotation @ head])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP  # cubic is enough for the smooth, enlarged image
    size = (clip.width, clip.height)
    out = cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return out.astype(np.uint8, copy=False)


def portrait() -> Image:
    """Return the portrait enlarged (Lanczos) and slightly sharpened."""
    load: Callable[[], Image] = skimage.data.astronaut
    small = cv2.cvtColor(load(), cv2.COLOR_RGB2BGR)
    large = cv2.resize(small, None, fx=UPSCALE, fy=UPSCALE, interpolation=cv2.INTER_LANCZOS4)
    soft = cv2.GaussianBlur(large, (0, 0), 3.0)
    return cv2.addWeighted(large, 1.6, soft, -0.6, 0).astype(np.uint8, copy=False)


def _gradient(clip: Clip) -> Iterator[Image]:
    """Yield frames of a slowly changing colour gradient."""
    ramp = np.linspace(0, 179, clip.width, dtype=np.float64)
    for number in range(round(clip.seconds * clip.fps)):
        hue = ((ramp + number) % 180).astype(np.uint8)
        row = np.stack([hue, np.full_like(hue, 120), np.full_like(hue, 200)], axis=-1)
        image = cv2.cvtColor(np.repeat(row[None], clip.height, axis=0), cv2.COLOR_HSV2BGR)
        yield image.astype(np.uint8, copy=False)
