from fractions import Fraction

import pytest

from heygemd.render.scene import Finding
from heygemd.render.video import timeline


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("pingpong", [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]),
        ("loop", [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2]),
        ("hold", [0, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3]),
        ("trim", [0, 1, 2, 3]),
    ],
)
def test_a_voice_longer_than_the_video(policy: str, expected: list[int]) -> None:
    line, found = timeline.build_timeline(4, Fraction(10), Fraction(21, 20), policy, "cut")  # type: ignore[arg-type]
    assert line.source.tolist() == expected
    assert [f.code for f in found] == ["voice_longer"]


def test_a_frame_more_or_less_is_no_news() -> None:
    """People would read that 3.0 s are longer than 3.0 s."""
    for voice_s in (Fraction(3), Fraction(3) + Fraction(1, 100), Fraction(3) - Fraction(39, 1000)):
        assert timeline.build_timeline(75, Fraction(25), voice_s, "pingpong", "cut")[1] == []
    (longer,) = timeline.build_timeline(75, Fraction(25), Fraction(305, 100), "pingpong", "cut")[1]
    assert longer == Finding("voice_longer", {"voice_s": 3.05, "video_s": 3.0, "policy": "pingpong"})


def test_a_single_frame_can_be_stretched() -> None:
    line, _ = timeline.build_timeline(1, Fraction(10), Fraction(1, 2), "pingpong", "cut")
    assert line.source.tolist() == [0] * 5


def test_a_shorter_voice_cuts_or_keeps_the_video() -> None:
    line, found = timeline.build_timeline(20, Fraction(10), Fraction(1), "pingpong", "cut")
    assert len(line.source) == 10 and found[0].code == "voice_shorter"
    assert len(timeline.build_timeline(20, Fraction(10), Fraction(1), "pingpong", "keep")[0].source) == 20
    assert timeline.build_timeline(10, Fraction(10), Fraction(1), "pingpong", "cut")[1] == []


@pytest.mark.parametrize("fps", ["25", "24000/1001", "30000/1001", "60"])
def test_the_output_covers_the_voice_to_the_frame(fps: str) -> None:
    rate, voice_s = Fraction(fps), Fraction(16000 * 61 + 1, 16000)
    frames = timeline.frame_count(voice_s, rate)
    assert frames / rate >= voice_s > (frames - 1) / rate


def test_nothing_is_reported_that_the_output_does_not_show() -> None:
    line, _ = timeline.build_timeline(100, Fraction(10), Fraction(4), "pingpong", "cut")
    found = [
        Finding("face_turned", {"ranges": [[1.0, 2.0], [3.5, 6.0], [7.0, 8.0]]}),
        Finding("no_face_ranges", {"ranges": [[5.0, 6.0]]}),
        Finding("below_720p", {"height": 480}),
    ]
    turned, low = timeline.clip_findings(found, line)
    assert turned == Finding("face_turned", {"ranges": [[1.0, 2.0], [3.5, 4.0]]})
    assert low.code == "below_720p"


def test_what_is_true_of_a_photo_is_true_as_long_as_the_voice():
    shown = timeline.photo_timeline(Fraction(25), Fraction(2))
    assert (len(shown.source), shown.source.max()) == (50, 0)
    found = [Finding("several_faces", {"count": 2, "ranges": [[0.0, 0.04]]}), Finding("below_720p", {"width": 1})]
    kept = timeline.clip_findings(found, shown)
    assert [each.fields for each in kept] == [{"count": 2, "ranges": [[0.0, 2.0]]}, {"width": 1}]
