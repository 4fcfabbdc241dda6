"""python -m heygemd.training COMMAND: makes the bundled weights, or your own."""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from .sentences import SENTENCES

if TYPE_CHECKING:
    from .real_clips import RealClip
    from .train_lips import EncodedExample

SHIPPED = Path(__file__).parents[1] / "weights" / "assets" / "lips.safetensors"
VARIANTS, WORD_VARIANTS = 3, 2
"""Each clip is used as recorded and with two augmentations of its sound, each single word with one."""

# Heavy modules are imported by the step that needs them, so that help and usage errors are printed at once.


def fit_face_shape(a: argparse.Namespace) -> None:
    """Make face_shape.safetensors from a folder of talking videos."""
    import numpy as np
    from safetensors.numpy import save_file

    from . import fit_face_shape, real_clips

    points = [clip.points for _, clip in real_clips.load_folder(a.clips, a.cache) if np.isfinite(clip.points).any()]
    mean = fit_face_shape.mean_face(points)
    modes = fit_face_shape.modes(points, mean)
    save_file({"mean": mean, "modes": modes}, a.out)
    print(f"they explain {fit_face_shape.explained(points, mean, modes):.1%} of the lips' variance within a clip")


def make_mouth_mesh(a: argparse.Namespace) -> None:
    """Make mouth_interior.safetensors from a mesh of a whole mouth."""
    import numpy as np
    from safetensors.numpy import save_file

    from .mouth_mesh import mouth_mesh

    source = np.load(a.mesh)
    save_file(mouth_mesh(source["points"], source["jaw"], source["tris"].astype(np.int32), source["label"]), a.out)


def import_speech_encoder(a: argparse.Namespace) -> None:
    """Make speech_encoder.safetensors from Whisper-base."""
    from safetensors.numpy import save_file

    from ..render.engines.mesh import speech_encoder
    from . import whisper_import

    try:
        weights = whisper_import.encoder_weights(a.model)
    except ValueError as error:
        raise SystemExit(f"{a.model}: {error}") from None
    save_file(speech_encoder.pack(weights), a.out)


def make_triangles(a: argparse.Namespace) -> None:
    """Make lower_face.safetensors from the bundled mean face."""
    from safetensors.numpy import save_file

    from .warp_triangles import warp_triangles

    save_file({"triangles": warp_triangles()}, a.out)


def make_mel_filters(a: argparse.Namespace) -> None:
    """Make mel_filters.safetensors with librosa."""
    import librosa
    import numpy as np
    from safetensors.numpy import save_file

    from ..render.audio import mel
    from ..render.scene import F32

    def filters(fft: int, bands: int, low_hz: float, high_hz: float) -> F32:
        exact = librosa.filters.mel(
            sr=mel.VOICE_RATE_HZ, n_fft=fft, n_mels=bands, fmin=low_hz, fmax=high_hz, dtype=np.float64
        )
        return np.asarray(exact, np.float32)

    save_file({mel.filter_bank_name(*bank): filters(*bank) for bank in mel.FILTER_BANKS}, a.out)


def synthesise(a: argparse.Namespace) -> None:
    """Make a corpus file of synthesised speech with known lips."""
    from . import synthetic_corpus

    synthetic_corpus.save(synthetic_corpus.examples(a.count, a.seed), a.out)


def train_lips(a: argparse.Namespace) -> None:
    """Train lips.safetensors on corpus files, talking videos or both."""
    from safetensors.numpy import load_file, save_file

    from . import networks, real_clips, train_lips

    clips = dict(real_clips.load_folder(a.clips, a.cache)) if a.clips else {}
    synthetic, talking = _lip_examples(a.corpus, clips)
    words = _word_examples([clip for _, clip in real_clips.load_folder(a.words, a.cache)]) if a.words else []
    sources = train_lips.Sources(synthetic, list(chain(*talking.values())), words)
    net = networks.weights(train_lips.train(sources, a.steps, a.seed))
    # No video shows the tongue: without synthesised speech the shipped file's is kept.
    shipped = {name: tensor for name, tensor in load_file(SHIPPED).items() if name.startswith("tongue.")}
    save_file(net | (train_lips.fit_tongue(synthetic) if synthetic else shipped), a.out)


def _lip_examples(
    corpora: list[Path], clips: dict[str, RealClip]
) -> tuple[list[EncodedExample], dict[str, list[EncodedExample]]]:
    """Return the examples of the corpus files, and those of each clip."""
    import numpy as np

    from ..render.engines.mesh import speech_encoder, viseme_net
    from . import real_lessons, synthetic_corpus, train_lips

    rng, shipped, encoder = np.random.default_rng(0), viseme_net.load(), speech_encoder.load()
    synthetic = train_lips.encode(chain.from_iterable(map(synthetic_corpus.read, corpora)), encoder)
    real = {
        name: train_lips.encode(real_lessons.examples(clip, shipped, VARIANTS, rng), encoder)
        for name, clip in clips.items()
    }
    return synthetic, real


