from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.config.schema import Limits
from heygemd.errors import EngineError, InputError
from heygemd.render.video.output_check import ExpectedOutput, blame_us, check_output

from ... import media_factory

FPS = Fraction(25)


def test_the_check_names_what_is_wrong(tmp_path: Path) -> None:
    options = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]
    path = media_factory.video(tmp_path / "v.mp4", 2, options=options, sound=True)
    good = ExpectedOutput(50, FPS, 320, 180, Fraction(2))
    assert check_output(path, good, Limits()).frames == 50
    for bad, word in (
        (ExpectedOutput(51, FPS, 320, 180, Fraction(2)), "frames"),
        (ExpectedOutput(50, FPS, 322, 180, Fraction(2)), "size"),
        (ExpectedOutput(50, FPS, 320, 180, Fraction(3)), "audio_duration"),
    ):
        with pytest.raises(EngineError) as caught:
            check_output(path, bad, Limits())
        assert caught.value.code == "output_invalid" and word in caught.value.fields["reason"]
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(EngineError):
        check_output(path, good, Limits())


def test_a_fault_of_our_file_is_not_a_fault_of_theirs() -> None:
    with pytest.raises(EngineError) as caught, blame_us():
        raise InputError("frame_rate_too_high", fps=1000, limit=240)
    assert (caught.value.code, caught.value.fields["reason"]) == ("output_invalid", "frame_rate_too_high")
