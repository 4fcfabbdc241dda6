import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from heygemd.render.audio import mel
from heygemd.render.engines.mesh import mouth_interior, speech_encoder, viseme_net
from heygemd.render.face.mouth_params import JAW, OPEN, WIDTH
from heygemd.render.face.pose import face_shape
from heygemd.training import (
    fit_face_shape,
    mouth_mesh,
    networks,
    real_clips,
    real_lessons,
    synthetic_corpus,
    train_lips,
    train_vad,
    viseme_table,
    whisper_import,
)
from heygemd.training.sentences import SENTENCES
from heygemd.training.visemes import (
    ARPABET,
    IPA,
    TIP_ARPABET,
    TIP_IPA,
    VISEMES,
    mouth_targets,
    tongue_targets,
    viseme_classes,
)
from heygemd.weights import bundled

from .. import media_factory

speakers = pytest.mark.skipif(
    not (shutil.which("espeak-ng") and shutil.which("flite") and shutil.which("festival")),
    reason="espeak-ng, flite and festival are not all installed",
)


def test_tables_agree() -> None:
    assert set(IPA) == set(ARPABET) == set(VISEMES)
    assert (
        viseme_classes("m", True) == ["press"]
        and viseme_classes("tʃ", True) == ["hush"]
        and viseme_classes("", True) == []
    )
    assert (
        viseme_classes("aɪ", True) == ["ah", "ih"]
        and viseme_classes("ow", False) == ["oh", "oo"]
        and viseme_classes("pau", False) == []
    )


def test_targets_close_on_m_and_open_on_a() -> None:
    said = mouth_targets([(0.3, 0.4, "m"), (0.4, 0.6, "ɑː"), (0.6, 0.7, "m"), (0.7, 0.9, "iː")], 1.2, 50, True)
    assert said.shape == (60, 5)
    assert said[17, OPEN] < 0.012 and said[25, OPEN] > 0.1 and said[32, OPEN] < 0.012
    assert said[25, JAW] > 0.06 and said[40, WIDTH] > 0.03
    assert np.abs(said[:8]).max() < 0.01 and np.abs(said[-8:]).max() < 0.01


def test_the_tip_of_the_tongue_rises_for_t_d_n_l_and_th_only() -> None:
    assert set(IPA["tongue"].split()) > TIP_IPA and set(ARPABET["tongue"].split()) == TIP_ARPABET
    phones = [(0.1, 0.2, "n"), (0.2, 0.4, "ɑː"), (0.4, 0.5, "tʃ"), (0.5, 0.6, "onɡ"), (0.6, 0.7, "tʰ")]
    raised = tongue_targets(phones, 1.0, 50, True)
    assert raised.shape == (50,) and raised.dtype == np.float32
    assert (raised[5:10] == 1).all() and (raised[30:35] == 1).all()
    assert not raised[:4].any() and not raised[12:28].any() and not raised[37:].any()
    assert (tongue_targets([(0.0, 0.1, "dh"), (0.1, 0.2, "eh1")], 0.2, 50, False)[[2, 8]] == [1, 0]).all()


@speakers
def test_corpus_keeps_sound_and_lips_together(tmp_path: Path) -> None:
    made = synthetic_corpus.examples(2, seed=5)
    assert all(len(e.sound) // 320 == len(e.lips) for e in made) and len(made) == 4
    synthetic_corpus.save(made, tmp_path / "c.npz")
    back = synthetic_corpus.read(tmp_path / "c.npz")
    assert all(np.array_equal(a.lips, b.lips) for a, b in zip(made, back, strict=True))
    assert all(np.array_equal(a.tongue, b.tongue) for a, b in zip(made, back, strict=True))
    assert all(np.allclose(a.sound.clip(-1, 1), b.sound, atol=1e-4) for a, b in zip(made, back, strict=True))
    mouth = train_lips.train(train_lips.Sources(train_lips.encode(back, speech_encoder.load()), [], []), steps=4)
    assert viseme_net.predict_visemes(made[0].sound, viseme_net.load(networks.weights(mouth))).shape[1] == 5


def ctranslate2(state: dict[str, np.ndarray]) -> bytes:
    """Write a model.bin as CTranslate2's converters do."""

    def text(words: str) -> bytes:
        return struct.pack("<H", len(words) + 1) + words.encode() + b"\0"

    data = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(state))
    for name, tensor in state.items():
        data += text(name) + struct.pack(f"<B{tensor.ndim}I", tensor.ndim, *tensor.shape)
        data += struct.pack("<BI", 4, tensor.nbytes) + tensor.tobytes()
    return data


