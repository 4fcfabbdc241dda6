"""From two files to a finished one, with a real face, a real tracker and a small real engine."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heygemd.config.schema import Limits, Render
from heygemd.errors import EngineError, HeygemdError, InputError
from heygemd.protocol import FacesSeen, Message, Notice, Progress, RenderRequest, Result, Speaker, SyncMeasurement
from heygemd.render import frame_router, pipeline
from heygemd.render.engines import registry
from heygemd.render.scene import F32, Crop, Patch
from heygemd.render.sync import av_offset
from heygemd.render.video import decode, encode_mux

from .. import media_factory
from . import tint
from .anna import film, pair


class Bench:
    """Renders into a folder and keeps what was reported."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache = folder, cache
        self.events: list[Message] = []

    def render(self, voice: Path, shown: Path, name: str = "out.mp4", **settings: Any) -> Result:
        scratch = self.folder / f"scratch-{len(list(self.folder.iterdir()))}"
        scratch.mkdir()
        chosen = {"quality": "draft", **settings}
        limits, who = chosen.pop("limits", Limits()), chosen.pop("speakers", ())
        request = RenderRequest(
            voice=voice,
            video=shown,
            voice_digest=hashlib.blake2b(voice.read_bytes()).hexdigest(),
            video_digest=hashlib.blake2b(shown.read_bytes()).hexdigest(),
            output=self.folder / name,
            scratch=scratch,
            cache=self.cache,
            models=self.folder,
            settings=Render(**chosen),
            limits=limits,
            speakers=who,
        )
        return pipeline.render(request, self.events.append)

    @property
    def codes(self) -> set[str]:
        return {e.code for e in self.events if isinstance(e, Notice)}

    def fields(self, code: str) -> dict[str, Any]:
        """What is told with the one notice of a code."""
        (fields,) = [e.fields for e in self.events if isinstance(e, Notice) and e.code == code]
        return fields


@pytest.fixture
def bench(tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setitem(registry.ENGINES, "mesh", "tests.render.tint:Tint")
    return Bench(tmp_path, shared_cache)


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Most tests show the same presenter: her track is made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def anna(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("presenter") / "anna.mp4", 2)


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("voices")

    def make(name: str, seconds: float = 1.21, **options: Any) -> Path:
        path = folder / f"{seconds}-{name}"
        return path if path.exists() else media_factory.audio(path, seconds, **options)

    return make


def shown(path: Path) -> dict[str, dict[str, Any]]:
    argv = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", path]
    streams = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)["streams"]
    return {s["codec_type"]: s for s in streams}


@pytest.mark.parametrize("name", ["v.mp3", "v.aac", "v.opus", "v.wma"])
def test_every_kind_of_voice(bench: Bench, anna: Path, voices: Callable[..., Path], name: str) -> None:
    result = bench.render(voices(name), anna)
    made = shown(bench.folder / "out.mp4")
    assert made["audio"]["codec_name"] == "aac"
    assert result.frames == pytest.approx(1.21 * 25, abs=3)
    assert abs(float(made["audio"]["duration"]) - result.frames / 25) < 0.07
    assert not list(bench.folder.glob("*.part"))


def test_exactly_the_frames_of_the_voice(bench: Bench, anna: Path, voices: Callable[..., Path]) -> None:
    assert bench.render(voices("v.wav", 1.21), anna).frames == 31  # ceil(30.25)
    assert bench.render(voices("w.wav", 1.2), anna).frames == 30


