"""Rendered mouths, measured by tracking them again."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from heygemd.render.engines.mesh import MeshEngine, masks, mouth_plan, warp
from heygemd.render.engines.mesh.renderer import FrameRenderer, retarget
from heygemd.render.face.mouth_params import JAW, MOUTH_PARAMS, OPEN, WIDTH, measure_mouth
from heygemd.render.face.pose import align
from heygemd.render.scene import Crop, Image, Patch, Timeline, Track

from ... import presenter as people
from .conftest import FRAMES


def render(scene: tuple[list[Image], Track], spoken: np.ndarray) -> list[Patch]:
    """Render with given lips in place of the network's."""
    frames, track = scene
    engine = MeshEngine(Path("/nonexistent"))
    wanted = engine.frames_to_analyse(track)
    data = engine.analyse_video(people.crops(frames, track, wanted), track)
    data |= {"visemes": spoken, "tongue": np.zeros(len(spoken), np.float32)}
    assert sum(a.nbytes for a in data.values()) < 64e6 and all(a.dtype != object for a in data.values())
    timeline = Timeline(people.FPS, np.arange(len(track), dtype=np.int32))
    voice = np.zeros(len(track) * 640, np.float32)
    return list(engine.render(people.crops(frames, track, list(range(len(track)))), track, timeline, voice, data))


def mouths(scene: tuple[list[Image], Track], patches: list[Patch], folder: Path) -> np.ndarray:
    """Measure the mouths of the rendered frames by tracking them again."""
    frames, track = scene
    shown = []
    for patch, frame in zip(patches, frames, strict=True):
        x0, y0, x1, y1 = track.boxes[patch.output]
        out = frame.copy()
        out[y0:y1, x0:x1] = composited(out[y0:y1, x0:x1], patch)
        shown.append(out)
    again, _ = people.track(shown, folder)
    points = again.points(0, len(again))
    return measure_mouth(align(points).to_face(points))


def composited(crop: Image, patch: Patch) -> Image:
    """Return the crop as the video shows it."""
    alpha = patch.mask[..., None]
    return np.round(crop * (1 - alpha) + patch.image * alpha).astype(np.uint8)


def constant(**departures: float) -> np.ndarray:
    row = np.zeros((FRAMES * 2, 5), np.float32)
    for name, value in departures.items():
        row[:, MOUTH_PARAMS.index(name)] = value
    return row


def test_one_patch_for_each_crop_in_order(scene: tuple[list[Image], Track]) -> None:
    patches = render(scene, constant(open=0.1, jaw=0.07, lower=0.09))
    assert [p.output for p in patches] == list(range(FRAMES))
    for patch, box in zip(patches, scene[1].boxes, strict=True):
        h, w = box[3] - box[1], box[2] - box[0]
        assert patch.image.shape == (h, w, 3) and patch.image.dtype == np.uint8
        assert patch.mask.shape == (h, w) and patch.mask.dtype == np.float32
        assert patch.mask.min() >= 0 and patch.mask.max() <= 1
        assert patch.mask[:2].max() == 0 and patch.mask[:, :2].max() == 0 and patch.mask[:, -2:].max() == 0


def test_target_reached_is_what_was_asked(scene: tuple[list[Image], Track], tmp_path: Path) -> None:
    shut = mouths(scene, render(scene, constant()), tmp_path)
    opened = mouths(scene, render(scene, constant(open=0.14, jaw=0.09, lower=0.12)), tmp_path)
    wide = mouths(scene, render(scene, constant(width=0.06)), tmp_path)
    narrow = mouths(scene, render(scene, constant(width=-0.06)), tmp_path)
    assert np.median(shut[:, OPEN]) < 0.09  # she smiles with an opening of 0.2
    assert np.median(opened[:, OPEN] - shut[:, OPEN]) > 0.06
    assert np.median(opened[:, JAW] - shut[:, JAW]) > 0.04
    assert 0.09 < np.median(wide[:, WIDTH] - narrow[:, WIDTH]) < 0.15
    assert opened[:, OPEN].std() < 0.02 and wide[:, WIDTH].std() < 0.02


