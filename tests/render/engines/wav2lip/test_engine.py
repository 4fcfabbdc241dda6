"""Wav2Lip: in compat mode within rounding of the reference, otherwise with its defects corrected."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from heygemd.config.schema import Render, Wav2Lip
from heygemd.protocol import Speaker
from heygemd.render import pipeline
from heygemd.render.engines.wav2lip import Wav2LipEngine, face_crop, mel_windows, network, reference
from heygemd.render.engines.wav2lip.batching import PRECISIONS, BatchRunner
from heygemd.render.scene import F32, Patch, Timeline, Track
from heygemd.render.video import decode
from heygemd.testing.frame_engine_contract import FrameEngineContract, face_crops, synthetic_track, synthetic_voice

from .... import media_factory
from ... import wav2lip_weights
from ...anna import film, pair
from ...requests import request
from . import parity

FPS = Fraction(25)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = wav2lip_weights.write(tmp_path_factory.mktemp("models") / "wav2lip_gan.pth")
    yield path
    path.unlink()


@pytest.fixture(scope="session")
def loaded(checkpoint: Path) -> Wav2LipEngine:
    """The engine with its weights read; tests that want other settings give them to a copy."""
    engine = Wav2LipEngine(checkpoint.parent)
    engine.check()
    return engine


def with_settings(engine: Wav2LipEngine, **options: object) -> Wav2LipEngine:
    made = Wav2LipEngine(engine.models, settings=Render(wav2lip=Wav2Lip.model_validate(options)))
    made.__dict__["_runner"] = engine._runner
    return made


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_generator_against_the_reference(precision: str) -> None:
    most, mean = parity.generator_error(PRECISIONS[precision], "cpu")
    limit_most, limit_mean = parity.GENERATOR_LIMITS[precision]
    assert most < limit_most and mean < limit_mean


def test_the_lower_face_alone_is_the_same() -> None:
    generator = network.Generator(wav2lip_weights.state())
    with torch.inference_mode():
        full, lower = generator(*parity.generator_input()), generator(*parity.generator_input(), lower=True)
    assert lower.shape[2] == network.SIDE - network.LOWER_TOP
    assert (full[:, :, network.LOWER_TOP :] - lower).abs().max() < 1e-6


def test_mel_against_the_reference() -> None:
    wanted = parity.unpacked("mel", -4, 4)
    starts = np.array([*range(0, wanted.shape[1] - 16, 16), wanted.shape[1] - 16])
    for start, window in zip(starts, mel_windows.log_mel_windows(parity.voice(), starts), strict=True):
        assert np.abs(window - wanted[:, start : start + 16]).max() < 1e-3


@pytest.mark.parametrize(("precision", "computed"), [("auto", "fp32"), ("bf16", "bf16")])
def test_pipeline_against_the_reference(checkpoint: Path, tmp_path: Path, precision: str, computed: str) -> None:
    """The box, the frame count and the pixels of two frames, the second for the last window of the voice."""
    most, mean = parity.pipeline_error(checkpoint.parent, tmp_path, "cpu", precision)
    limit_most, limit_mean = parity.PIPELINE_LIMITS[computed]
    assert most <= limit_most and mean < limit_mean
    assert len(reference.window_starts(len(parity.voice()), FPS)) == parity.KNOWN["count"]


def test_reference_boxes_lead_and_are_whole(tmp_path: Path) -> None:
    moving = np.tile(np.float32([10.7, 20.2, 60.9, 80.9]), (10, 1)) + np.arange(10, dtype=np.float32)[:, None]
    boxes = reference.reference_boxes(moving, [(0, 10)], (640, 480))
    assert boxes[0].tolist() == [12, 22, 62, 92]  # the mean of frames 0 to 4, ten pixels more below
    assert boxes.dtype == np.int64 and (boxes[9] == boxes[8]).any()


class TestContract(FrameEngineContract):
    engine = Wav2LipEngine

    @pytest.fixture(autouse=True)
    def _weights(self, loaded: Wav2LipEngine) -> None:
        type(self).models = loaded.models
        self.ready = loaded

    def make(self) -> Wav2LipEngine:
        return with_settings(self.ready)


def render(engine: Wav2LipEngine, track: Track, sound: F32, line: Timeline | None = None) -> list[Patch]:
    line = line or Timeline(FPS, np.arange(len(track), dtype=np.int32))
    data = engine.analyse_video(iter(()), track)
    return list(engine.render(iter(face_crops(track, line)), track, line, sound, data))


def test_windows_lead_by_what_is_set_at_every_rate() -> None:
    outputs = np.arange(200)
    at_25 = mel_windows.window_starts(outputs, FPS, 0)
    assert np.array_equal(at_25, np.rint(outputs * 80 / 25))  # the reference's, rounded and not cut
    assert np.array_equal(mel_windows.window_starts(outputs, FPS, 0.05), at_25 - 4)
    twice = mel_windows.window_starts(np.arange(400), Fraction(50), 0)
    assert np.abs(twice.reshape(-1, 2).mean(1) - at_25).max() <= 0.5  # the middle of two halves is the middle


def test_every_frame_of_the_voice_is_painted(loaded: Wav2LipEngine, tmp_path: Path) -> None:
    """The reference stops before the end; here the window goes on into silence."""
    patches = render(with_settings(loaded), synthetic_track(tmp_path, 12), synthetic_voice(12))
    assert len(patches) == 12 and all(patch.mask.max() > 0.95 for patch in patches)
    compat = render(with_settings(loaded, compat=True), synthetic_track(tmp_path, 12), synthetic_voice(12))
    assert sum(patch.mask.any() for patch in compat) == len(reference.window_starts(12 * 640, FPS)) < 12


def test_only_the_lower_face_changes_and_softly(loaded: Wav2LipEngine, tmp_path: Path) -> None:
    track = synthetic_track(tmp_path, 4)
    for patch, crop in zip(render(with_settings(loaded), track, synthetic_voice(4)), face_crops(track), strict=True):
        points = track.points(crop.source, crop.source + 1)[0, :, :2] - crop.box[:2]
        mouth, brow, eyes = (points[k].astype(int) for k in (13, 9, 33))
        assert patch.mask[mouth[1], mouth[0]] > 0.95
        assert patch.mask[: eyes[1] + 3].max() < 0.02 and patch.mask[brow[1], brow[0]] == 0
        assert np.abs(np.diff(patch.mask, axis=0)).max() < 0.2 and np.abs(np.diff(patch.mask, axis=1)).max() < 0.2
        assert patch.mask[[0, -1]].max() == patch.mask[:, [0, -1]].max() == 0


def test_colour_is_the_presenters(tmp_path: Path) -> None:
    """A made face that is too green comes back to the skin's colour along the seam, its features stay."""
    track = synthetic_track(tmp_path, 1)
    crop = face_crops(track)[0]
    view = face_crop.crop_transform(
        crop, face_crop.smoothed_boxes(face_crop.face_bounds(track), [(0, 1)], (0, 0.05, 0, 0), 25.0)[0]
    )
    face = face_crop.sample_face(crop, view)
    soft = face_crop.lower_face_mask(track.points(0, 1)[0, :, :2], crop, view)
    made = face[network.LOWER_TOP :].astype(np.float32) + np.float32([0, 40, 0])
    made[20:24, 40:50] -= 30
    error = np.abs(face_crop.match_colour(made, face, soft) - face[network.LOWER_TOP :])
    rim = (soft > 0.2) & (soft < 0.8)
    assert np.abs(made - face[network.LOWER_TOP :])[rim].mean() > 13 and error[rim].mean() < 2
    assert error[20:24, 40:50].mean() == pytest.approx(30, abs=6)


