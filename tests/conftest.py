"""Fixtures for tests of real jobs: small real media. Also loads the report of tried faults."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.e2e.harness import PATIENCE
from tests.media_factory import ffmpeg, video

pytest_plugins = ["tests.faults.fault_report"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every test more time on a loaded machine."""
    if PATIENCE != 1:
        for item in items:
            mark = item.get_closest_marker("timeout")
            usual_s = float(mark.args[0] if mark else config.getini("timeout"))
            item.add_marker(pytest.mark.timeout(usual_s * PATIENCE), append=False)


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A real face and a real voice of one second, and files that cannot be rendered."""
    from heygemd.demo import clips

    folder, sample_voice = tmp_path_factory.mktemp("media"), Path(clips.__file__).with_name("voice.m4a")
    clip = clips.Clip("anna.mp4", 160, 160, Fraction(25), 1.0, 200)
    clips.write(clip, clips.frames(clip, clips.portrait()), folder)
    voice = folder / "voice.m4a"
    ffmpeg("-ss", "0.5", "-t", "1", "-i", sample_voice, "-c:a", "aac", voice)
    long_voice = folder / "long.wav"
    ffmpeg("-i", sample_voice, "-ar", "16000", "-ac", "1", long_voice)
    broken = folder / "broken.mp4"
    broken.write_bytes((folder / "anna.mp4").read_bytes()[:200] + b"\x55" * 3000)
    no_face = video(folder / "no-face.mp4", 1, "160x160")
    return SimpleNamespace(face=folder / "anna.mp4", voice=voice, long_voice=long_voice, broken=broken, no_face=no_face)
