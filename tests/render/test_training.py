import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from heygemd.render import features
from heygemd.render.engines.mesh import lips
from heygemd.render.engines.mesh.lips import Ear, LipNet
from heygemd.render.geometry import face_shape
from heygemd.render.mouth import JAW, OPEN, WIDTH
from heygemd.training import clips, corpus, distil, gate, shape, talkers, train
from heygemd.training.corpus import Example
from heygemd.training.texts import SENTENCES
from heygemd.training.visemes import ARPABET, IPA, VISEMES, classes, targets

from .. import making

VOICE = Path(__file__).parents[2] / "heygemd" / "demo" / "voice.m4a"

speakers = pytest.mark.skipif(
    not (shutil.which("espeak-ng") and shutil.which("flite") and shutil.which("festival")),
    reason="espeak-ng, flite and festival are not all installed",
)


def test_tables_agree() -> None:
    assert set(IPA) == set(ARPABET) == set(VISEMES)
    assert classes("m", True) == ["press"] and classes("tʃ", True) == ["hush"] and classes("", True) == []
    assert classes("aɪ", True) == ["ah", "ih"] and classes("ow", False) == ["oh", "oo"] and classes("pau", False) == []


def test_targets_close_on_m_and_open_on_a() -> None:
    said = targets([(0.3, 0.4, "m"), (0.4, 0.6, "ɑː"), (0.6, 0.7, "m"), (0.7, 0.9, "iː")], 1.2, 50, True)
    assert said.shape == (60, 5)
    assert said[17, OPEN] < 0.012 and said[25, OPEN] > 0.1 and said[32, OPEN] < 0.012
    assert said[25, JAW] > 0.06 and said[40, WIDTH] > 0.03
    assert np.abs(said[:8]).max() < 0.01 and np.abs(said[-8:]).max() < 0.01


@speakers
def test_corpus_keeps_sound_and_lips_together(tmp_path: Path) -> None:
    made = corpus.examples(2, seed=5)
    assert all(len(e.mel) == 2 * len(e.lips) for e in made) and len(made) == 4
    corpus.save(made, tmp_path / "c.npz")
    back = corpus.read(tmp_path / "c.npz")
    assert all(np.array_equal(a.lips, b.lips) and a.mel.shape == b.mel.shape for a, b in zip(made, back, strict=True))
    ear = lips.load().ear
    net = train.fit(ear, [train.prepare(back, ear)], steps=4)
    assert isinstance(net, LipNet) and all(torch.isfinite(p).all() for p in net.parameters())
    assert all(torch.equal(a, b) for a, b in zip(net.ear.parameters(), ear.parameters(), strict=True))


def babble(seconds: int, seed: int) -> Example:
    """A made-up teacher, who hears in the sound a few bands' loudness."""
    chance = np.random.default_rng(seed)
    mel = np.repeat(chance.normal(0, 3, (seconds * 10, features.BANDS)), 10, 0).astype(np.float32)
    heard = np.zeros((seconds * 50, 512), np.float16)
    heard[:, :4] = mel[::2, :4]
    return Example(mel, np.full((seconds * 50, 5), np.nan, np.float32), heard)


def test_an_ear_learns_what_its_teacher_hears() -> None:
    lessons = [babble(8, seed) for seed in range(6)]
    basis = distil.components(lessons)
    new = babble(8, 99)
    wanted = basis.of(new.heard.astype(np.float32))[:, :4]

    def error(ear: Ear) -> float:
        with torch.inference_mode():
            mel = features.level(new.mel, features.speaking(new.mel))
            said = ear(torch.from_numpy(mel.T.copy())[None])[0, :4].T.numpy()
        return float(np.mean((said - wanted) ** 2))

    assert error(distil.fit(lessons, steps=30)) < 0.9 * error(distil.fit(lessons, steps=1))


def test_what_was_heard_is_kept_with_the_sound(tmp_path: Path) -> None:
    corpus.save([babble(2, 1), babble(3, 2)], tmp_path / "c.npz")
    back = corpus.read(tmp_path / "c.npz")
    assert [e.heard.shape for e in back] == [(100, 512), (150, 512)]
    assert train.prepare(back, lips.load().ear) == []  # nobody knows these lips