def _word_examples(clips: list[RealClip]) -> list[EncodedExample]:
    import numpy as np

    from ..render.engines.mesh import speech_encoder, viseme_net
    from . import real_lessons, train_lips

    words = real_lessons.word_examples(clips, viseme_net.load(), WORD_VARIANTS, np.random.default_rng(0))
    return train_lips.encode(words, speech_encoder.load(), closures=False)


def evaluate_lips(a: argparse.Namespace) -> None:
    """Print how well lips predicted from sound agree with the real ones in a folder of talking videos.

    With --folds, each part of the speakers is evaluated with a network trained on the others' videos.
    """
    import numpy as np
    from safetensors.numpy import load_file

    from ..render.engines.mesh import viseme_net
    from . import networks, real_clips, train_lips

    clips = dict(real_clips.load_folder(a.clips, a.cache))
    rows: dict[str, dict[str, float] | None] = {}
    if a.folds:
        synthetic, real = _lip_examples(a.corpus, clips)
    else:
        net = viseme_net.load(load_file(a.weights))
        rows = {name: train_lips.evaluate(net, clip) for name, clip in clips.items()}
    for fold in range(a.folds):
        held = [name for name in clips if _fold(a.speakers.get(name, name), a.folds) == fold]
        talking = list(chain(*(real[name] for name in clips if name not in held)))
        sources = train_lips.Sources(synthetic, talking, [])
        net = viseme_net.load(networks.weights(train_lips.train(sources, a.steps, fold)))
        rows |= {name: train_lips.evaluate(net, clips[name]) for name in held}
    for name, row in rows.items():
        print(name, json.dumps(row and {key: round(value, 3) for key, value in row.items()}))
    usable = [row for row in rows.values() if row]
    for what, middle in (("mean", np.mean), ("median", np.median)):
        print(what, {key: round(float(middle([row[key] for row in usable])), 3) for key in usable[0]})


def print_visemes(a: argparse.Namespace) -> None:
    """Print what lips do in each class of sounds of synthesised speech, as predicted (and as the viseme table says)."""
    from safetensors.numpy import load_file

    from ..render.engines.mesh import viseme_net
    from ..render.face.mouth_params import MOUTH_PARAMS
    from . import viseme_table

    measured = viseme_table.measure_visemes(viseme_net.load(load_file(a.weights)), a.count, a.seed, a.language)
    print("| viseme | sounds |", " | ".join(MOUTH_PARAMS), "| closed |")
    print("| --- " * (len(MOUTH_PARAMS) + 3) + "|")
    for name, row in sorted(measured.items()):
        cells = (f"{is_:.3f} ({wanted:.3f})" for is_, wanted in zip(row.predicted, row.expected, strict=True))
        print(f"| {name} | {row.sounds} |", " | ".join(cells), f"| {row.closed:.0%} |")


def train_sync(a: argparse.Namespace) -> None:
    """Train sync.safetensors on corpus files, talking videos or both."""
    from safetensors.torch import load_file, save_file

    from . import networks, real_clips, synthetic_corpus, train_sync

    net = networks.SyncNet()
    if a.start:
        net.load_state_dict(load_file(a.start))
    clips = [clip for _, clip in real_clips.load_folder(a.clips, a.cache)] if a.clips else []
    synthetic = train_sync.synthetic_pairs([example for path in a.corpus for example in synthetic_corpus.read(path)])
    sources = [pairs for pairs in (synthetic, train_sync.real_pairs(clips)) if pairs]
    save_file(train_sync.train(sources, a.steps, a.seed, net).state_dict(), a.out)


def evaluate_sync(a: argparse.Namespace) -> None:
    """Print how often a shift of the sound is found, for each speaker with a network trained on the others."""
    from . import real_clips, synthetic_corpus, train_sync

    clips = list(real_clips.load_folder(a.clips, a.cache))
    synthetic = train_sync.synthetic_pairs([example for path in a.corpus for example in synthetic_corpus.read(path)])
    tried: dict[float, list[float]] = {}
    for fold in range(a.folds):
        held = {name for name, _ in clips if _fold(a.speakers.get(name, name), a.folds) == fold}
        others = train_sync.real_pairs([clip for name, clip in clips if name not in held])
        first = train_sync.train([synthetic], a.steps, fold)
        net = train_sync.train([synthetic, others], a.steps, fold, first)
        for clip in (clip for name, clip in clips if name in held):
            for seconds, errors in train_sync.shift_errors(net, clip).items():
                tried.setdefault(seconds, []).extend(errors)
    for seconds, errors in sorted(tried.items()):
        shares = {f"within {ms} ms": round(sum(e <= ms for e in errors) / len(errors), 3) for ms in (20, 40, 80)}
        print(f"{seconds:g} s", len(errors), json.dumps(shares))