def test_the_speech_encoder_is_taken_out_of_whisper(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    whispers = {ours: theirs for theirs, ours in whisper_import.NAMES.items()}
    wanted = {
        name: tensor.astype(np.float16)
        for name, tensor in speech_encoder.unpack(bundled.tensors(speech_encoder.FILE)).items()
    }
    named = {"encoder/num_heads": np.array(8, np.float16), "decoder/conv1/weight": chance.normal(size=3).astype("f2")}
    for name, tensor in wanted.items():
        owner, part = next((o, name[len(o) + 1 :]) for o in whispers if name.startswith((f"{o}.", f"{o}_")))
        norm = {"weight": "gamma", "bias": "beta"} if "norm" in owner else {}
        named[f"encoder/{whispers[owner]}/{norm.get(part, part)}"] = tensor
    named["encoder/layer_3/ffn/linear_0/bias"] = named["encoder/layer_0/ffn/linear_0/bias"]
    (tmp_path / "model.bin").write_bytes(ctranslate2(named))
    weights = whisper_import.encoder_weights(tmp_path / "model.bin")
    assert weights.keys() == wanted.keys()
    assert all(np.array_equal(weights[name], tensor) for name, tensor in wanted.items())
    with pytest.raises(ValueError, match="version"):
        whisper_import.encoder_weights(media_factory.VOICE)


def test_eight_bits_are_enough_for_the_speech_encoder() -> None:
    chance, shipped = np.random.default_rng(0), speech_encoder.unpack(bundled.tensors(speech_encoder.FILE))
    weights = {name: chance.normal(size=tensor.shape).astype("f4") for name, tensor in shipped.items()}
    packed = speech_encoder.pack(weights)
    assert sum(t.nbytes for t in packed.values()) < 0.27 * sum(t.nbytes for t in weights.values())
    for name, tensor in speech_encoder.unpack(packed).items():
        assert np.allclose(tensor, weights[name], atol=float(np.abs(weights[name]).max()) / 200)


def talker(voice: np.ndarray, late_s: float) -> real_clips.RealClip:
    """Someone whose mouth opens as the shipped network says, but `late_s` too late, on a head that turns."""
    fps, said = 25.0, viseme_net.predict_visemes(voice)
    times = (np.arange(int(len(voice) / 16_000 * fps)) + 0.5) / fps - late_s
    weights = np.stack([np.interp(times, (np.arange(len(said)) + 0.5) / 50, column) for column in said.T], 1)
    points = (face_shape()["mean"] + np.tensordot(weights, face_shape()["modes"], 1)) * 90 + 200
    points[..., 0] += 30 * np.sin(times)[:, None]
    return real_clips.RealClip(points.astype(np.float32), fps, voice)


@pytest.mark.parametrize("late_s", [0.0, 0.12])
def test_examples_of_a_talking_person_are_in_sync_even_if_the_clip_is_not(late_s: float, tmp_path: Path) -> None:
    voice = real_clips.load_sound(media_factory.VOICE)
    (example,) = real_lessons.examples(talker(voice, late_s), viseme_net.load(), 1, np.random.default_rng(0))
    assert len(example.sound) == 320 * len(example.lips)
    said = (
        viseme_net.predict_visemes(voice)[-len(example.lips) :, OPEN]
        if late_s == 0
        else viseme_net.predict_visemes(voice)[: len(example.lips), OPEN]
    )
    assert np.corrcoef(said, example.lips[: len(said), OPEN])[0, 1] > 0.8
    assert np.percentile(example.lips[:, OPEN], 95) == pytest.approx(0.1, rel=0.1)


def test_single_words_share_one_lag_and_one_size_and_keep_the_level_of_the_first_model() -> None:
    net, voice = viseme_net.load(), real_clips.load_sound(media_factory.VOICE)
    late, said = talker(voice, 0.12), viseme_net.predict_visemes(voice)
    starts = np.flatnonzero(said[:, OPEN] > 0.05)[::15] / 50
    words = []
    for start_s in starts[(starts > 0.5) & (starts < len(voice) / 16_000 - 1)]:
        first = int((start_s - 0.5) * 25)
        points = late.points[first : first + 30] + 5  # pixels: the words are cut to the face
        words.append(real_clips.RealClip(points, 25.0, voice[first * 640 : (first + 30) * 640]))
    made = real_lessons.word_examples(words, net, 2, np.random.default_rng(0))
    assert len(made) == 2 * len(words) >= 8
    for word, (recorded, augmented) in zip(words, zip(made[::2], made[1::2], strict=True), strict=True):
        assert len(recorded.sound) == len(augmented.sound) == 320 * len(recorded.lips)
        assert np.array_equal(recorded.sound, word.voice[: len(recorded.sound)])  # the lips are brought forward
        assert 4 <= len(word.voice) // 320 - len(recorded.lips) <= 8
        assert np.array_equal(recorded.lips, augmented.lips)
    heard = [
        viseme_net.predict_visemes(word.voice)[: len(one.lips)] for word, one in zip(words, made[::2], strict=True)
    ]
    both = np.concatenate(heard)[:, OPEN], np.concatenate([one.lips for one in made[::2]])[:, OPEN]
    assert np.corrcoef(*both)[0, 1] > 0.8
    assert both[1].std() == pytest.approx(both[0].std(), rel=0.15)


def test_of_single_words_no_closure_is_known() -> None:
    shut = np.zeros((60, 5), np.float32)
    shut[:25, OPEN] = shut[35:, OPEN] = 0.05
    example = train_lips.EncodedExample(np.zeros((60, 512), np.float16), shut)
    rng = np.random.default_rng(0)
    weight = train_lips.sample_batch([example], rng, 4)[2]
    assert weight.min() == 1 and weight.max() == train_lips.CLOSED_WEIGHT
    assert (train_lips.sample_batch([example._replace(closures=False)], rng, 4)[2] == 1).all()


def test_a_clip_without_a_face_gives_no_examples() -> None:
    nobody = real_clips.RealClip(np.full((100, 468, 3), np.nan, np.float32), 25.0, np.zeros(64_000, np.float32))
    assert real_lessons.examples(nobody, viseme_net.load(), 2, np.random.default_rng(0)) == []
    assert real_lessons.word_examples([nobody], viseme_net.load(), 2, np.random.default_rng(0)) == []


def test_every_language_has_words() -> None:
    assert all(len(words.split()) >= 15 for words in SENTENCES.values())


def test_mean_face_is_found_again() -> None:
    chance = np.random.default_rng(0)
    mean, modes = face_shape()["mean"], face_shape()["modes"]
    weights = chance.normal(0, 0.03, (2, 60, 5)).astype(np.float32)
    clips = [(mean + np.tensordot(w, modes, 1)) * 90 + 200 for w in weights]
    found = fit_face_shape.mean_face(clips)
    assert np.abs(found - mean).max() < 0.05
    again = fit_face_shape.modes(clips, found)
    assert np.abs(again[OPEN, [13, 14], 1] - modes[OPEN, [13, 14], 1]).max() < 0.1

    assert fit_face_shape.explained(clips, mean, modes) > 0.99
    noisy = [clip + chance.normal(0, 0.45, clip.shape).astype(np.float32) for clip in clips]
    assert fit_face_shape.explained(noisy, mean, modes) < 0.95


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys, runpy, atexit; sys.argv = ['training', '--help'];"
        "atexit.register(lambda: print([m for m in ('numpy', 'torch', 'cv2', 'librosa') if m in sys.modules]));"
        "runpy.run_module('heygemd.training', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "synthesise" in done.stdout and done.stdout.endswith("[]\n")


def test_clip_is_read_through_the_media_package(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    media_factory.video(folder / "talk.mp4", 1, sound=True)
    ((name, clip),) = real_clips.load_folder(folder, tmp_path / "cache")
    assert name == "talk.mp4" and clip.fps == 25 and len(clip.points) == 25 and not np.isfinite(clip.points).any()
    assert abs(len(clip.voice) - 16_000) < 400 and clip.voice.dtype == np.float32


def test_vad_learns_from_speech_over_noise() -> None:
    noise = np.random.default_rng(0)
    voice = real_clips.load_sound(media_factory.VOICE)
    hiss = noise.standard_normal(20 * mel.VOICE_RATE_HZ).astype(np.float32)
    examples = train_vad.make_examples([voice[k : k + 40_000] for k in range(0, 160_000, 40_000)], [hiss], 12, seed=1)
    assert all(len(example.mel) == 2 * len(example.talk) for example in examples)
    before, after = (sum(train_vad.error_rates(train_vad.train(examples, steps), examples)) for steps in (1, 40))
    assert after < 0.5 < before


def test_what_nobody_sees_is_left_out_of_the_mouth() -> None:
    shipped = mouth_interior.shipped_mesh()
    label = np.array([mouth_mesh.SOURCE_SOCKET, mouth_mesh.SOURCE_SOFT, mouth_mesh.SOURCE_TEETH, 1])[shipped.kind]
    behind = shipped.points[:3] + np.float32([0, 0, 5])
    points, jaw = np.concatenate([shipped.points, behind]), np.concatenate([shipped.jaw, np.zeros((3, 3), np.float32)])
    hidden = np.arange(3, dtype=np.int32)[None] + len(shipped.points)
    triangles = np.concatenate([shipped.triangles, hidden])
    made = mouth_mesh.mouth_mesh(points, jaw, triangles, np.append(label, [0, 0, 0]))
    assert made["points"][:, 2].max() < 3
    assert 0.95 * len(shipped.triangles) < len(made["triangles"]) <= len(shipped.triangles)
    assert set(np.unique(made["kind"])) == set(np.unique(shipped.kind))


@speakers
def test_the_table_of_visemes_knows_closures_and_rounding() -> None:
    said = viseme_table.measure_visemes(viseme_net.load(), 8, seed=7)
    assert said["press"].closed > 0.7 > 0.3 > said["ah"].closed
    assert said["oo"].predicted[WIDTH] < -0.03 < 0.02 < said["ee"].predicted[WIDTH]


@speakers
def test_the_table_of_visemes_can_be_made_of_one_language() -> None:
    said = viseme_table.measure_visemes(viseme_net.load(), 4, seed=7, language="cmn-latn-pinyin")
    assert "ah" in said and "ae" not in said  # the a of "cat" is English


def test_the_linear_part_is_found_again() -> None:
    chance = np.random.default_rng(0)
    features = chance.normal(size=(4, 400, 4)).astype(np.float32) @ chance.normal(size=(4, 512)).astype(np.float32)
    lips = np.roll(features[:, :, :5], viseme_net.LINEAR_STEP, 1) * 0.01
    made = [train_lips.EncodedExample(f.astype(np.float16), y) for f, y in zip(features, lips, strict=True)]
    net = networks.VisemeNet()
    with torch.no_grad():
        net.linear.weight.zero_()
    net = train_lips.fit_linear(net, train_lips.Sources(made[:1], made[1:3], made[3:]))
    with torch.no_grad():
        said = net.linear(torch.from_numpy(features).transpose(1, 2)).transpose(1, 2).numpy() * viseme_net.UNIT
    for k in range(5):
        gain = float(train_lips.GAINS[k] * train_lips.LINEAR_SHARE)
        slope, _ = np.polyfit(lips[:, 20:-20, k].ravel(), said[:, 20:-20, k].ravel(), 1)
        assert slope == pytest.approx(gain, rel=0.25)
        assert np.corrcoef(said[:, 20:-20, k].ravel(), lips[:, 20:-20, k].ravel())[0, 1] > 0.95


def test_lips_can_be_learnt_from_single_words_alone() -> None:
    chance = np.random.default_rng(0)
    features = chance.normal(size=(2, 60, 512)).astype(np.float16)
    lips = (features[:, :, :5] * 0.01).astype(np.float32)
    words = [train_lips.EncodedExample(f, y, closures=False) for f, y in zip(features, lips, strict=True)]
    net = train_lips.fit_linear(networks.VisemeNet(), train_lips.Sources([], [], words))
    with torch.no_grad():
        said = net.eval()(torch.from_numpy(features).float()).numpy() * viseme_net.UNIT
    assert np.median(said, (0, 1))[WIDTH] == pytest.approx(np.median(lips, (0, 1))[WIDTH], abs=1e-4)


def test_the_tongue_is_found_again() -> None:
    chance = np.random.default_rng(0)
    features = chance.normal(size=(4, 400, 4)).astype(np.float32) @ chance.normal(size=(4, 512)).astype(np.float32)
    raised = (np.roll(features[:, :, 0], viseme_net.LINEAR_STEP, 1) > 1.5).astype(np.float32)
    made = [
        train_lips.EncodedExample(seen.astype(np.float16), np.zeros((400, 5), np.float32), tongue)
        for seen, tongue in zip(features, raised, strict=True)
    ]
    filmed = train_lips.EncodedExample(made[0].features, made[0].lips)
    net = viseme_net.VisemeNet(train_lips.fit_tongue([*made, filmed]))
    said = np.stack([net.tongue(seen)[:, 0] for seen in features])[:, 20:-20]
    assert 0.1 < raised.mean() < 0.5
    assert ((said > 0.5) == (raised[:, 20:-20] > 0)).mean() > 0.97


def test_merged_networks_give_the_mean_of_what_each_gives() -> None:
    torch.manual_seed(0)
    nets, features = [networks.VisemeNet().eval() for _ in range(3)], torch.randn(1, 60, 512)
    merged = train_lips.merge(nets)
    with torch.no_grad():
        assert torch.allclose(merged(features), torch.stack([net(features) for net in nets]).mean(0), atol=1e-5)
    said = viseme_net.VisemeNet(networks.weights(merged))(features[0].numpy())
    assert np.allclose(said, merged(features)[0].detach().numpy(), atol=1e-4)
