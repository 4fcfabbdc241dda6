"""A manifest comes back from people: what is wrong with it makes everything be rendered anew, at once and quietly."""

import json
import time

import pytest

from heygemd.config.job_toml import JobSettings
from heygemd.config.schema import Config, Render
from heygemd.daemon.intake import manifest
from heygemd.daemon.publish import report
from heygemd.job import Job, Media, Video
from heygemd.protocol import Notice, Result

RESULT = Result(
    frames=25, duration_s=1, width=64, height=64, fps="30000/1001", engine="mesh", tracker="facemesh", offset_ms=20
)


def job(name="caf\udce9.mp4"):
    media = Media(name=name, size=6, mtime_ns=1, digest="d")
    notices = [Notice(code="no_face_ranges", fields={"ranges": [(1.0, 2.5)], "count": 2, "share": 0.1})]
    video = Video(source=media, output="a.mp4", state="done", attempts=1, result=RESULT, notices=notices)
    return Job(id="x", name="n", arrived=1, folder="n", voice=Media(name="v.wav", size=5, mtime_ns=1), videos=[video])


def written():
    return json.loads(manifest.compose(job(), Render(), {"a.mp4": 60}))


def test_what_was_written_is_read_again():
    found = manifest.parse(json.dumps(written()).encode())
    assert found is not None
    source, settings = Media(name="originals/caf\udce9.mp4", size=6, mtime_ns=2), JobSettings()
    as_now = manifest.result_settings(settings, Render(), source.title)
    made = found.result_of(source, "a.mp4", as_now)
    assert made is not None and made.video == job().videos[0]
    assert found.result_of(source, "a.mp4", manifest.result_settings(settings, Render(quality="high"), "a.mp4")) is None


def changed(*keys, value):
    """Return a manifest with one value replaced."""
    data = written()
    place = data
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return json.dumps(data).encode()


VIDEO = ("made", 0, "video")
HOSTILE = {
    "an endless frame rate": changed(*VIDEO, "result", "fps", value="1e300000000"),
    "a long frame rate": changed(*VIDEO, "result", "fps", value="1" * 100_000),
    "a frame rate over zero": changed(*VIDEO, "result", "fps", value="25/0"),
    "digits of another script": changed(*VIDEO, "result", "fps", value="٢٥/١"),
    "no number": changed(*VIDEO, "result", "duration_s", value=float("nan")),
    "an infinite number": changed(*VIDEO, "result", "offset_ms", value=float("inf")),
    "a huge number": changed(*VIDEO, "result", "frames", value=10**4000),
    "a negative size": changed("made", 0, "size", value=-1),
    "text for a number": changed("made", 0, "size", value="60"),
    "a truth for a number": changed("voice", "size", value=True),
    "a list for a name": changed("voice", "name", value=["v.wav"]),
    "a long name": changed("voice", "name", value="v" * 100_000),
    "a list for a frame rate": changed(*VIDEO, "result", "fps", value=[25]),
    "a message code with markup": changed(*VIDEO, "notices", value=[{"code": "<b>", "fields": {}}]),
    "no message code": changed(*VIDEO, "notices", value=[{"code": "", "fields": {}}]),
    "words for a span": changed(*VIDEO, "notices", value=[{"code": "x", "fields": {"ranges": [["a", "b"]]}}]),
    "a span without end": changed(*VIDEO, "notices", value=[{"code": "x", "fields": {"ranges": [[1, float("inf")]]}}]),
    "a number too large to write": changed(*VIDEO, "notices", value=[{"code": "x", "fields": {"share": 1e308}}]),
    "facts in facts": changed(*VIDEO, "notices", value=[{"code": "x", "fields": {"a": {"b": 1}}}]),
    "deep": b"[" * 200_000,
    "large": b" " * (manifest.MAX_BYTES + 1),
    "many": changed("made", value=[written()["made"][0]] * (manifest.MAX_RESULTS + 1)),
    "no object": b"[]",
    "nothing": b"",
    "bytes": bytes(range(256)),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_manifest_means_render_anew(attack):
    began = time.process_time()
    assert manifest.parse(HOSTILE[attack]) is None
    assert time.process_time() - began < 5


def test_what_is_taken_from_a_manifest_can_be_shown(tmp_path):
    """Bounds of numbers and texts are those that the report can write."""
    video = written()["made"][0]["video"]
    video["result"] |= {"fps": "9999999999/1", "duration_s": 1e12, "frames": (1 << 62) - 1, "offset_ms": -1e12}
    facts = {"ranges": [[-1e12, 1e12], [0, 0]] * 20, "count": -(1 << 61), "share": 1e12, "x": [None, True, "{x}"]}
    video["notices"] = [{"code": "no_face_ranges", "fields": facts}, {"code": "page_named", "fields": {}}]
    found = manifest.parse(changed(*VIDEO, value=video))
    assert found is not None
    shown = job().model_copy(update={"videos": [found.made[0].video]})
    assert b"heygemd" in report.make(shown, Config(), tmp_path / "log", {}, {}).report


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"[" * 99_999, json.dumps({"voice": {"name": "../../etc"}}).encode()]
)
def test_a_broken_manifest_means_none(data):
    assert manifest.parse(data) is None


def test_records_keep_undecodable_names():
    video = Video(source=Media(name="caf\udce9.mp4", size=1, mtime_ns=1), output="x.mp4")
    assert json.loads(json.dumps(video.model_dump()))["source"]["name"] == "caf\udce9.mp4"
