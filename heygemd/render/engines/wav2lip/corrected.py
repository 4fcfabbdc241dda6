"""How this engine sees, hears and shows a frame: the reference's ways with its defects mended."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....config.schema import Wav2Lip
from ...scene import F32, Crop, Image, Patch, Timeline, Track
from . import face_crop, mel_windows


class Mended:
    """A window about each frame, steady boxes, and a lower face that blends into the real one."""

    lower = True

    def __init__(
        self, options: Wav2Lip, track: Track, timeline: Timeline, voice: NDArray[np.float32], bounds: F32
    ) -> None:
        """`bounds`: see picture.bounds."""
        self._options, self._track, self._timeline, self._voice = options, track, timeline, voice
        self._boxes = face_crop.boxes(bounds, face_crop.runs(track), options.pads, float(track.fps))
        self._gate = mel_windows.gate(voice) if options.silence_gate else np.zeros(0, np.float32)

    def look(self, crop: Crop) -> Image:
        """Return the (SIDE, SIDE, 3) face that the network sees."""
        return face_crop.look(crop, self._view(crop))

    def hear(self, outputs: NDArray[np.int64]) -> F32:
        """Return (n, bands, frames) mels for output frames."""
        first = mel_windows.starts(outputs, self._timeline.fps, self._options.lead_ms / 1000)
        return mel_windows.quieted(mel_windows.mel(self._voice, first), first, self._gate)

    def show(self, crop: Crop, face: Image, made: F32) -> Patch:
        """Return the patch; `face` is what `look` gave, `made` the network's lower face."""
        seen = self._view(crop)
        soft = face_crop.mask(self._track.points(crop.source, crop.source + 1)[0, :, :2], crop, seen)
        coloured = face_crop.recoloured(made, face, soft)
        return face_crop.paste(crop, seen, coloured, soft, face, self._options.delta)

    def _view(self, crop: Crop) -> face_crop.View:
        return face_crop.view(crop, self._boxes[crop.source])
