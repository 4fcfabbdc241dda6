"""A photograph and a voice become a video, with a real tracker and a small real engine."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from heygemd.config.schema import Command, Limits, Render
from heygemd.errors import InputError
from heygemd.protocol import FirstSeconds, LivePicture, Message, Notice, RenderRequest, Result
from heygemd.render import analysis, pipeline
from heygemd.render.cache import Cache
from heygemd.render.engines import registry
from heygemd.render.progress import Phases
from heygemd.render.video import decode, live_view
from tests.e2e.harness import duration_s
from tests.photos import jpeg, png, save

from .. import media_factory
from . import presenter


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setitem(registry.ENGINES, "mesh", "tests.render.tint:Tint")
    voice = media_factory.audio(tmp_path / "v.wav", 1.21)
    events: list[Message] = []

    def render(shown: Path, name: str = "out.mp4", voice: Path = voice, **settings: Any) -> Result:
        scratch = tmp_path / f"scratch-{name}"
        scratch.mkdir()
        request = RenderRequest(
            voice=voice, video=shown, voice_digest="v" + voice.name, output=tmp_path / name, scratch=scratch,
            video_digest=hashlib.blake2b(shown.read_bytes()).hexdigest(), cache=tmp_path / "cache", models=tmp_path,
            settings=Render(quality="draft", **settings), limits=Limits(), picture_every_s=1e-3,
        )  # fmt: skip
        return pipeline.render(request, events.append)

    return SimpleNamespace(render=render, folder=tmp_path, events=events)


def codes(studio: SimpleNamespace) -> set[str]:
    return {event.code for event in studio.events if isinstance(event, Notice)}


def test_it_speaks_as_long_as_the_voice_and_is_the_same_every_time(studio: SimpleNamespace) -> None:
    shown = save(studio.folder / "anna", jpeg(presenter.photo()[:, 20:], 6))
    made = studio.render(shown, audio_longer="trim")  # is about videos
    assert (made.frames, made.width, made.height) == (31, 280, 300)
    assert "below_720p" in codes(studio) and "voice_longer" not in codes(studio)
    studio.render(shown, "again.mp4")
    again, out = ((studio.folder / name).read_bytes() for name in ("again.mp4", "out.mp4"))
    assert again == out
    pictures = [event for event in studio.events if isinstance(event, LivePicture)]
    seen = cv2.imdecode(np.frombuffer(base64.b64decode(pictures[-1].jpeg), np.uint8), cv2.IMREAD_COLOR)
    assert seen.shape == (300, 280, 3)
    difference = np.abs(seen[:80].astype(int) - presenter.photo()[:80, 20:])
    assert difference.mean() < 8  # upright, and in its colours


def test_a_still_photo_is_decoded_once_and_stays_as_it_is_above_the_mouth(studio: SimpleNamespace) -> None:
    shown = save(studio.folder / "anna.png", png(presenter.photo(), transparent_rows=20))
    made = studio.render(shown, photo_motion="still")
    assert "photo_on_white" in codes(studio)
    assert made.frames == 31
    argv = ["ffmpeg", "-v", "error", "-i", studio.folder / "out.mp4", "-vf", "crop=300:80:0:0", "-f", "rawvideo", "-"]
    raw = subprocess.run([*argv[:-1], "-pix_fmt", "gray", "-"], check=True, capture_output=True).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(31, 80, 300).astype(int)
    assert frames[:, :16].min() > 225
    assert np.abs(frames[-1] - frames[3]).mean() < 2


def test_the_first_seconds_of_a_long_video_can_be_watched(studio: SimpleNamespace) -> None:
    long = media_factory.audio(studio.folder / "long.wav", 4)
    studio.render(save(studio.folder / "anna.jpg", jpeg(presenter.photo())), voice=long, preview_s=1)
    (clip,) = [event for event in studio.events if isinstance(event, FirstSeconds)]
    path = save(studio.folder / "clip.mp4", base64.b64decode(clip.mp4))
    assert duration_s(path) == pytest.approx(1, abs=0.05)
    assert duration_s(path, "a:0") == pytest.approx(1, abs=0.05)
    order = [type(event) for event in studio.events]
    assert order.index(FirstSeconds) < len(order) - 5


def test_a_view_that_fails_ends_and_the_render_goes_on(
    studio: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_view, "JPEG_QUALITY", "none")
    shown = save(studio.folder / "anna.jpg", jpeg(presenter.photo()))
    assert studio.render(shown, photo_motion="still").frames == 31
    assert not any(isinstance(event, LivePicture) for event in studio.events)


def test_a_picture_without_a_face_says_so(studio: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="photo_no_face"):
        studio.render(save(studio.folder / "wall.jpg", jpeg(presenter.blank())))


def test_a_program_as_the_engine_gets_a_video_of_the_photo(studio: SimpleNamespace) -> None:
    copy = ["ffmpeg", "-v", "error", "-i", "{video}", "-i", "{audio}", "-c:v", "copy", "{output}"]
    shown = save(studio.folder / "anna.jpg", jpeg(presenter.photo(), 8))
    made = studio.render(shown, engine="copy", command={"copy": Command(argv=tuple(copy))})
    assert (made.frames, made.width, made.height, made.engine) == (31, 300, 300, "copy")


class Turned:
    """A tracker that finds the face turned away."""

    name, version = "turned", "1"

    def track_faces(self, *_: object, **__: object) -> None:
        raise InputError("face_never_clear")


def test_a_face_that_is_turned_away_is_one_of_a_picture(tmp_path: Path) -> None:
    picture = decode.describe_photo(save(tmp_path / "a.jpg", jpeg(presenter.photo())), Limits(), tmp_path)
    cache, phases = Cache(tmp_path / "cache", 1 << 30), Phases(lambda _: None)
    tracker: Any = Turned()
    with pytest.raises(InputError, match="photo_face_turned"):
        analysis.track_video(
            picture, "d", None, tracker, Render(), ["largest"], cache, tmp_path / "t", phases, lambda event: None
        )
