"""Colours go to BGR and back; what the mask does not cover keeps its bits."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from heygemd.config.schema import Limits
from heygemd.render.frame_router import FrameRouter
from heygemd.render.scene import Patch, Timeline, Track
from heygemd.render.video import color, compositing, decode

from ... import media_factory
from ..tint import Tint

BOX = (20, 10, 120, 90)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> decode.Picture:
    path = media_factory.video(tmp_path_factory.mktemp("composite") / "v.mp4", 0.2, "160x120")
    return decode.describe_video(path, Limits())


def noise(picture: decode.Picture) -> NDArray[np.uint8]:
    return shown_again(np.random.default_rng(1).integers(0, 256, picture.frame_bytes, np.uint8))


def shown_again(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    frame.flags.writeable = False
    return frame


def full_mask(value: float) -> NDArray[np.float32]:
    return np.full((BOX[3] - BOX[1], BOX[2] - BOX[0]), value, np.float32)


@pytest.mark.parametrize("matrix", color.LUMA_WEIGHTS)
@pytest.mark.parametrize("full", [False, True])
def test_known_colours(picture: decode.Picture, matrix: str, full: bool) -> None:
    """White, black and grey have no chroma; the colour that comes out gives the samples that went in."""
    there = color.to_yuv(matrix, full)
    assert np.allclose(there @ [255, 255, 255, 1], [255, 128, 128] if full else [235, 128, 128])
    assert np.allclose(there @ [0, 0, 0, 1], [0, 128, 128] if full else [16, 128, 128])
    frame = np.empty(picture.frame_bytes, np.uint8)
    y, u, v = decode.planes(frame, picture.width, picture.height)
    y[:], u[:], v[:] = 120, 140, 110
    blue, green, red = compositing.crop(frame, replace(picture, matrix=matrix, full_range=full), BOX)[5, 5]
    assert np.abs(there @ [blue, green, red, 1] - [120, 140, 110]).max() < 0.8


def test_ffmpeg_agrees_on_the_colours(tmp_path: Path) -> None:
    for matrix, name in (("bt709", "bt709"), ("smpte170m", "bt601")):
        path = media_factory.video(
            tmp_path / f"{matrix}.mp4", 0.04, "160x120", options=["-c:v", "libx264", "-qp", "0", "-colorspace", matrix]
        )
        scale = f"scale=in_color_matrix={name}:flags=bilinear+accurate_rnd+full_chroma_int,format=bgr24"
        media_factory.ffmpeg("-i", path, "-vf", scale, "-f", "rawvideo", tmp_path / "raw")
        theirs = np.fromfile(tmp_path / "raw", np.uint8).reshape(120, 160, 3).astype(int)
        described = decode.describe_video(path, Limits())
        ours = compositing.crop(next(decode.frames(described)), described, (0, 0, 160, 120)).astype(int)
        assert described.matrix == matrix
        assert np.median(np.abs(ours - theirs)) <= 1


def test_an_unchanged_patch_changes_no_bit(picture: decode.Picture) -> None:
    """Noise holds colours that BGR cannot: they stay too."""
    frame = noise(picture)
    before = compositing.crop(frame, picture, BOX)
    after = compositing.blend(frame, picture, BOX, before, Patch(0, before, full_mask(1)), 1.0)
    assert np.array_equal(after, frame)


def test_only_a_frame_that_is_shown_again_is_copied(picture: decode.Picture) -> None:
    frame = noise(picture)
    before = compositing.crop(frame, picture, BOX)
    patch = Patch(0, 255 - before, full_mask(1))
    own, kept = frame.copy(), frame.copy()
    after = compositing.blend(frame, picture, BOX, before, patch, 1.0)
    assert np.array_equal(frame, kept)
    assert compositing.blend(own, picture, BOX, before, patch, 1.0) is own
    assert np.array_equal(own, after) and not np.array_equal(own, kept)


def test_nothing_outside_the_mask_changes(picture: decode.Picture) -> None:
    frame = noise(picture)
    before = compositing.crop(frame, picture, BOX)
    mask = full_mask(0)
    mask[31:50, 40:61] = 1
    after = compositing.blend(frame, picture, BOX, before, Patch(0, 255 - before, mask), 1.0)
    touched = np.zeros((picture.height, picture.width), bool)
    touched[BOX[1] : BOX[3], BOX[0] : BOX[2]] = mask > 0
    chroma = touched.reshape(picture.height // 2, 2, picture.width // 2, 2).any((1, 3))
    for old, new, may in zip(
        decode.planes(frame, 160, 120), decode.planes(after, 160, 120), (touched, chroma, chroma), strict=True
    ):
        assert np.array_equal(old[~may], new[~may])
        assert not np.array_equal(old[may], new[may])


def test_a_flat_patch_arrives_as_its_colour(picture: decode.Picture) -> None:
    frame = shown_again(np.full(picture.frame_bytes, 128, np.uint8))
    before = compositing.crop(frame, picture, BOX)
    wanted = np.full_like(before, (60, 90, 180))
    after = compositing.blend(frame, picture, BOX, before, Patch(0, wanted, full_mask(1)), 1.0)
    assert np.abs(compositing.crop(after, picture, BOX).astype(int) - wanted).max() <= 2
    half = compositing.blend(frame, picture, BOX, before, Patch(0, wanted, full_mask(1)), 0.5)
    middle = (before.astype(int) + wanted) / 2
    assert np.abs(compositing.crop(half, picture, BOX) - middle).max() <= 2


def test_no_strength_no_mask_no_change(picture: decode.Picture) -> None:
    frame = noise(picture)
    before = compositing.crop(frame, picture, BOX)
    assert compositing.blend(frame, picture, BOX, before, Patch(0, 255 - before, full_mask(1)), 0.0) is frame
    assert compositing.blend(frame, picture, BOX, before, Patch(0, 255 - before, full_mask(0)), 1.0) is frame


def test_an_engine_that_moves_less_is_shown_sooner(picture: decode.Picture, tmp_path: Path) -> None:
    """Its patches are blended by a multiple of the track's effect weight."""
    strengths = np.array([0, 0.1, 0.3, 1], np.float32)
    count = len(strengths)
    track = Track(
        picture.width, picture.height, picture.fps, np.tile(np.int32(BOX), (count, 1)), strengths,
        np.zeros(count, np.float32), np.arange(count) == 0, np.ones(count, np.uint8), tmp_path / "none",
    )  # fmt: skip
    line = Timeline(Fraction(25), np.arange(count, dtype=np.int32))
    frame = shown_again(np.full(picture.frame_bytes, 128, np.uint8))

    def shown(gain: float) -> list[float]:
        engine, made = Tint(tmp_path), []
        engine.effect_gain = gain  # type: ignore[misc]
        data = {"loud": np.zeros(())}
        FrameRouter(picture, track, line, made.append).run(iter([frame] * count), engine, np.zeros(1, np.float32), data)
        return [float(np.abs(one.astype(float) - frame).max()) for one in made]

    plain, sooner = shown(1.0), shown(4.0)
    assert plain[0] == sooner[0] == 0 and plain[3] == sooner[3] > 20
    assert plain[1] < 0.2 * plain[3] and sooner[1] == pytest.approx(0.4 * plain[3], abs=1.5)
    assert sooner[2] == plain[3]
