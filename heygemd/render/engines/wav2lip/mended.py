"""How this engine sees, hears and shows a frame: the reference's ways with its defects mended."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....engine_settings import Wav2Lip
from ...geometry import F32
from ...scene import Crop, Image, Patch, Timeline, Track
from . import hearing, picture


class Mended:
    """A window about each frame, steady boxes, and a lower face that blends into the real one."""

    lower = True

    def __init__(
        self, options: Wav2Lip, track: Track, timeline: Timeline, voice: NDArray[np.float32], bounds: F32
    ) -> None:
        """`bounds`: see picture.bounds."""
        self._options, self._track, self._timeline, self._voice = options, track, timeline, voice
        self._boxes = picture.boxes(bounds, picture.runs(track), options.pads, float(track.fps))
        self._gate = hearing.gate(voice) if options.silence_gate else np.zeros(0, np.float32)

    def look(self, crop: Crop) -> Image:
        """Return the (SIDE, SIDE, 3) face that the network sees."""
        return picture.look(crop, self._view(crop))

    def hear(self, outputs: NDArray[np.int64]) -> F32:
        """Return (n, bands, frames) mels for output frames."""
        first = hearing.starts(outputs, self._timeline.fps, self._options.lead_ms / 1000)
        return hearing.quieted(hearing.mel(self._voice, first), first, self._gate)

    def show(self, crop: Crop, face: Image, made: F32) -> Patch:
        """Return the patch; `face` is what `look` gave, `made` the network's lower face."""
        seen = self._view(crop)
        soft = picture.mask(self._track.points(crop.source, crop.source + 1)[0, :, :2], crop, seen)
        coloured = picture.recoloured(made, face, soft)
        return picture.paste(crop, seen, coloured, soft, face, self._options.delta)

    def _view(self, crop: Crop) -> picture.View:
        return picture.view(crop, self._boxes[crop.source])
