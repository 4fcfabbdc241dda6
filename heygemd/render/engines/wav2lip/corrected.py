"""The engine's own handling of a frame: like the reference program, with its defects corrected."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....config.schema import Wav2Lip
from ...scene import F32, Crop, Image, Patch, Timeline, Track
from . import face_crop, mel_windows


class CorrectedStyle:
    """An audio window centred on each frame, smoothed boxes, and a lower face that is blended in."""

    lower = True

    def __init__(
        self, options: Wav2Lip, track: Track, timeline: Timeline, voice: NDArray[np.float32], bounds: F32
    ) -> None:
        """`bounds`: of face_crop.face_bounds."""
        self._options, self._track, self._timeline, self._voice = options, track, timeline, voice
        self._boxes = face_crop.smoothed_boxes(bounds, face_crop.face_runs(track), options.pads, float(track.fps))
        self._speech_weight = mel_windows.speech_weight(voice) if options.silence_gate else np.zeros(0, np.float32)

    def face_input(self, crop: Crop) -> Image:
        """Return the network's face input, (SIDE, SIDE, 3) uint8 BGR."""
        return face_crop.sample_face(crop, self._transform(crop))

    def mel_input(self, outputs: NDArray[np.int64]) -> F32:
        """Return the network's audio input for (n,) output frames, (n, MEL_BANDS, MEL_FRAMES) float32."""
        first = mel_windows.window_starts(outputs, self._timeline.fps, self._options.lead_ms / 1000)
        return mel_windows.gate_silence(mel_windows.log_mel_windows(self._voice, first), first, self._speech_weight)

    def make_patch(self, crop: Crop, face: Image, generated: F32) -> Patch:
        """Return the patch; `face` is of `face_input`, `generated` the network's lower face (h, SIDE, 3) 0..255."""
        transform = self._transform(crop)
        soft = face_crop.lower_face_mask(self._track.points(crop.source, crop.source + 1)[0, :, :2], crop, transform)
        coloured = face_crop.match_colour(generated, face, soft)
        return face_crop.paste(crop, transform, coloured, soft, face, self._options.delta)

    def _transform(self, crop: Crop) -> face_crop.CropTransform:
        return face_crop.crop_transform(crop, self._boxes[crop.source])
