import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from heygemd.render.engines.mesh.lips import LipNet
from heygemd.render.geometry import face_shape
from heygemd.render.mouth import JAW, OPEN, WIDTH
from heygemd.training import clips, corpus, shape, train
from heygemd.training.texts import SENTENCES
from heygemd.training.visemes import ARPABET, IPA, VISEMES, classes, targets

from .. import making

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
    made = corpus.examples(4, seed=5, variants=1)
    assert all(len(e.mel) == 2 * len(e.lips) for e in made) and len(made) == 4
    corpus.save(made, tmp_path / "c.npz")
    back = corpus.read(tmp_path / "c.npz")
    assert all(np.array_equal(a.lips, b.lips) and a.mel.shape == b.mel.shape for a, b in zip(made, back, strict=True))
    heard = train.prepare(back)
    net = train.fit(heard, steps=4)
    assert isinstance(net, LipNet) and all(torch.isfinite(p).all() for p in net.parameters())


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
