"""python -m heygemd.training VERB: how the shipped face shape and lips were made, and how to make your own."""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .real_clips import Clip
    from .train_lips import Heard

SHIPPED = Path(__file__).parents[1] / "weights" / "assets" / "lips.safetensors"
VARIANTS = 4
"""A clip is heard as recorded and in three disguises."""

# What is heavy is imported by the step that needs it: help and mistakes are answered at once.


def make_shape(a: argparse.Namespace) -> None:
    """Make face_shape.safetensors from a folder of talking videos."""
    import numpy as np
    from safetensors.numpy import save_file

    from . import fit_face_shape, real_clips

    points = [clip.points for _, clip in real_clips.of(a.clips, a.cache) if np.isfinite(clip.points).any()]
    mean = fit_face_shape.mean_face(points)
    save_file({"mean": mean, "modes": fit_face_shape.modes(points, mean)}, a.out)


def make_ear(a: argparse.Namespace) -> None:
    """Take the ear out of Whisper-base and write ear.safetensors."""
    from safetensors.torch import save_file

    from ..render.engines.mesh import speech_encoder
    from . import whisper_import

    try:
        state = whisper_import.ear(a.model)
    except ValueError as error:
        raise SystemExit(f"{a.model}: {error}") from None
    save_file(speech_encoder.pack(state), a.out)


def synthesise(a: argparse.Namespace) -> None:
    """Make one file of synthesised speech with known lips."""
    from . import synthetic_corpus

    synthetic_corpus.save(synthetic_corpus.examples(a.count, a.seed), a.out)


def fit(a: argparse.Namespace) -> None:
    """Train the mouth on corpus files, talking videos or both, and write lips.safetensors."""
    from safetensors.torch import save_file

    from . import real_clips, train_lips

    spoken, seen = _lessons(a.corpus, dict(real_clips.of(a.clips, a.cache)) if a.clips else {})
    save_file(train_lips.fit(_sources(spoken, seen.values()), a.steps, a.seed).state_dict(), a.out)


def _lessons(corpora: list[Path], talkers: dict[str, Clip]) -> tuple[list[Heard], dict[str, list[Heard]]]:
    """Return what the synthesised teach, and what each talker does."""
    import numpy as np

    from ..render.engines.mesh import viseme_net
    from . import synthetic_corpus, train_lips
    from .real_lessons import lessons

    noise, first = np.random.default_rng(0), viseme_net.load()
    listener = first[0]
    spoken = train_lips.prepare(chain.from_iterable(map(synthetic_corpus.read, corpora)), listener)
    heard = {
        name: train_lips.prepare(lessons(clip, first, VARIANTS, noise), listener) for name, clip in talkers.items()
    }
    return spoken, heard


def _sources(spoken: list[Heard], seen: Iterable[list[Heard]]) -> list[list[Heard]]:
    return [part for part in (spoken, list(chain(*seen))) if part]


def evaluate(a: argparse.Namespace) -> None:
    """Print how well lips predicted from sound agree with the real ones in a folder of talking videos.

    With --folds the mouth is trained anew for each part of the speakers, on the others' videos.
    """
    import numpy as np
    from safetensors.torch import load_file

    from ..render.engines.mesh import viseme_net
    from . import real_clips, train_lips

    talkers = dict(real_clips.of(a.clips, a.cache))
    rows: dict[str, dict[str, float] | None] = {}
    if a.folds:
        spoken, seen = _lessons(a.corpus, talkers)
    else:
        net = viseme_net.load(load_file(a.weights))
        rows = {name: train_lips.compare(net, clip) for name, clip in talkers.items()}
    for fold in range(a.folds):
        held = [name for name in talkers if _part(a.speakers.get(name, name), a.folds) == fold]
        sources = _sources(spoken, (seen[name] for name in talkers if name not in held))
        net = viseme_net.load(train_lips.fit(sources, a.steps, fold).state_dict())
        rows |= {name: train_lips.compare(net, talkers[name]) for name in held}
    for name, row in rows.items():
        print(name, json.dumps(row and {key: round(value, 3) for key, value in row.items()}))
    usable = [row for row in rows.values() if row]
    for what, middle in (("mean", np.mean), ("median", np.median)):
        print(what, {key: round(float(middle([row[key] for row in usable])), 3) for key in usable[0]})


def judge(a: argparse.Namespace) -> None:
    """Train the judge of lips against voice on synthesised speech, talking videos or both; write sync.safetensors."""
    from safetensors.torch import load_file, save_file

    from ..render.sync.syncnet import SyncNet
    from . import real_clips, synthetic_corpus, train_sync

    net = SyncNet()
    if a.start:
        net.load_state_dict(load_file(a.start))
    talkers = [clip for _, clip in real_clips.of(a.clips, a.cache)] if a.clips else []
    spoken = train_sync.spoken([example for path in a.corpus for example in synthetic_corpus.read(path)])
    sources = [pairs for pairs in (spoken, train_sync.filmed(talkers)) if pairs]
    save_file(train_sync.fit(sources, a.steps, a.seed, net).state_dict(), a.out)


