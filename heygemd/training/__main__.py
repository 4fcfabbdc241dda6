"""python -m heygemd.training shape|synthesise|train|evaluate: how the shipped face shape and lips were made."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

# What is heavy is imported by the step that needs it: help and mistakes are answered at once.


def make_shape(a: argparse.Namespace) -> None:
    """Make face_shape.safetensors from a folder of talking videos."""
    import numpy as np
    from safetensors.numpy import save_file

    from . import clips, shape

    points = [clip.points for _, clip in clips.of(a.clips, a.cache) if np.isfinite(clip.points).any()]
    mean = shape.mean_face(points)
    save_file({"mean": mean, "modes": shape.modes(points, mean)}, a.out)


def synthesise(a: argparse.Namespace) -> None:
    """Make one file of the synthetic corpus."""
    from . import corpus

    corpus.save(corpus.examples(a.count, a.seed), a.out)


def fit(a: argparse.Namespace) -> None:
    """Train on corpus files and write lips.safetensors."""
    import torch
    from safetensors.torch import load_file, save_file

    from ..render.engines.mesh.lips import LipNet
    from . import corpus, train

    torch.set_num_threads(a.threads)

    heard = train.prepare(example for path in a.corpus for example in corpus.read(path))
    start = LipNet()
    if a.start:
        start.load_state_dict(load_file(a.start))
    save_file(train.fit(heard, a.steps, a.seed, start).state_dict(), a.out)


def evaluate(a: argparse.Namespace) -> None:
    """Print how well lips predicted from sound agree with the real ones in a folder of talking videos."""
    import numpy as np
    import torch
    from safetensors.torch import load_file

    from ..render.engines.mesh.lips import LipNet
    from . import clips, train

    torch.set_num_threads(a.threads)

    net = LipNet()
    net.load_state_dict(load_file(a.weights))
    rows = {name: train.compare(net.eval(), clip) for name, clip in clips.of(a.clips, a.cache)}
    for name, row in rows.items():
        print(name, json.dumps(row and {key: round(value, 3) for key, value in row.items()}))
    usable = [row for row in rows.values() if row]
    print("mean", {key: round(float(np.mean([row[key] for row in usable])), 3) for key in usable[0]})


def main() -> None:
    """Parse the command line and run one step."""
    parser = argparse.ArgumentParser(prog="python -m heygemd.training", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("shape", help=make_shape.__doc__)
    verb.set_defaults(run=make_shape)
    verb.add_argument("clips", type=Path)
    verb.add_argument("--cache", type=Path, default=Path(".cache/tracks"))
    verb.add_argument("--out", type=Path, default=Path("face_shape.safetensors"))
    verb = verbs.add_parser("synthesise", help=synthesise.__doc__)
    verb.set_defaults(run=synthesise)
    verb.add_argument("out", type=Path)
    verb.add_argument("--count", type=int, default=500)
    verb.add_argument("--seed", type=int, default=1)
    verb = verbs.add_parser("train", help=fit.__doc__)
    verb.set_defaults(run=fit)
    verb.add_argument("corpus", type=Path, nargs="+")
    verb.add_argument("--steps", type=int, default=2200)
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--start", type=Path, help="weights to train on from")
    verb.add_argument("--out", type=Path, default=Path("lips.safetensors"))
    verb = verbs.add_parser("evaluate", help=evaluate.__doc__)
    verb.set_defaults(run=evaluate)
    verb.add_argument("clips", type=Path)
    verb.add_argument("--weights", type=Path, default=Path("heygemd/render/assets/lips.safetensors"))
    verb.add_argument("--cache", type=Path, default=Path(".cache/tracks"))
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
