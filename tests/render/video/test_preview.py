"""A preview's pictures are kept while frames pass by; which of them are shown is decided when lips are measured."""

import base64
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from heygemd.render.audio.mel import VOICE_RATE_HZ
from heygemd.render.face.mesh_indices import LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from heygemd.render.scene import F32, MESH_POINTS, Timeline, Track
from heygemd.render.sync import av_offset
from heygemd.render.video import decode, preview
from heygemd.render.video.decode import Frame, Picture

WIDTH, HEIGHT = 64, 36
RANDOM = np.random.default_rng(1)


def track_of(folder: Path, weight: F32, fps: Fraction = Fraction(25)) -> Track:
    """Return a track of a face whose mouth is in the middle of the frame."""
    count = len(weight)
    points = np.full((count, MESH_POINTS, 3), (32, 18, 0), "<f4")
    points[:, RIGHT_EYE_OUTER, 0], points[:, LEFT_EYE_OUTER, 0] = 22, 42
    file = folder / f"{count}-{float(weight.sum())}.f32"
    points.tofile(file)
    return Track(
        WIDTH, HEIGHT, fps, np.tile(np.int32((0, 0, 32, 32)), (count, 1)), weight, np.zeros(count, np.float32),
        np.arange(count) == 0, np.ones(count, np.uint8), file,
    )  # fmt: skip


def noise(seconds: float) -> F32:
    return RANDOM.normal(size=round(seconds * VOICE_RATE_HZ)).astype(np.float32)


def test_the_moments_of_one_face_are_known_when_its_first_seconds_are(tmp_path: Path) -> None:
    fps, count = Fraction(25), 500
    track, line = track_of(tmp_path, np.ones(count, np.float32)), Timeline(fps, np.arange(count, dtype=np.int32))
    openings = RANDOM.random(count).astype(np.float32)
    parts = preview.candidates([track], line, [noise(20)])
    whole = preview.choose_moments([openings], parts)
    first = preview.choose_moments([openings[: int(av_offset.STEP_S * fps)]], parts)
    assert first == whole
    assert len(first) == preview.MOMENTS and max(first) < preview.WITHIN_S * fps
    for number, (moment, part) in enumerate(zip(whole, np.array_split(np.arange(75), 6), strict=True)):
        assert openings[moment] == (openings[part].min() if number % 2 else openings[part].max())


def test_a_mouth_is_shown_only_where_there_is_one(tmp_path: Path) -> None:
    weight = np.ones(100, np.float32)
    weight[30:60] = 0
    openings = RANDOM.random(100).astype(np.float32)
    openings[:20] = np.nan
    line = Timeline(Fraction(25), np.arange(100, dtype=np.int32))
    parts = preview.candidates([track_of(tmp_path, weight)], line, [noise(4)])
    moments = preview.choose_moments([openings], parts)
    assert [moment // 5 for moment in moments] == sorted({moment // 5 for moment in moments})
    assert all(20 <= moment < 30 or 60 <= moment < 75 for moment in moments)
    assert len(moments) == 4


def test_of_two_faces_the_one_that_speaks_is_shown(tmp_path: Path) -> None:
    """The second begins at six seconds: mouths are kept until three seconds later, but no more than a hundred."""
    count, fps = 60 * 20, Fraction(60)
    tracks = [track_of(tmp_path, np.full(count, weight, np.float32)) for weight in (1, 0.5)]
    first, second = noise(20), np.concatenate([np.zeros(6 * VOICE_RATE_HZ, np.float32), 9 * noise(14)])
    parts = preview.candidates(tracks, Timeline(fps, np.arange(count, dtype=np.int32)), [first, second])
    assert [face for face, _ in parts] == [0, 0, 0, 0, 1, 1]
    numbers = [number for _, frames in parts for number in frames]
    assert preview.MAX_CANDIDATES / 2 < len(numbers) <= preview.MAX_CANDIDATES
    assert numbers == sorted(numbers) and 9 * 60 - 6 < max(numbers) < 9 * 60


def gray(luma: int) -> Frame:
    frame = np.full(WIDTH * HEIGHT * 3 // 2, 128, np.uint8)
    frame[: WIDTH * HEIGHT] = luma
    return frame


@pytest.mark.parametrize("rate", [25, 60])
def test_the_pictures_are_those_of_their_moments(rate: int, tmp_path: Path) -> None:
    """The source gets brighter and the result darker from frame to frame; of both the same moment is shown."""
    count = 3 * rate
    picture: Picture = decode.describe_encoded(_picture(Fraction(rate)), count, tmp_path / "out.mp4")
    track = track_of(tmp_path, np.ones(count, np.float32), Fraction(rate))
    line = Timeline(Fraction(rate), np.arange(count, dtype=np.int32))
    mouths = preview.MouthPictures(picture, [track], line, [noise(3)])
    for number, frame in enumerate(mouths.see_source(gray(20 + number) for number in range(count))):
        assert frame[0] == 20 + number
        frame[: WIDTH * HEIGHT] = 235 - number
        mouths.see_result(number, frame)
    shown = mouths.chosen([RANDOM.random(count).astype(np.float32)])
    assert len(shown.moments_s) == preview.MOMENTS
    strip = cv2.imdecode(np.frombuffer(base64.b64decode(shown.strip), np.uint8), cv2.IMREAD_COLOR)
    assert strip is not None
    side = preview.MOUTH_SIDE
    assert strip.shape == (2 * side, preview.MOMENTS * side, 3)
    for k, moment_s in enumerate(shown.moments_s):
        number = round(moment_s * rate)
        for row, luma in ((0, 20 + number), (1, 235 - number)):
            tile = strip[row * side : (row + 1) * side, k * side : (k + 1) * side]
            assert tile.mean() == pytest.approx((luma - 16) * 255 / 219, abs=2)
    whole = cv2.imdecode(np.frombuffer(base64.b64decode(shown.thumbnail), np.uint8), cv2.IMREAD_COLOR)
    assert whole is not None and whole.shape == (preview.THUMBNAIL_HEIGHT, 320, 3)


def test_without_a_face_there_is_a_thumbnail(tmp_path: Path) -> None:
    picture = _picture(Fraction(25))
    track = track_of(tmp_path, np.zeros(10, np.float32))
    mouths = preview.MouthPictures(picture, [track], Timeline(picture.fps, np.arange(10, dtype=np.int32)), [noise(1)])
    for number, frame in enumerate(mouths.see_source(gray(80) for _ in range(10))):
        mouths.see_result(number, frame)
    shown = mouths.chosen([np.full(10, np.nan, np.float32)])
    assert shown.moments_s == () and not shown.strip and shown.thumbnail


def _picture(fps: Fraction) -> Picture:
    stream = decode.VideoStream(
        index=0, codec="h264", width=WIDTH, height=HEIGHT, rotation=0, mirrored=False, sample_aspect=Fraction(1),
        avg_fps=fps, real_fps=fps, start_s=0.0, duration_s=3.0, pix_fmt="yuv420p", bit_depth=8, matrix="bt709",
        primaries="bt709", transfer="bt709", range="tv", interlaced=False,
    )  # fmt: skip
    return Picture(Path("v.mp4"), stream, WIDTH, HEIGHT, fps, "bt709", "bt709", "bt709", False, 75)
