from pathlib import Path

import cv2
import numpy as np
import pytest

from heygemd.render.engines.mesh import MeshEngine
from heygemd.render.face import persistent_occlusion
from heygemd.render.face.detector import BlazeFace
from heygemd.render.face.landmarks import FaceMesh
from heygemd.render.face.mesh_indices import LOWER_FACE_OUTLINE
from heygemd.render.scene import Image, Timeline

from .. import presenter as people


def masked(frames: list[Image], top: list[int], colour: tuple[int, int, int]) -> list[Image]:
    """A mask of cloth with a fold follows the face, from the vertices `top` down to the chin."""
    detector, mesh = BlazeFace(), FaceMesh()
    for frame in frames:
        points = mesh.fit(frame, detector.detect(frame, 2)[0]).points[:, :2]
        outline = np.concatenate([points[LOWER_FACE_OUTLINE[1:-1]], points[top]])
        cv2.fillPoly(frame, [outline.astype(np.int32)], colour, cv2.LINE_AA)
        fold = points[[58, 0, 288]].astype(np.int32)
        cv2.polylines(frame, [fold], False, tuple(int(0.85 * c) for c in colour), 2, cv2.LINE_AA)
    return frames


@pytest.mark.parametrize("colour", [(205, 175, 120), (235, 232, 230), (36, 36, 38)])
@pytest.mark.parametrize("top", [[447, 346, 197, 117, 227], [425, 391, 164, 165, 205]])
def test_a_mask_worn_all_the_time_is_left_alone_and_reported(
    colour: tuple[int, int, int], top: list[int], tmp_path: Path
) -> None:
    track, findings = people.track(masked(people.swaying(25), top, colour), tmp_path)
    assert (track.effect_weight == 0).all()
    assert [(f.code, f.fields["ranges"]) for f in findings] == [("mouth_hidden", [[0.0, 1.0]])]
    engine, line = MeshEngine(tmp_path), Timeline(people.FPS, np.arange(25, dtype=np.int32))
    assert engine.frames_to_analyse(track) == []
    voice = np.zeros(16_000, np.float32)
    data = engine.analyse_video(iter(()), track) | engine.analyse_voice(voice)
    assert list(engine.render(iter(()), track, line, voice, data)) == []


def test_a_mask_leaves_the_other_shots_alone(tmp_path: Path) -> None:
    bare = [np.clip(frame * 0.5, 0, 255).astype(np.uint8)[:, ::-1].copy() for frame in people.swaying(25)]
    track, findings = people.track(
        [*masked(people.swaying(25), [447, 346, 197, 117, 227], (205, 175, 120)), *bare], tmp_path
    )
    assert (track.effect_weight[:25] == 0).all() and (track.effect_weight[25:] == 1).all()
    assert [f.code for f in findings] == ["mouth_hidden"]


def test_colours_in_cielab_are_opencvs() -> None:
    """Which interpolates in a table and so is off by up to half a unit."""
    colours = np.random.default_rng(0).integers(0, 256, (5000, 3), np.uint8)
    theirs = cv2.cvtColor(colours[None].astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[0]
    apart = np.abs(persistent_occlusion.lab(colours) - theirs)
    assert apart.max() < 0.5 and apart.mean() < 0.1
    assert np.allclose(persistent_occlusion.lab(np.array([[0, 0, 0], [255, 255, 255]], np.uint8))[:, 0], [0, 100])