def judge_folds(a: argparse.Namespace) -> None:
    """Print how often a shift of the sound is found, each speaker judged by a network trained on the others."""
    from . import real_clips, synthetic_corpus, train_sync

    talkers = list(real_clips.of(a.clips, a.cache))
    spoken = train_sync.spoken([example for path in a.corpus for example in synthetic_corpus.read(path)])
    tried: dict[float, list[float]] = {}
    for fold in range(a.folds):
        held = {name for name, _ in talkers if _part(a.speakers.get(name, name), a.folds) == fold}
        others = train_sync.filmed([clip for name, clip in talkers if name not in held])
        net = train_sync.fit([spoken, others], a.steps, fold, train_sync.fit([spoken], a.steps, fold))
        for clip in (clip for name, clip in talkers if name in held):
            for seconds, errors in train_sync.shifts(net, clip).items():
                tried.setdefault(seconds, []).extend(errors)
    for seconds, errors in sorted(tried.items()):
        shares = {f"within {ms} ms": round(sum(e <= ms for e in errors) / len(errors), 3) for ms in (20, 40, 80)}
        print(f"{seconds:g} s", len(errors), json.dumps(shares))


def gate(a: argparse.Namespace) -> None:
    """Train what tells speech from music and noise, on folders of recordings; write speech.safetensors."""
    from safetensors.torch import save_file

    from . import real_clips
    from . import train_vad as school

    voices, behind = ([real_clips.sound(path) for path in sorted(folder.rglob("*")) if path.is_file()]
                      for folder in (a.voices, a.behind))  # fmt: skip
    save_file(school.fit(school.lessons(voices, behind, a.count, a.seed), a.steps, a.seed).state_dict(), a.out)


def _part(speaker: str, folds: int) -> int:
    """Return the fold of a speaker, the same at each run."""
    return zlib.crc32(speaker.encode()) % folds


def _speakers(path: str) -> dict[str, str]:
    """Read the lines "file name, tab, speaker"."""
    return dict(line.split("\t")[:2] for line in Path(path).read_text("utf-8").splitlines() if "\t" in line)


def main() -> None:
    """Parse the command line and run one step."""
    parser = argparse.ArgumentParser(prog="python -m heygemd.training", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    verbs = parser.add_subparsers(required=True)

    def add(name: str, run: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        verb = verbs.add_parser(name, help=run.__doc__)
        verb.set_defaults(run=run)
        return verb

    verb = add("shape", make_shape)
    verb.add_argument("clips", type=Path)
    verb.add_argument("--out", type=Path, default=Path("face_shape.safetensors"))
    verb = add("ear", make_ear)
    verb.add_argument("model", type=Path, help="model.bin of Whisper-base for CTranslate2")
    verb.add_argument("--out", type=Path, default=Path("ear.safetensors"))
    verb = add("synthesise", synthesise)
    verb.add_argument("out", type=Path)
    verb.add_argument("--count", type=int, default=500)
    verb = add("train", fit)
    verb.add_argument("corpus", type=Path, nargs="*", help="synthesised speech")
    verb.add_argument("--clips", type=Path, help="folder of talking videos, your own presenter's for example")
    verb.add_argument("--out", type=Path, default=Path("lips.safetensors"))
    verb = add("evaluate", evaluate)
    verb.add_argument("clips", type=Path)
    verb.add_argument("corpus", type=Path, nargs="*", help="with --folds: synthesised speech to train on beside")
    verb.add_argument("--weights", type=Path, default=SHIPPED)
    verb.add_argument("--folds", type=int, default=0)
    verb.add_argument("--speakers", type=_speakers, default={}, help="file of lines: video's name, tab, speaker")
    _add_judges(add)
    for name in ("shape", "train", "evaluate", "judge", "judge-folds"):
        verbs.choices[name].add_argument("--cache", type=Path, default=Path(".cache/tracks"))
    for name in ("train", "evaluate"):
        verbs.choices[name].add_argument("--steps", type=int, default=1800)
    for name in ("synthesise", "train", "judge", "gate"):
        verbs.choices[name].add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    if a.run is not make_shape:
        import torch

        torch.set_num_threads(a.threads)
    a.run(a)


def _add_judges(add: Callable[[str, Callable[[argparse.Namespace], None]], argparse.ArgumentParser]) -> None:
    verb = add("judge", judge)
    verb.add_argument("corpus", type=Path, nargs="*", help="synthesised speech")
    verb.add_argument("--clips", type=Path, help="folder of talking videos")
    verb.add_argument("--steps", type=int, default=700)
    verb.add_argument("--start", type=Path, help="weights to train on from")
    verb.add_argument("--out", type=Path, default=Path("sync.safetensors"))
    verb = add("judge-folds", judge_folds)
    verb.add_argument("clips", type=Path)
    verb.add_argument("corpus", type=Path, nargs="+", help="synthesised speech")
    verb.add_argument("--steps", type=int, default=700)
    verb.add_argument("--folds", type=int, default=3)
    verb.add_argument("--speakers", type=_speakers, default={}, help="file of lines: video's name, tab, speaker")
    verb = add("gate", gate)
    verb.add_argument("voices", type=Path, help="folder of recorded speech without anything behind it")
    verb.add_argument("behind", type=Path, help="folder of music and noise without speech")
    verb.add_argument("--count", type=int, default=2300, help="lessons of 16 seconds")
    verb.add_argument("--steps", type=int, default=2500)
    verb.add_argument("--out", type=Path, default=Path("speech.safetensors"))


if __name__ == "__main__":
    main()
