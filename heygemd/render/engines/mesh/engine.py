"""The default engine: lips re-posed on the face mesh, textured from the presenter's own frames."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ....weights.bundled import SHA256
from ...face.pose import face_shape
from ...scene import Crop, Patch, Timeline, Track
from ..base import AnalysisData, FrameEngine
from . import face_groups, mouth_calibration, texture_bank, viseme_net
from .mouth_plan import plan_mouths
from .renderer import FrameRenderer


class MeshEngine(FrameEngine):
    """Runs on any machine with nothing downloaded, at the video's full resolution."""

    name = "mesh"
    effect_gain = 4.0
    version = " ".join(["12", *(SHA256[file] for file in viseme_net.FILES)])

    def check(self) -> None:
        """Raise NotInstalled if a shipped file is missing or damaged."""
        face_shape()
        viseme_net.check()

    def frames_to_analyse(self, track: Track) -> list[int]:
        """Return the frames of the texture bank."""
        return texture_bank.select_frames(track, mouth_calibration.measure_motion(track))

    def analyse_video(self, crops: Iterator[Crop], track: Track) -> AnalysisData:
        """Return the texture bank and the closed mouth of each face that the shots show.

        "textures", "texture_points" and "texture_frames" as in `texture_bank.extract_textures`;
        "face" (T,) int16 as in `face_groups.group_shots`;
        "closed_mouth" (F, 5, 6) float32, of each face as in `mouth_calibration.fit_closed_mouth`.
        """
        data: AnalysisData = dict(texture_bank.extract_textures(crops, track))
        motion = mouth_calibration.measure_motion(track)
        face = data["face"] = face_groups.group_shots(track, motion, data)
        of_each = [motion.part(face == one) for one in range(int(face.max()) + 1)]
        data["closed_mouth"] = np.stack([mouth_calibration.fit_closed_mouth(part) for part in of_each])
        return data

    def analyse_voice(self, voice: NDArray[np.float32]) -> AnalysisData:
        """Return "visemes": (T, 5) float32 and "tongue": (T,) float32, both of `viseme_net.predict_mouth`."""
        visemes, tongue = viseme_net.predict_mouth(voice)
        return {"visemes": visemes, "tongue": tongue}

    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], data: AnalysisData
    ) -> Iterator[Patch]:
        """Yield one Patch for each Crop, in order. `voice` is not read: `data` holds its visemes."""
        del voice
        if not len(data["texture_frames"]):  # no frame shows the mouth: there is nothing to render
            return
        plan = plan_mouths(track, timeline, data)
        renderer = FrameRenderer(data, plan)
        for crop in crops:
            yield renderer.render(crop, track.points(crop.source, crop.source + 1)[0])