def talker(voice: np.ndarray, late_s: float) -> clips.Clip:
    """Someone whose mouth opens as the shipped network says, but `late_s` too late, on a head that turns."""
    fps, said = 25.0, lips.speak(voice)
    times = (np.arange(int(len(voice) / 16_000 * fps)) + 0.5) / fps - late_s
    weights = np.stack([np.interp(times, (np.arange(len(said)) + 0.5) / 50, column) for column in said.T], 1)
    points = (face_shape()["mean"] + np.tensordot(weights, face_shape()["modes"], 1)) * 90 + 200
    points[..., 0] += 30 * np.sin(times)[:, None]
    return clips.Clip(points.astype(np.float32), fps, voice)


@pytest.mark.parametrize("late_s", [0.0, 0.12])
def test_a_talking_person_teaches_in_step_even_when_the_clip_is_not(late_s: float, tmp_path: Path) -> None:
    voice = clips.sound(VOICE)
    (lesson,) = talkers.lessons(talker(voice, late_s), lips.load(), 1, np.random.default_rng(0))
    assert len(lesson.mel) == 2 * len(lesson.lips)
    said = lips.speak(voice)[-len(lesson.lips) :, OPEN] if late_s == 0 else lips.speak(voice)[: len(lesson.lips), OPEN]
    assert np.corrcoef(said, lesson.lips[: len(said), OPEN])[0, 1] > 0.8
    assert np.percentile(lesson.lips[:, OPEN], 95) == pytest.approx(0.1, rel=0.1)


def test_a_film_without_a_face_teaches_nothing() -> None:
    nobody = clips.Clip(np.full((100, 468, 3), np.nan, np.float32), 25.0, np.zeros(64_000, np.float32))
    assert talkers.lessons(nobody, lips.load(), 2, np.random.default_rng(0)) == []


def test_every_language_has_words() -> None:
    assert all(len(words.split()) >= 15 for words in SENTENCES.values())


def test_mean_face_is_found_again() -> None:
    chance = np.random.default_rng(0)
    mean, modes = face_shape()["mean"], face_shape()["modes"]
    weights = chance.normal(0, 0.03, (2, 60, 5)).astype(np.float32)
    clips = [(mean + np.tensordot(w, modes, 1)) * 90 + 200 for w in weights]
    found = shape.mean_face(clips)
    assert np.abs(found - mean).max() < 0.05
    again = shape.modes(clips, found)
    assert np.abs(again[OPEN, [13, 14], 1] - modes[OPEN, [13, 14], 1]).max() < 0.1


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys, runpy, atexit; sys.argv = ['training', '--help'];"
        "atexit.register(lambda: print([m for m in ('numpy', 'torch', 'cv2', 'librosa') if m in sys.modules]));"
        "runpy.run_module('heygemd.training', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "synthesise" in done.stdout and done.stdout.endswith("[]\n")


def test_clip_is_read_through_the_one_door(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    making.video(folder / "talk.mp4", 1, sound=True)
    ((name, clip),) = clips.of(folder, tmp_path / "cache")
    assert name == "talk.mp4" and clip.fps == 25 and len(clip.points) == 25 and not np.isfinite(clip.points).any()
    assert abs(len(clip.voice) - 16_000) < 400 and clip.voice.dtype == np.float32


def test_speech_is_learnt_from_speech_over_noise() -> None:
    noise = np.random.default_rng(0)
    voice = clips.sound(VOICE)
    hiss = noise.standard_normal(20 * features.VOICE_RATE_HZ).astype(np.float32)
    lessons = gate.lessons([voice[k : k + 40_000] for k in range(0, 160_000, 40_000)], [hiss], 12, seed=1)
    assert all(len(lesson.mel) == 2 * len(lesson.talk) for lesson in lessons)
    before, after = (sum(gate.missed(gate.fit(lessons, steps), lessons)) for steps in (1, 40))
    assert after < 0.5 < before