def test_own_shape_leaves_the_picture_alone(scene: tuple[list[Image], Track]) -> None:
    frames, track = scene
    patches = render(scene, constant())
    crops: Iterator[Crop] = people.crops(frames, track, list(range(FRAMES)))
    # The photograph smiles with her teeth showing, so closing her mouth is work: look at the skin only.
    for patch, crop in zip(patches, crops, strict=True):
        points = track.points(crop.source, crop.source + 1)[0, :, :2] - crop.box[:2]
        x, y = points[205].astype(int)
        change = np.abs(patch.image.astype(int) - crop.image)[y - 12 : y - 2, x - 5 : x + 5]
        assert change.mean() < 12


def test_retarget_sets_each_quantity(scene: tuple[list[Image], Track]) -> None:
    points = scene[1].points(3, 4)
    pose = align(points)
    own = measure_mouth(pose.to_face(points))[0]
    change = np.array([0.1, -0.05, 0.06, -0.01, 0.08], np.float32)
    moved = points.copy()
    moved[0, :, :2] = retarget(points[0], pose, change, float(own[OPEN] + change[OPEN]))
    got = measure_mouth(pose.to_face(moved))[0]
    assert np.allclose(got - own, change, atol=0.02)
    still = [6, 33, 263, 10, 127, 356]
    assert np.abs(moved[0, still] - points[0, still]).max() < 0.1


def test_coarse_maps_show_what_a_map_of_every_pixel_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least 45 dB in the face's box, in each frame of a large face that talks."""
    frames = people.swaying(16, 1500)
    scene = frames, people.track(frames, tmp_path)[0]
    spoken = constant(open=0.1, jaw=0.07, lower=0.09) * np.sin(np.arange(FRAMES * 2)[:, None] / 3) ** 2
    fast = render(scene, spoken)
    width = max(int(np.ptp(np.flatnonzero(patch.mask.any(0)))) for patch in fast)
    assert width > 2 * warp.CELLS, "it is drawn in cells of several pixels"
    monkeypatch.setattr(warp, "CELLS", width * 2)
    monkeypatch.setattr(warp, "SKIN_CELLS", width * 2)
    monkeypatch.setattr(masks, "MATCH_PIXELS", width)
    for number, (coarse, fine) in enumerate(zip(fast, render(scene, spoken), strict=True)):
        x0, y0, x1, y1 = scene[1].boxes[number]
        shown = [composited(frames[number][y0:y1, x0:x1], patch) for patch in (coarse, fine)]
        assert cv2.PSNR(*shown) >= 45


@pytest.mark.parametrize("cut", [True, False])
def test_lips_fade_into_others_but_not_across_a_cut(scene: tuple[list[Image], Track], cut: bool) -> None:
    frames, track = scene
    engine, half = MeshEngine(Path("/nonexistent")), FRAMES // 2
    track = dataclasses.replace(track, cuts=(np.arange(FRAMES) == half) & cut)
    bright, other = engine.frames_to_analyse(track)[:2]
    data = engine.analyse_video(people.crops(frames, track, [bright, other]), track)
    data["textures"][1] //= 3
    silent = np.zeros(2 * FRAMES, np.float32)
    spoken = data | {"visemes": constant(open=0.1, jaw=0.07, lower=0.09), "tongue": silent}
    plan = mouth_plan.plan_mouths(track, Timeline(people.FPS, np.arange(FRAMES, dtype=np.int32)), spoken)
    alone = plan._replace(texture_share=np.ones(FRAMES, np.float32), texture_choice=np.zeros(FRAMES, np.int16))
    both = alone._replace(texture_choice=(np.arange(FRAMES) >= half).astype(np.int16))
    (crop,) = people.crops(frames, track, [half - 1])
    before, after = (
        FrameRenderer(data, one).render(crop, track.points(half - 1, half)[0]).image for one in (alone, both)
    )
    assert (np.abs(before.astype(int) - after).max() < 2) == cut
