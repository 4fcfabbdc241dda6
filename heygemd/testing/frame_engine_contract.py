"""The contract of a FrameEngine as tests, for heygemd's own engines and for plug-ins.

In your own test module, run by pytest:

    from heygemd.testing.frame_engine_contract import FrameEngineContract

    class TestMine(FrameEngineContract):
        engine = MyEngine

It needs nothing but heygemd: the presenter is drawn. For a FileEngine see `file_engine_contract`.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import NotInstalled
from ..render.audio.mel import VOICE_RATE_HZ
from ..render.engines.base import AnalysisData, Engine, FrameEngine
from ..render.face.mesh_indices import INNER_LIPS, OUTER_LIPS
from ..render.face.pose import face_shape
from ..render.scene import F32, MESH_POINTS, Crop, Image, Patch, Timeline, Track

FPS = Fraction(25)
WIDTH, HEIGHT = 320, 400
MAX_HELD = 64
"""Crops that an engine may have taken without yielding their patches."""


def synthetic_track(folder: Path, frames: int, side: float = 70.0, gap: range = range(0), cut: int = 0) -> Track:
    """Return the track of a swaying head, its points file in `folder`.

    side  distance between the outer eye corners, pixels
    gap   frames without a face
    cut   first frame of a second shot
    """
    turn = np.radians(8) * np.sin(np.arange(frames) / 7)
    mean = face_shape()["mean"]
    points = np.empty((frames, MESH_POINTS, 3), "<f4")
    for k, angle in enumerate(turn):
        around = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        points[k] = mean @ around.T * side + (WIDTH / 2 + 5 * np.sin(k / 5), HEIGHT * 0.4, 0)
    low, high = points[..., :2].min(1), points[..., :2].max(1)
    room = 0.2 * (high - low)
    boxes = np.concatenate([low - room, high + room], 1).astype(np.int32) // 2 * 2
    boxes = np.clip(boxes, 0, (WIDTH, HEIGHT) * 2)
    effect_weight, yaw = np.ones(frames, np.float32), np.degrees(turn).astype(np.float32)
    for k in gap:
        points[k], boxes[k], effect_weight[k], yaw[k] = np.nan, 0, 0, np.nan
    cuts = np.isin(np.arange(frames), (0, cut))
    path = folder / "points.f32"
    path.write_bytes(points.tobytes())
    face_count = (effect_weight > 0).astype(np.uint8)
    return Track(WIDTH, HEIGHT, FPS, boxes, effect_weight, yaw, cuts, face_count, path)


def draw_face(points: F32, number: int) -> Image:
    """Return a (HEIGHT, WIDTH, 3) image of a face with (468, 3) mesh points; its grain differs by frame."""
    grain = np.random.default_rng(number).integers(-6, 7, (HEIGHT, WIDTH, 3))
    image = np.full((HEIGHT, WIDTH, 3), (90, 80, 70), np.uint8)
    flat = np.round(np.nan_to_num(points[:, :2])).astype(np.int32)
    cv2.fillConvexPoly(image, cv2.convexHull(flat), (150, 170, 215))
    for ring, colour in (
        (OUTER_LIPS, (110, 100, 190)),
        (INNER_LIPS, (40, 30, 70)),
        ([33, 160, 158, 133, 153, 144], (60, 50, 40)),
    ):
        cv2.fillPoly(image, [flat[ring]], colour)
    return np.clip(image.astype(int) + grain, 0, 255).astype(np.uint8)


def face_crops(track: Track, timeline: Timeline | None = None) -> list[Crop]:
    """Return the crops of all frames with a face, in the order of the timeline (default: of the track)."""
    sources = range(len(track)) if timeline is None else timeline.source.tolist()
    found = []
    for output, source in enumerate(sources):
        x0, y0, x1, y1 = (int(n) for n in track.boxes[source])
        if track.effect_weight[source] > 0:
            image = draw_face(track.points(source, source + 1)[0], source)[y0:y1, x0:x1]
            found.append(Crop(output, source, (x0, y0, x1, y1), image))
    return found


def synthetic_voice(frames: int) -> NDArray[np.float32]:
    """Return a hum that swells four times a second and lasts `frames`, (samples,) float32 at VOICE_RATE_HZ."""
    times = np.arange(int(frames / FPS * VOICE_RATE_HZ)) / VOICE_RATE_HZ
    hum = sum(np.sin(2 * np.pi * 120 * k * times) / k for k in range(1, 20))
    return np.asarray(0.1 * hum * (0.5 - 0.5 * np.cos(2 * np.pi * 4 * times)), np.float32)


def assert_check_is_typed(engine: Engine) -> None:
    """Assert that `engine.check` passes or raises NotInstalled with a code and fields."""
    try:
        engine.check()
    except NotInstalled as error:
        assert error.code and error.fields


class FrameEngineContract:
    """What every FrameEngine must do. Set `engine`, and `models` if it needs weights."""

    engine: ClassVar[type[FrameEngine]]
    models: ClassVar[Path] = Path("/nonexistent")

    def make(self) -> FrameEngine:
        """Return the engine, checked. Override to give it settings."""
        made = self.engine(self.models)
        made.check()
        return made

    def _analyse(self, engine: FrameEngine, track: Track, voice: NDArray[np.float32]) -> AnalysisData:
        seen = {crop.source: crop for crop in face_crops(track)}
        of_video = engine.analyse_video((seen[k] for k in engine.frames_to_analyse(track)), track)
        of_voice = engine.analyse_voice(voice)
        assert not set(of_video) & set(of_voice), "they are passed on together"
        return {**of_video, **of_voice}

    def _render(
        self, engine: FrameEngine, track: Track, line: Timeline | None = None, voice: NDArray[np.float32] | None = None
    ) -> list[Patch]:
        line = line or Timeline(FPS, np.arange(len(track), dtype=np.int32))
        voice = synthetic_voice(len(line.source)) if voice is None else voice
        given = face_crops(track, line)
        before = [crop.image.copy() for crop in given]
        patches = list(engine.render(iter(given), track, line, voice, self._analyse(engine, track, voice)))
        assert [patch.output for patch in patches] == [crop.output for crop in given]
        for patch, crop, image in zip(patches, given, before, strict=True):
            assert np.array_equal(crop.image, image), "an engine must not write to a crop"
            assert patch.image.shape == image.shape and patch.image.dtype == np.uint8
            assert patch.mask.shape == image.shape[:2] and patch.mask.dtype == np.float32
            assert np.isfinite(patch.mask).all() and patch.mask.min() >= 0 and patch.mask.max() <= 1
        return patches

    def test_it_has_a_name_and_a_version(self) -> None:
        """Both are part of cache keys and reports."""
        assert self.engine.name and self.engine.version

    def test_missing_parts_are_a_typed_error(self, tmp_path: Path) -> None:
        """`check` passes, or raises NotInstalled."""
        assert_check_is_typed(self.engine(tmp_path))

    def test_it_wants_ascending_frames_with_a_face(self, tmp_path: Path) -> None:
        """Frames without a face have no crop."""
        track = synthetic_track(tmp_path, 30, gap=range(10, 14))
        wanted = self.make().frames_to_analyse(track)
        assert wanted == sorted(set(wanted))
        assert all(0 <= k < 30 and track.boxes[k, 2] > 0 for k in wanted)

    def test_analysis_data_is_plain_arrays(self, tmp_path: Path) -> None:
        """It is stored without pickle."""
        data = self._analyse(self.make(), synthetic_track(tmp_path, 30), synthetic_voice(30))
        np.savez(tmp_path / "data.npz", allow_pickle=False, **data)
        with np.load(tmp_path / "data.npz", allow_pickle=False) as stored:
            assert set(stored.files) == set(data)

    def test_one_patch_for_each_crop(self, tmp_path: Path) -> None:
        """In order, across a gap and a cut."""
        assert len(self._render(self.make(), synthetic_track(tmp_path, 26, gap=range(9, 14), cut=20))) == 21

    def test_it_changes_something_during_speech(self, tmp_path: Path) -> None:
        """Some pixels differ where the mask shows them."""
        track = synthetic_track(tmp_path, 12)
        pairs = zip(self._render(self.make(), track), face_crops(track), strict=True)
        assert any(((patch.image != crop.image).any(2) & (patch.mask > 0.1)).any() for patch, crop in pairs)

    def test_no_state_is_kept_between_videos(self, tmp_path: Path) -> None:
        """The same video gives the same patches, whatever was rendered in between."""
        (tmp_path / "other").mkdir()
        engine, track = self.make(), synthetic_track(tmp_path, 6)
        first = self._render(engine, track)
        self._render(engine, synthetic_track(tmp_path / "other", 9, side=60))
        for one, two in zip(first, self._render(engine, track), strict=True):
            assert np.array_equal(one.image, two.image) and np.array_equal(one.mask, two.mask)

    def test_source_frames_may_repeat_and_run_backwards(self, tmp_path: Path) -> None:
        """As under a voice that is longer than the video."""
        there_and_back = np.array([*range(12), *range(10, -1, -1), *range(1, 8)], np.int32)
        self._render(self.make(), synthetic_track(tmp_path, 12), Timeline(FPS, there_and_back))

    def test_its_input_may_end_early_and_resume(self, tmp_path: Path) -> None:
        """At the end of its input an engine must yield all that it holds."""
        engine, track = self.make(), synthetic_track(tmp_path, 24)
        line, given = Timeline(FPS, np.arange(24, dtype=np.int32)), face_crops(track)
        voice = synthetic_voice(24)
        data = self._analyse(engine, track, voice)
        for part in (given[:7], given[7:8], given[8:], []):
            patches = engine.render(iter(part), track, line, voice, data)
            assert [patch.output for patch in patches] == [crop.output for crop in part]

    def test_it_holds_a_bounded_number_of_frames(self, tmp_path: Path) -> None:
        """Memory must not grow with length."""
        engine, track = self.make(), synthetic_track(tmp_path, 10)
        line = Timeline(FPS, np.resize(np.arange(10, dtype=np.int32), MAX_HELD + 16))
        taken = 0

        def counted() -> Iterator[Crop]:
            nonlocal taken
            for crop in face_crops(track, line):
                taken += 1
                yield crop

        voice = synthetic_voice(len(line.source))
        data = self._analyse(engine, track, voice)
        for given, _ in enumerate(engine.render(counted(), track, line, voice, data)):
            assert taken - given <= MAX_HELD

    def test_silence_and_very_short_voices(self, tmp_path: Path) -> None:
        """A voice of zeros, and one shorter than any analysis window."""
        engine, track = self.make(), synthetic_track(tmp_path, 10)
        self._render(engine, track, voice=np.zeros(10 * VOICE_RATE_HZ // 25, np.float32))
        self._render(engine, track, Timeline(FPS, np.arange(5, dtype=np.int32)), synthetic_voice(5))
        self._render(engine, track, Timeline(FPS, np.arange(1, dtype=np.int32)), synthetic_voice(1))

    def test_one_frame_and_small_faces(self, tmp_path: Path) -> None:
        """The smallest tracks."""
        self._render(self.make(), synthetic_track(tmp_path, 1))
        self._render(self.make(), synthetic_track(tmp_path, 5, side=8))