@pytest.mark.parametrize("rate", ["24000/1001", "60"])
def test_rates(bench: Bench, tmp_path: Path, voices: Callable[..., Path], rate: str) -> None:
    clip = film(tmp_path / "v.mp4", 1.4, rate=rate)
    result = bench.render(voices("v.wav"), clip)
    assert Fraction(result.fps) == Fraction(rate)
    assert result.frames == -(-Fraction("1.21") * Fraction(rate) // 1)


def test_aac_is_copied_and_the_rest_keeps_rate_and_channels(
    bench: Bench, anna: Path, voices: Callable[..., Path], tmp_path: Path
) -> None:
    voice = voices("v.m4a")
    bench.render(voice, anna)

    def packets(path: Path) -> bytes:
        argv = ["ffmpeg", "-v", "error", "-i", path, "-map", "0:a", "-c", "copy", "-f", "md5", "-"]
        return subprocess.run(argv, check=True, capture_output=True).stdout

    assert packets(voice) == packets(bench.folder / "out.mp4")
    stereo = media_factory.audio(tmp_path / "s.flac", 1.21, 96000, ["-ac", "2"])
    bench.render(stereo, anna, "stereo.mp4")
    made = shown(bench.folder / "stereo.mp4")["audio"]
    assert (made["sample_rate"], made["channels"]) == ("96000", 2)


def test_a_rate_that_aac_cannot_have(bench: Bench, anna: Path, tmp_path: Path) -> None:
    fast = media_factory.audio(tmp_path / "f.wav", 1.21, 192000)
    bench.render(fast, anna, "fast.mp4")
    assert shown(bench.folder / "fast.mp4")["audio"]["sample_rate"] == "96000"


@pytest.mark.parametrize("frames", [1, 2, 8])
def test_a_video_of_few_frames(
    bench: Bench, anna: Path, tmp_path: Path, voices: Callable[..., Path], frames: int
) -> None:
    media_factory.ffmpeg("-i", anna, "-frames:v", str(frames), "-c:v", "libx264", "-crf", "18", tmp_path / "few.mp4")
    assert bench.render(voices("v.wav"), tmp_path / "few.mp4").frames == 31


def test_the_limits_of_peoples_videos_are_not_those_of_ours(
    bench: Bench, tmp_path: Path, voices: Callable[..., Path]
) -> None:
    clip = film(tmp_path / "v.mp4", 1)
    assert bench.render(voices("v.wav"), clip, limits=Limits(max_video_s=1.1)).frames == 31


def test_a_longer_voice(bench: Bench, anna: Path, voices: Callable[..., Path]) -> None:
    assert bench.render(voices("long.wav", 5), anna).frames == 125
    assert bench.fields("voice_longer") == {"voice_s": 5.0, "video_s": 2.0, "policy": "pingpong"}


@pytest.mark.parametrize("name", ["long.wav", "long.m4a"])
def test_a_longer_voice_trimmed(bench: Bench, anna: Path, voices: Callable[..., Path], name: str) -> None:
    assert bench.render(voices(name, 5), anna, audio_longer="trim").frames == 50
    assert float(shown(bench.folder / "out.mp4")["audio"]["duration"]) == pytest.approx(2, abs=0.05)


def test_a_shorter_voice_kept(bench: Bench, anna: Path, voices: Callable[..., Path]) -> None:
    assert bench.render(voices("v.m4a"), anna, audio_shorter="keep").frames == 50
    assert float(shown(bench.folder / "out.mp4")["audio"]["duration"]) == pytest.approx(2, abs=0.05)


def test_the_lips_are_tracked_while_they_are_encoded(
    bench: Bench, anna: Path, voices: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known when the file is finished is what the file itself shows, but for the encoder's losses."""
    known: list[F32] = []
    measure = av_offset.measure_video

    def measured(made: decode.Picture, *given: Any, seen: F32, **options: Any) -> tuple[F32, SyncMeasurement]:
        known.extend([seen, measure(made, *given, **options)[0]])
        return measure(made, *given, seen=seen, **options)

    monkeypatch.setattr(av_offset, "measure_video", measured)
    assert bench.render(voices("v.wav", 2), anna).frames == 50
    meanwhile, afterwards = known
    assert np.isfinite(meanwhile).all() and meanwhile.shape == (50, 5)
    np.testing.assert_allclose(meanwhile, afterwards, rtol=0, atol=0.03)


def test_only_the_face_is_touched(
    bench: Bench, anna: Path, voices: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reaches the encoder is the decoder's bits outside the boxes, and red inside; encoding hardly changes it."""
    written: list[decode.Frame] = []
    write = encode_mux.Encoder.write
    monkeypatch.setattr(encode_mux.Encoder, "write", lambda self, f: (written.append(f), write(self, f))[1])
    bench.render(voices("v.wav"), anna, quality="standard")
    picture = decode.describe_video(anna, Limits())
    changed = np.zeros((picture.height, picture.width), bool)
    for before, after in zip(decode.frames(picture, len(written)), written, strict=True):
        y0, y1 = (decode.planes(f, picture.width, picture.height)[0] for f in (before, after))
        changed |= y0 != y1
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert 0 < len(rows) < picture.height * 0.8 and 0 < len(columns) < picture.width * 0.8
    made = decode.frames(decode.describe_video(bench.folder / "out.mp4", Limits()))
    pairs = [
        [decode.planes(f, picture.width, picture.height)[0][~changed] for f in pair]
        for pair in zip(written, made, strict=True)
    ]
    error = np.mean([np.square(before.astype(float) - after).mean() for before, after in pairs])
    assert 10 * np.log10(255**2 / error) > 40  # dB; more in larger pictures, of which each pixel says less


def test_tags_and_range_are_kept(bench: Bench, tmp_path: Path, voices: Callable[..., Path]) -> None:
    tags = ["-colorspace", "smpte170m", "-color_primaries", "smpte170m", "-color_trc", "smpte170m"]
    full = [*tags, "-color_range", "pc", "-pix_fmt", "yuvj420p"]
    clip = film(tmp_path / "v.mp4", 1.4, codec=["-c:v", "libx264", "-preset", "ultrafast", *full])
    bench.render(voices("v.wav"), clip)
    made, source = shown(bench.folder / "out.mp4")["video"], shown(clip)["video"]
    for key in ("color_space", "color_primaries", "color_transfer", "color_range"):
        assert made[key] == source[key], key
    levels = []
    for path in (clip, bench.folder / "out.mp4"):
        frame = next(decode.frames(decode.describe_video(path, Limits())))
        levels.append(decode.planes(frame, 320, 320)[0][:40].mean())
    assert levels[0] == pytest.approx(levels[1], abs=1.5)


def test_frames_without_a_face_pass_through(bench: Bench, tmp_path: Path, voices: Callable[..., Path]) -> None:
    clip = film(tmp_path / "v.mp4", 3, gap=(1, 2))
    assert bench.render(voices("three.wav", 3), clip).frames == 75


def test_few_frames_may_wait(bench: Bench, tmp_path: Path, voices: Callable[..., Path], monkeypatch: Any) -> None:
    """A long gap while an engine holds back patches ends its input instead of filling memory."""
    monkeypatch.setattr(frame_router, "WAITING_BYTES", 0)
    registry.ENGINES["mesh"] = "tests.render.tint:Batches"
    clip = film(tmp_path / "v.mp4", 4, gap=(1, 3))
    assert bench.render(voices("four.wav", 4), clip).frames == 100


@pytest.mark.parametrize("name", ["Forgets", "Stops"])
def test_an_engine_that_breaks_its_contract(bench: Bench, anna: Path, voices: Callable[..., Path], name: str) -> None:
    registry.ENGINES["mesh"] = f"tests.render.tint:{name}"
    with pytest.raises(EngineError) as caught:
        bench.render(voices("v.wav"), anna)
    assert caught.value.code == "engine_broken"
    assert not (bench.folder / "out.mp4").exists() and not list(bench.folder.glob("*.part"))


def test_a_patch_of_the_wrong_frame(bench: Bench, anna: Path, voices: Callable[..., Path], monkeypatch: Any) -> None:
    def shifted(self: tint.Tint, crops: Any, *rest: Any) -> Any:
        for crop in crops:
            assert isinstance(crop, Crop)
            yield Patch(crop.output + 1, crop.image, np.zeros(crop.image.shape[:2], np.float32))

    monkeypatch.setattr(tint.Tint, "render", shifted)
    with pytest.raises(EngineError):
        bench.render(voices("v.wav"), anna)


def test_the_second_voice_finds_the_analysis_done(bench: Bench, anna: Path, voices: Callable[..., Path]) -> None:
    tint.Tint.studied, bench.cache = 0, bench.folder / "cache"
    bench.render(voices("v.wav"), anna)
    bench.render(voices("w.wav", 1.5), anna, "second.mp4")
    assert tint.Tint.studied == 1
    for file in bench.cache.rglob("*.*"):
        file.write_bytes(file.read_bytes()[:-7])
    assert bench.render(voices("w.wav", 1.5), anna, "third.mp4").frames == 38  # damaged entries are made again
    assert tint.Tint.studied == 2


def test_the_second_video_finds_the_voice_heard(
    bench: Bench, anna: Path, voices: Callable[..., Path], tmp_path: Path
) -> None:
    tint.Tint.analysed_voices, bench.cache = 0, bench.folder / "cache"
    bench.render(voices("v.wav"), anna)
    bench.render(voices("v.wav"), film(tmp_path / "other.mp4", 1), "second.mp4")
    assert tint.Tint.analysed_voices == 1
    bench.render(voices("w.wav", 1.5), anna, "third.mp4")
    assert tint.Tint.analysed_voices == 2


def frame_digests(path: Path) -> bytes:
    argv = ["ffmpeg", "-v", "error", "-i", path, "-map", "0", "-f", "framemd5", "-"]
    return subprocess.run(argv, check=True, capture_output=True).stdout


def test_the_same_request_gives_the_same_frames_and_sound(
    bench: Bench, anna: Path, voices: Callable[..., Path]
) -> None:
    """With the shipped engine: from an empty cache, from what that render stored, and from an empty cache again."""
    registry.ENGINES["mesh"] = "heygemd.render.engines.mesh:MeshEngine"
    made = []
    for number, cache in enumerate(("first", "first", "second")):
        bench.cache = bench.folder / cache
        bench.render(voices("long.wav", 5), anna, f"{number}.mp4", quality="standard")
        made.append(frame_digests(bench.folder / f"{number}.mp4"))
    assert made[0] == made[1] == made[2]


def test_progress_rises_to_the_end(bench: Bench, anna: Path, voices: Callable[..., Path]) -> None:
    bench.render(voices("v.wav"), anna)
    percents = [e.percent for e in bench.events if isinstance(e, Progress)]
    phases = [e.phase for e in bench.events if isinstance(e, Progress)]
    assert percents == sorted(percents) and percents[-1] >= 96
    assert list(dict.fromkeys(phases)) == ["analyse", "prepare", "render", "measure"]


def test_what_people_must_hear(bench: Bench, anna: Path, tmp_path: Path) -> None:
    media_factory.ffmpeg("-f", "lavfi", "-i", "anullsrc=r=44100", "-t", "1", tmp_path / "silent.wav")
    assert bench.render(tmp_path / "silent.wav", anna).offset_ms is None
    assert "audio_silent" in bench.codes
    assert bench.fields("below_720p") == {"width": 320, "height": 320}
    assert bench.fields("voice_shorter") == {"voice_s": 1.0, "video_s": 2.0, "policy": "cut"}


def test_faults_of_the_files(bench: Bench, anna: Path, tmp_path: Path, voices: Callable[..., Path]) -> None:
    def code(voice: Path, clip: Path) -> str:
        with pytest.raises(InputError) as caught:
            bench.render(voice, clip)
        return caught.value.code

    blank = media_factory.video(tmp_path / "blank.mp4", 1, filters="drawbox=t=fill:color=gray")
    assert code(voices("v.wav"), blank) == "no_face"
    assert code(media_factory.audio(tmp_path / "short.wav", 0.1), anna) == "audio_too_short"
    assert code(anna, anna) == "no_audio"
    assert code(voices("v.wav"), voices("v.mp3")) == "no_video"
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 99)
    assert code(voices("v.wav"), tmp_path / "noise.mp4") == "media_unreadable"
    no_keyframe = ["-c:v", "libx264", "-preset", "ultrafast", "-bsf:v", "noise=drop='lt(n,5)'"]
    assert code(voices("v.wav"), film(tmp_path / "headless.mkv", 1, codec=no_keyframe)) == "no_picture"


def test_a_damaged_tail_is_rendered_and_told(bench: Bench, tmp_path: Path, voices: Callable[..., Path]) -> None:
    codec = ["-c:v", "libx264", "-preset", "ultrafast", "-movflags", "+faststart", "-g", "10"]
    clip = film(tmp_path / "v.mp4", 4, codec=codec)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 6 // 10])
    assert bench.render(voices("v.wav"), clip).frames == 31
    assert "video_cut_short" in bench.codes and "video_damaged" not in bench.codes
    start = len(data) * 6 // 10
    clip.write_bytes(data[:start] + bytes(len(data) - start))  # whole in size, and no picture in its last part
    bench.render(voices("v.wav"), clip)
    assert "video_damaged" in bench.codes


def test_a_wrong_offset_is_no_delivery(
    bench: Bench, anna: Path, voices: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heygemd.render.sync.av_offset.estimate_offset", lambda *args: (200.0, 3.0))
    with pytest.raises(HeygemdError) as caught:
        bench.render(voices("v.wav"), anna)
    assert caught.value.code == "out_of_sync"
    assert not (bench.folder / "out.mp4").exists()


def test_an_offset_that_only_one_measurement_finds_stops_nothing(
    bench: Bench, anna: Path, voices: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def estimate(params: Any, fps: Any, voice: Any, lips: Any = None) -> tuple[float, float]:
        return (200.0, 3.0) if lips is None else (0.0, 3.0)

    monkeypatch.setattr("heygemd.render.sync.av_offset.estimate_offset", estimate)
    assert bench.render(voices("v.wav"), anna).offset_ms == 0


def speakers(voices: Sequence[Path], *faces: str | int, at_s: float = 0.0) -> tuple[Speaker, ...]:
    digests = [hashlib.blake2b(voice.read_bytes()).hexdigest() for voice in voices]
    times = [0.0, at_s, at_s]
    return tuple(
        Speaker(voice=voice, digest=digest, face=face, at_s=at)
        for voice, digest, face, at in zip(voices, digests, faces, times, strict=False)
    )


def red(path: Path) -> list[bool]:
    """Whether the left and the right half of the middle frame are tinted."""
    argv = [
        "ffmpeg",
        "-v",
        "error",
        "-ss",
        "0.5",
        "-i",
        path,
        "-frames:v",
        "1",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    frame = np.frombuffer(subprocess.run(argv, check=True, capture_output=True).stdout, np.uint8).reshape(240, 480, 3)
    return [bool((half[..., 0] > 250).mean() > 0.04) for half in (frame[:, :240], frame[:, 240:])]


def test_the_face_that_is_asked_for_speaks_and_the_faces_are_shown(
    bench: Bench, voices: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice, clip = voices("v.wav"), pair(tmp_path / "pair.mp4", 1.6)
    for face, tinted in (("left", [True, False]), (2, [False, True]), (2, [False, True])):
        bench.events.clear()
        bench.render(voice, clip, "pair-out.mp4", face=face)
        (seen,) = [event for event in bench.events if isinstance(event, FacesSeen)]
        assert (seen.count, seen.used) == (2, (1 + tinted.index(True),))
        assert red(bench.folder / "pair-out.mp4") == tinted
    bench.events.clear()
    with pytest.raises(InputError) as caught:
        bench.render(voice, clip, face=3)
    assert (caught.value.code, caught.value.fields) == ("face_missing", {"number": 3, "count": 2})
    assert [event.count for event in bench.events if isinstance(event, FacesSeen)] == [2]
    monkeypatch.setitem(registry.ENGINES, "wav2lip", "tests.render.tint:Whole")
    bench.render(voice, clip, engine="wav2lip", face="left")
    assert "face_left_to_engine" in bench.codes


def test_two_people_speak_each_with_a_voice_of_his_own(
    bench: Bench, anna: Path, voices: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, both = pair(tmp_path / "pair.mp4", 1.6), [voices("v.wav", 1.0), voices("w.m4a", 0.8)]
    result = bench.render(both[0], clip, speakers=speakers(both, "right", "left", at_s=0.6), channels="own")
    assert (result.frames, len(result.speakers)) == (35, 2)
    assert red(bench.folder / "out.mp4") == [True, True]
    argv = ["ffmpeg", "-v", "error", "-i", bench.folder / "out.mp4", "-f", "f32le", "-"]
    sound = np.frombuffer(subprocess.run(argv, check=True, capture_output=True).stdout, "<f4").reshape(-1, 2)
    rate = len(sound) / 1.4
    early, late = sound[: int(0.5 * rate)], sound[int(1.1 * rate) : int(1.3 * rate)]
    assert early[:, 1].std() > 20 * early[:, 0].std() and late[:, 0].std() > 20 * late[:, 1].std()
    assert "several_faces" not in bench.codes
    for shown, wanted, code in ((anna, ("left", "right"), "faces_missing"), (clip, ("left", 1), "faces_same")):
        with pytest.raises(InputError) as caught:
            bench.render(both[0], shown, speakers=speakers(both, *wanted))
        assert caught.value.code == code
    monkeypatch.setitem(registry.ENGINES, "wav2lip", "tests.render.tint:Whole")
    with pytest.raises(InputError, match="engine_one_voice"):
        bench.render(both[0], clip, engine="wav2lip", speakers=speakers(both, "left", "right"))
