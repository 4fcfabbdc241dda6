"""What can be seen of a video while it is rendered: its latest frame now and then, and its first seconds as a clip.

Nothing is decoded for it: the frames pass by on their way to the encoder. A fault here ends the view, never the render.
"""

from __future__ import annotations

import base64
import dataclasses
import time
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path

from loguru import logger

from ...protocol import FirstSeconds, LivePicture, Message
from . import compositing
from .decode import Frame, Picture
from .encode_mux import EncodePlan, Encoder
from .jpeg import jpeg_base64

PICTURE_SIDE, JPEG_QUALITY = 480, 75
CLIP_SIDE, CLIP_PRESET, CLIP_CRF = 640, "veryfast", 28
LONG = 3
"""A video this many times as long as the clip is worth one."""
MAX_CLIP_BYTES = 5 << 20


class LiveView:
    """Sees every finished frame, in order."""

    def __init__(
        self, plan: EncodePlan, folder: Path, picture_every_s: float, report: Callable[[Message], None]
    ) -> None:
        """`folder`: of scratch; `picture_every_s`: 0 for no pictures."""
        self._plan, self._every_s, self._report = plan, picture_every_s, report
        self._next_at = time.monotonic()
        self._path = folder / "first-seconds.mp4"
        frames = round(Fraction(plan.settings.preview_s) * plan.picture.fps)
        self._clip_frames = frames if 0 < LONG * frames <= plan.frames else 0
        self._encoder: Encoder | None = None
        self._working = True

    def see(self, frame: Frame) -> None:
        """Show a frame if it is time; never raises."""
        if not self._working:
            return
        try:
            if self._every_s and time.monotonic() >= self._next_at:
                self._next_at = time.monotonic() + self._every_s
                self._report(LivePicture(jpeg=_jpeg(frame, self._plan.picture)))
            if self._clip_frames:
                self._record(frame)
        except Exception as error:
            self._working = False
            logger.warning("no further view of the render: {}: {}", type(error).__name__, error)
            self.close()

    def _record(self, frame: Frame) -> None:
        if self._encoder is None:
            picture = self._plan.picture
            settings = self._plan.settings.model_copy(
                update={"quality": "standard", "encoder": "x264", "preset": CLIP_PRESET, "crf": CLIP_CRF}
            )
            sound_s = self._clip_frames / picture.fps
            plan = dataclasses.replace(self._plan, settings=settings, frames=self._clip_frames, sound_s=sound_s)
            plan = dataclasses.replace(plan, subtitles=())
            self._encoder = Encoder(plan, self._path, shown_size=picture.size_within(CLIP_SIDE))
        self._encoder.write(frame)
        if self._encoder.written == self._clip_frames:
            self._clip_frames = 0
            with closing(self._encoder):
                self._encoder.finish()
            if self._path.stat().st_size <= MAX_CLIP_BYTES:
                self._report(FirstSeconds(mp4=base64.b64encode(self._path.read_bytes()).decode()))
            self._path.unlink()

    def close(self) -> None:
        """End what still runs."""
        if self._encoder is not None:
            self._encoder.close()


def _jpeg(frame: Frame, picture: Picture) -> str:
    """Return a small JPEG of the frame in base64."""
    return jpeg_base64(compositing.shrunk(frame, picture, picture.size_within(PICTURE_SIDE)), JPEG_QUALITY)
