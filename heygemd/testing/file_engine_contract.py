"""The contract of a FileEngine as tests, for heygemd's own engines and for plug-ins.

In your own test module, run by pytest:

    from heygemd.testing.file_engine_contract import FileEngineContract

    class TestMine(FileEngineContract):
        engine = MyEngine

It needs heygemd and ffmpeg: the presenter is drawn.
"""

from __future__ import annotations

import math
from contextlib import closing, suppress
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from ..config.schema import Limits
from ..errors import EngineError
from ..media import ffmpeg
from ..media.process import Writer
from ..render.engines import file_engine_adapter
from ..render.engines.base import FileEngine
from ..render.progress import Phases
from ..render.scene import F32
from ..render.video import decode
from .frame_engine_contract import (
    FPS,
    HEIGHT,
    WIDTH,
    assert_check_is_typed,
    draw_face,
    synthetic_track,
    synthetic_voice,
)


def synthetic_video(folder: Path, frames: int, fps: Fraction = FPS) -> Path:
    """Return a silent video of the head of `synthetic_track`."""
    track, path = synthetic_track(folder, frames), folder / "drawn.mp4"
    source = ffmpeg.raw_video(WIDTH, HEIGHT, fps)
    output = ffmpeg.to_file(source, path=path, max_bytes=1 << 30, format="mp4", vcodec="libx264", crf=18)
    with closing(Writer(ffmpeg.command(output, media_s=float(frames / fps)))) as writer:
        for number, points in enumerate(track.points(0, frames)):
            writer.write(np.asarray(cv2.cvtColor(draw_face(points, number), cv2.COLOR_BGR2YUV_I420)).ravel().data)
        writer.finish()
    return path


class FileEngineContract:
    """What every FileEngine must do. Set `engine`, and `models` if it needs weights."""

    engine: ClassVar[type[FileEngine]]
    models: ClassVar[Path] = Path("/nonexistent")

    def make(self) -> FileEngine:
        """Return the engine, checked. Override to give it settings."""
        made = self.engine(self.models)
        made.check()
        return made

    def _render(self, engine: FileEngine, folder: Path, frames: int = 30, fps: Fraction = FPS) -> tuple[F32, F32]:
        """Return (T, HEIGHT, WIDTH) float32 brightness before and after a render through the file engine adapter."""
        folder.mkdir()
        picture = decode.describe_video(synthetic_video(folder, frames, fps), Limits())
        before = list(decode.frames(picture))
        voice = synthetic_voice(math.ceil(frames * FPS / fps))
        given, phases = iter(before), Phases(lambda _: None)
        after = list(file_engine_adapter.run(engine, picture, given, frames, voice, folder, Limits(), phases))
        assert len(after) == len(before) == frames
        bright = [np.stack([decode.planes(f, WIDTH, HEIGHT)[0] for f in each]) for each in (before, after)]
        return bright[0].astype(np.float32), bright[1].astype(np.float32)

    def test_it_has_a_name(self) -> None:
        """It is part of reports."""
        assert self.make().name

    def test_missing_parts_are_a_typed_error(self, tmp_path: Path) -> None:
        """`check` passes, or raises NotInstalled."""
        assert_check_is_typed(self.engine(tmp_path))

    def test_all_frames_are_returned_and_some_differ(self, tmp_path: Path) -> None:
        """As long as the voice and of the same shape."""
        before, after = self._render(self.make(), tmp_path / "one")
        assert np.abs(after - before).max() > 24

    def test_several_videos_at_different_rates(self, tmp_path: Path) -> None:
        """Each in its own folder; the last one's files are not taken for a result."""
        engine = self.make()
        for number, (frames, fps) in enumerate([(26, FPS), (31, Fraction(30000, 1001)), (2, FPS)]):
            self._render(engine, tmp_path / str(number), frames, fps)

    def test_inputs_are_unchanged_and_progress_is_a_share(self, tmp_path: Path) -> None:
        """The result lies in the folder."""
        video, audio, folder = synthetic_video(tmp_path, 26), tmp_path / "voice.wav", tmp_path / "work"
        file_engine_adapter.write_wav(audio, synthetic_voice(26))
        folder.mkdir()
        given, shares = [path.read_bytes() for path in (video, audio)], list[float | None]()
        made = self.make().render(video, audio, folder, FPS, shares.append)
        assert made.is_file() and made.resolve().is_relative_to(folder.resolve())
        assert [path.read_bytes() for path in (video, audio)] == given
        reported = [share for share in shares if share is not None]
        assert reported == sorted(reported) and all(0 <= share <= 1 for share in reported)

    def test_unreadable_input_is_a_typed_error(self, tmp_path: Path) -> None:
        """Or is rendered all the same; never an exception that is not typed."""
        for name in ("noise.mp4", "noise.wav"):
            (tmp_path / name).write_bytes(bytes(range(256)) * 20)
        (tmp_path / "work").mkdir()
        given = tmp_path / "noise.mp4", tmp_path / "noise.wav", tmp_path / "work"
        with suppress(EngineError):
            self.make().render(*given, FPS, lambda _: None)
