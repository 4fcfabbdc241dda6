"""A recording that drives the lips is known by its name beside the voice's."""

from __future__ import annotations

import pytest

from heygemd.config.schema import Render
from heygemd.daemon.intake import job_inputs, manifest
from heygemd.daemon.intake.filename_rules import lips_of
from heygemd.errors import NotReady

from .dropped_files import classified, compose, entry, seen


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("voice.lips.wav", "voice"), ("Voice Lips.WAV", "voice"), ("voice_lips.m4a", "voice"),
        ("voice.口型.wav", "voice"), ("voice 口型.wav", "voice"), ("录音口型.wav", "录音"),
        ("voice (lips).wav", "voice"),
        ("录音（口型）.wav", "录音"), ("tulips.wav", ""), ("lips.wav", ""), ("口型.wav", ""), ("voice.wav", ""),
        ("lips voice.wav", ""),
    ],
)  # fmt: skip
def test_names(name: str, stem: str) -> None:
    assert lips_of(name) == stem


def chosen(*files: tuple[str, str, int], earlier: manifest.Manifest | None = None) -> tuple[str, str | None]:
    found = job_inputs.choose(classified(*files), earlier)
    return found.voice.entry.name, found.lips.entry.name if found.lips else None


VIDEO = ("a.mp4", "video", 2)


def test_it_needs_the_voice_that_it_is_named_after() -> None:
    assert chosen(("v.wav", "audio", 1), ("v.lips.mp3", "audio", 1), VIDEO) == ("v.wav", "v.lips.mp3")
    assert chosen(("v.lips.mp3", "audio", 1), VIDEO) == ("v.lips.mp3", None)
    for other in ("w.lips.wav", "v.口型.wav"):
        files = [("v.wav", "audio", 1), (other, "audio", 1), ("v_lips.wav", "audio", 1), VIDEO]
        with pytest.raises(NotReady) as caught:
            chosen(*files)
        assert caught.value.code == "too_many_audio"


def test_rounds() -> None:
    """Kept results need both; a new one for the lips joins the voice of the last round, a new voice comes alone."""
    first = [("originals/v.wav", "audio", 1), ("originals/v.lips.wav", "audio", 2), ("originals/a.mp4", "video", 2)]
    job = compose(classified(*first), seen(*(entry(name, size) for name, _, size in first), entry("a.mp4", 3)))
    assert [media.name for media in job.shared] == ["originals/v.wav", "originals/v.lips.wav"]
    job.videos[0].state = "done"
    made = manifest.parse(manifest.compose(job, Render(), {"a.mp4": 3}))
    assert made is not None
    result = ("a.mp4", "video", 3)
    again = [*first, result]
    assert compose(classified(*again), seen(*(entry(n, s) for n, _, s in again)), earlier=made).videos[0].kept
    alone = [first[0], first[2], result]
    assert not compose(classified(*alone), seen(*(entry(n, s) for n, _, s in alone)), earlier=made).videos[0].kept
    assert chosen(("v.lips.wav", "audio", 9), *first, earlier=made) == ("originals/v.wav", "v.lips.wav")
    assert chosen(("v.wav", "audio", 9), *first, earlier=made) == ("v.wav", None)