def test_a_face_made_of_itself_changes_nothing_in_delta(tmp_path: Path) -> None:
    track = synthetic_track(tmp_path, 1)
    crop = face_crops(track)[0]
    view = face_crop.crop_transform(
        crop, face_crop.smoothed_boxes(face_crop.face_bounds(track), [(0, 1)], (0, 0.05, 0, 0), 25.0)[0]
    )
    face, points = face_crop.sample_face(crop, view), track.points(0, 1)[0, :, :2]
    soft = face_crop.lower_face_mask(points, crop, view)
    made = face[network.LOWER_TOP :].astype(np.float32)
    kept = face_crop.paste(crop, view, made, soft, face, delta=True)
    assert np.array_equal(kept.image, crop.image)
    blurred = face_crop.paste(crop, view, made, soft, face, delta=False)
    lips = track.points(0, 1)[0, 13, :2].astype(int) - crop.box[:2]
    apart = np.abs(blurred.image.astype(int) - crop.image)[lips[1] - 9 : lips[1] + 9, lips[0] - 9 : lips[0] + 9]
    assert 0 < apart.mean() < 25


def test_boxes_are_steady_within_a_shot_and_free_over_a_cut() -> None:
    still = np.tile(np.float32([100, 100, 200, 240]), (40, 1))
    still[20:] += 60
    noise = np.random.default_rng(3).normal(0, 2, still.shape).astype(np.float32)
    out = face_crop.smoothed_boxes(still + noise, [(0, 20), (20, 40)], (0, 0.05, 0, 0), 25.0)
    assert out[5:15].std(0).max() < 1.2
    assert out[19, 0] < 105 and out[20, 0] > 155
    assert out[10, 3] == pytest.approx(240 + 0.05 * 140, abs=2)