def train_vad(a: argparse.Namespace) -> None:
    """Train vad.safetensors on folders of recordings."""
    from safetensors.torch import save_file

    from . import real_clips, train_vad

    voices, behind = ([real_clips.load_sound(path) for path in sorted(folder.rglob("*")) if path.is_file()]
                      for folder in (a.voices, a.behind))  # fmt: skip
    examples = train_vad.make_examples(voices, behind, a.count, a.seed)
    save_file(train_vad.train(examples, a.steps, a.seed).state_dict(), a.out)


def _fold(speaker: str, folds: int) -> int:
    """Return the fold of a speaker, the same in each run."""
    return zlib.crc32(speaker.encode()) % folds


def _speakers(path: str) -> dict[str, str]:
    """Read the lines "file name, tab, speaker"."""
    return dict(line.split("\t")[:2] for line in Path(path).read_text("utf-8").splitlines() if "\t" in line)


def main() -> None:
    """Parse the command line and run one command."""
    parser = argparse.ArgumentParser(prog="python -m heygemd.training", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    commands = parser.add_subparsers(required=True)

    def add(name: str, run: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=run.__doc__)
        command.set_defaults(run=run)
        return command

    command = add("shape", fit_face_shape)
    command.add_argument("clips", type=Path)
    command.add_argument("--out", type=Path, default=Path("face_shape.safetensors"))
    command = add("mouth", make_mouth_mesh)
    command.add_argument("mesh", type=Path, help="npz with points, jaw, tris and label, see models/mouth.md")
    command.add_argument("--out", type=Path, default=Path("mouth_interior.safetensors"))
    command = add("speech-encoder", import_speech_encoder)
    command.add_argument("model", type=Path, help="model.bin of Whisper-base for CTranslate2")
    command.add_argument("--out", type=Path, default=Path("speech_encoder.safetensors"))
    command = add("triangles", make_triangles)
    command.add_argument("--out", type=Path, default=Path("lower_face.safetensors"))
    command = add("mel-filters", make_mel_filters)
    command.add_argument("--out", type=Path, default=Path("mel_filters.safetensors"))
    command = add("synthesise", synthesise)
    command.add_argument("out", type=Path)
    command.add_argument("--count", type=int, default=500)
    command = add("train", train_lips)
    command.add_argument("corpus", type=Path, nargs="*", help="synthesised speech")
    command.add_argument("--clips", type=Path, help="folder of talking videos, your own presenter's for example")
    command.add_argument("--words", type=Path, help="folder of videos of single words, recorded and cut alike")
    command.add_argument("--out", type=Path, default=Path("lips.safetensors"))
    command = add("evaluate", evaluate_lips)
    command.add_argument("clips", type=Path)
    command.add_argument("corpus", type=Path, nargs="*", help="with --folds: synthesised speech to train on as well")
    command.add_argument("--weights", type=Path, default=SHIPPED)
    command.add_argument("--folds", type=int, default=0)
    command.add_argument(
        "--speakers", type=_speakers, default={}, help="file with lines: name of the video, tab, speaker"
    )
    command = add("visemes", print_visemes)
    command.add_argument("--weights", type=Path, default=SHIPPED)
    command.add_argument("--count", type=int, default=80, help="synthesised utterances")
    command.add_argument("--language", choices=list(SENTENCES), default="", help="only this one, spoken by espeak-ng")
    _add_sync_and_vad(add)
    for name in ("shape", "train", "evaluate", "sync", "sync-folds"):
        commands.choices[name].add_argument("--cache", type=Path, default=Path(".cache/tracks"))
    for name in ("train", "evaluate"):
        commands.choices[name].add_argument("--steps", type=int, default=1500)
    for name in ("synthesise", "train", "visemes", "sync", "vad"):
        commands.choices[name].add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    if a.run is not fit_face_shape:
        import torch

        torch.set_num_threads(a.threads)
    a.run(a)


def _add_sync_and_vad(add: Callable[[str, Callable[[argparse.Namespace], None]], argparse.ArgumentParser]) -> None:
    command = add("sync", train_sync)
    command.add_argument("corpus", type=Path, nargs="*", help="synthesised speech")
    command.add_argument("--clips", type=Path, help="folder of talking videos")
    command.add_argument("--steps", type=int, default=700)
    command.add_argument("--start", type=Path, help="weights to train on from")
    command.add_argument("--out", type=Path, default=Path("sync.safetensors"))
    command = add("sync-folds", evaluate_sync)
    command.add_argument("clips", type=Path)
    command.add_argument("corpus", type=Path, nargs="+", help="synthesised speech")
    command.add_argument("--steps", type=int, default=700)
    command.add_argument("--folds", type=int, default=3)
    command.add_argument(
        "--speakers", type=_speakers, default={}, help="file with lines: name of the video, tab, speaker"
    )
    command = add("vad", train_vad)
    command.add_argument("voices", type=Path, help="folder of recorded speech without anything behind it")
    command.add_argument("behind", type=Path, help="folder of music and noise without speech")
    command.add_argument("--count", type=int, default=2300, help="training examples of 16 seconds")
    command.add_argument("--steps", type=int, default=2500)
    command.add_argument("--out", type=Path, default=Path("vad.safetensors"))


if __name__ == "__main__":
    main()