def test_pauses_are_silence_to_the_network() -> None:
    """Breath and hum between words would move the lips."""
    speech = np.concatenate([synthetic_voice(50), np.zeros(16_000, np.float32), synthetic_voice(50)])
    hum = np.random.default_rng(1).normal(0, 1e-3, len(speech)).astype(np.float32)
    starts = np.array([40, 198, 300])
    windows = mel_windows.log_mel_windows(speech + hum, starts)
    quiet = mel_windows.gate_silence(windows, starts, mel_windows.speech_weight(speech + hum))
    assert windows[1].mean() > -3.9 and (quiet[1] == -4).all()
    assert np.abs(quiet[[0, 2]] - windows[[0, 2]]).max() < 0.2


@pytest.mark.parametrize("seconds", [0, 0.01, 0.1])
def test_next_to_no_voice(seconds: float) -> None:
    sound = np.ones(int(seconds * 16_000), np.float32)
    windows = mel_windows.log_mel_windows(sound, np.array([-20, -4, 0, 40]))
    assert windows.shape == (4, 80, 16) and (windows[[0, 3]] == -4).all()
    assert (
        mel_windows.gate_silence(windows, np.zeros(4, np.int64), mel_windows.speech_weight(sound)).shape
        == windows.shape
    )


def test_batches_shrink_when_memory_does_not_suffice(loaded: Wav2LipEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = loaded._runner
    sizes, real = [], BatchRunner._forward

    def forward(self: BatchRunner, faces: np.ndarray, *rest: object) -> F32:
        sizes.append(len(faces))
        if len(faces) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return real(self, faces, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(BatchRunner, "_forward", forward)
    monkeypatch.setattr(runner, "batch", 8)
    faces = np.zeros((5, 96, 96, 3), np.uint8)
    made = runner.submit(faces, np.zeros((5, 80, 16), np.float32), True).result()
    assert sizes == [5, 4, 2, 2, 1] and len(made) == 5


def test_a_gpu_without_room_gives_way_to_the_processor_and_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No GPU is needed: it has no room from the first byte on."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "card")
    monkeypatch.setattr(network.Generator, "to", lambda self, *args, **kwargs: self)
    real, tried = BatchRunner._forward, []

    def forward(self: BatchRunner, faces: np.ndarray, *rest: object) -> F32:
        tried.append((self.device, len(faces)))
        if self.device != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, faces, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(BatchRunner, "_forward", forward)
    runner = BatchRunner(wav2lip_weights.state(), "cuda", "fp32", tmp_path)
    asked = np.zeros((3, 96, 96, 3), np.uint8), np.zeros((3, 80, 16), np.float32)
    assert len(runner.submit(*asked, True).result()) == 3
    assert tried == [("cuda", 3), ("cuda", 3), ("cuda", 3), ("cuda", 2), ("cuda", 1), ("cpu", 3)]
    tried.clear()
    again = BatchRunner(wav2lip_weights.state(), "cuda", "fp32", tmp_path)
    again.submit(*asked, True).result()
    assert tried == [("cpu", 3)]
    (tmp_path / "wav2lip-batches.json").write_text("[3]")  # damaged: nothing is known
    assert BatchRunner(wav2lip_weights.state(), "cuda", "fp32", tmp_path).batch == 16


def test_a_gpu_without_room_for_the_network_gives_way_to_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    real = network.Generator.to

    def to(self: network.Generator, *args: object, **kwargs: object) -> network.Generator:
        if args and args[0] == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "card")
    monkeypatch.setattr(network.Generator, "to", to)
    runner = BatchRunner(wav2lip_weights.state(), "cuda", "fp32", None)
    assert (runner.device, runner.batch) == ("cpu", 8)


@pytest.mark.parametrize(("chosen", "rounded"), [("fp32", False), ("auto", True)])
def test_fp32_on_a_gpu_is_not_rounded_to_tf32(chosen: str, rounded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """TF32's ten bits cost fp32 its accuracy; in half precision cuDNN's setting plays no part."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "card")
    monkeypatch.setattr(network.Generator, "to", lambda self, *args, **kwargs: self)
    BatchRunner(wav2lip_weights.state(), "cuda", chosen, None)
    assert torch.backends.cudnn.allow_tf32 is rounded


def test_a_whole_render(checkpoint: Path, tmp_path: Path) -> None:
    voice = media_factory.audio(tmp_path / "voice.wav", 1.2)
    asked = request(tmp_path, voice, film(tmp_path / "anna.mp4", 1.4), Render(engine="wav2lip"), checkpoint.parent)
    result = pipeline.render(asked, lambda event: None)
    assert (result.engine, result.frames) == ("wav2lip", 30)
    before, after = (decode.describe_video(path, asked.limits) for path in (asked.video, asked.output))
    changed = [
        np.abs(decode.planes(a, 320, 320)[0].astype(int) - decode.planes(b, 320, 320)[0])
        for a, b in zip(decode.frames(before, 30), decode.frames(after), strict=True)
    ]
    assert all(frame[100:220].max() > 60 for frame in changed)  # noise in the last frame as in the first
    assert max(frame[:60].mean() for frame in changed) < 3  # but for the encoder, the brow is the camera's


def test_each_of_two_people_says_what_he_would_say_alone(checkpoint: Path, tmp_path: Path) -> None:
    voices = [
        media_factory.speech(tmp_path / "left.wav", seconds=1.2),
        media_factory.audio(tmp_path / "right.wav", 1.2),
    ]
    clip = pair(tmp_path / "pair.mp4", 1.4)

    def render(name: str, face: str = "largest", *said: Path, speakers: bool = False) -> list[np.ndarray]:
        """Return (30, 60) luma of every frame, of blocks in which the encoder's noise is evened out."""
        folder = tmp_path / name
        folder.mkdir()
        settings = Render(engine="wav2lip", face=face, quality="high")  # type: ignore[arg-type]
        asked = request(folder, said[0], clip, settings, checkpoint.parent)
        if speakers:
            each = [
                Speaker(voice=voice, digest=voice.name, face=side)
                for voice, side in zip(said, ("left", "right"), strict=True)
            ]
            asked = asked.model_copy(update={"speakers": tuple(each)})
        result = pipeline.render(asked, lambda event: None)
        assert result.frames == 30 and len(result.speakers) == 2 * speakers
        made = decode.describe_video(asked.output, asked.limits)
        planes = (decode.planes(frame, 480, 240)[0] for frame in decode.frames(made))
        return [luma.reshape(30, 8, 60, 8).mean((1, 3)) for luma in planes]

    both = render("both", "largest", *voices, speakers=True)
    left, right = (render(side, side, voice) for side, voice in zip(("left", "right"), voices, strict=True))
    differ = [[np.abs(a - b) for a, b in zip(both, alone, strict=True)] for alone in (left, right)]
    for own, speaker in ((np.s_[:, :30], 0), (np.s_[:, 30:], 1)):
        said = max(frame[own].max() for frame in differ[speaker])
        unsaid = min(frame[own].max() for frame in differ[1 - speaker])
        assert 4 * said < unsaid, (said, unsaid)
