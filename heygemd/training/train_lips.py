"""Trains the network from speech features to lips, and evaluates it on real talking videos."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..render.audio import mel as features
from ..render.engines.mesh import speech_encoder, viseme_net
from ..render.face.mouth_params import MOUTH_PARAMS, OPEN, WIDTH, measure_mouth
from ..render.face.pose import align
from ..render.layers import Network, Weights
from ..render.scene import F32
from .networks import VisemeNet
from .real_clips import RealClip
from .synthetic_corpus import Example

CROP_FRAMES, MIN_FRAMES = 100, 20
"""Length of a training crop at 50 Hz, and of the shortest example."""
WARM_STEPS = 50
BATCH = 32
NETWORKS = 8
"""How many networks are trained from different starts and averaged."""
RATE = 2e-3
BATCH_SHARES = (0.5, 0.19, 0.31)
"""Of a batch: synthesised speech, talking people, their single words. More of the first tells f and v better from p, b
and m, less agrees better with real people."""
CLOSED_BELOW, NARROW_BELOW = 0.012, 0.035
CLOSED_WEIGHT, NARROW_WEIGHT = 9.0, 3.0
NEAR_FRAMES, OPEN_ABOVE = 11, 0.03
"""Closures and narrow openings within speech (with a larger opening nearby) are short and the most visible."""
PARAM_WEIGHTS = torch.tensor([1.5, 1.2, 0.7, 2.0, 0.8])
GAINS = torch.tensor([1.55, 2.05, 1.6, 2.2, 1.5])
"""The most likely movement is smaller than an actual one; these factors make it nearly as large as unseen speakers'."""
MAX_LAG_S = 0.24
COMPONENTS, RIDGE = 200, 0.3
"""Of the linear map: how many leading components of the features it sees, and its penalty on weights as a share of the
mean square of what they multiply."""
FIT_SHARES, LINEAR_SHARE = (0.15, 0.45, 0.4), 0.25
"""What shares the three have in fitting the linear map, and that in the sum: the larger both are, the better lips agree
with real people, and the worse with synthesised p b m, f v and "ee"."""
OPENING_BIAS = -0.0015
"""Added to the opening, in eye distances: lips that nearly meet are to meet."""
TONGUE_STEPS, TONGUE_RIDGE = 60, 0.01
"""Of the tongue's logistic regression: steps of L-BFGS, and the penalty on the weights' squares."""


class EncodedExample(NamedTuple):
    """An example ready for the network.

    features  (T, speech_encoder.WIDTH) float16
    lips      (T, 5) float32, see Example
    tongue    (T,) float32 or None, see Example
    closures  whether lips that are shut here are known to be shut
    """

    features: NDArray[np.float16]
    lips: F32
    tongue: F32 | None = None
    closures: bool = True


class Sources(NamedTuple):
    """What is learnt from, in the order of BATCH_SHARES and FIT_SHARES; any may be empty.

    synthetic  synthesised speech
    talking    people talking
    words      single words, of whose speakers the closed mouth is not known; see real_lessons.word_examples
    """

    synthetic: list[EncodedExample]
    talking: list[EncodedExample]
    words: list[EncodedExample]


def encode(examples: Iterable[Example], encoder: Network, *, closures: bool = True) -> list[EncodedExample]:
    """Return the examples with the encoder's features in place of their sound; short ones are left out."""
    made = []
    for example in examples:
        encoded = speech_encoder.encode(encoder, example.sound).astype(np.float16)
        count = min(len(encoded), len(example.lips))
        tongue = None if example.tongue is None else example.tongue[:count]
        made.append(EncodedExample(encoded[:count], example.lips[:count], tongue, closures))
    return [example for example in made if len(example.lips) > MIN_FRAMES]


def sample_batch(examples: list[EncodedExample], rng: np.random.Generator, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return random crops; short examples share a row.

    They are (rows, T, speech_encoder.WIDTH) features, (rows, T, 5) lips and the (rows, T) weight of their openings.
    """
    features = np.zeros((rows, CROP_FRAMES, speech_encoder.WIDTH), np.float32)
    lips = np.zeros((rows, CROP_FRAMES, len(MOUTH_PARAMS)), np.float32)
    weight = np.ones((rows, CROP_FRAMES), np.float32)
    for row in range(rows):
        filled = 0
        while filled < CROP_FRAMES:
            example = examples[rng.integers(len(examples))]
            start = int(rng.integers(max(1, len(example.lips) - CROP_FRAMES // 2)))
            count = min(CROP_FRAMES - filled, len(example.lips) - start)
            here, there = slice(filled, filled + count), slice(start, start + count)
            features[row, here], lips[row, here] = example.features[there], example.lips[there]
            weight[row, here] = _opening_weight(example)[there]
            filled += count
    return torch.from_numpy(features), torch.from_numpy(lips), torch.from_numpy(weight)


def augment_mel(mel: F32, rng: np.random.Generator) -> None:
    """Change a (BANDS, T) crop in place as microphones do, and sometimes mask bands."""
    mel += rng.normal(0, 0.15) + rng.normal(0, 0.15) * np.linspace(-1, 1, len(mel), dtype=np.float32)[:, None]
    shift = int(rng.integers(-2, 3))
    if shift:
        mel[:] = np.roll(mel, shift, 0)
    if rng.random() < 0.4:
        low = int(rng.integers(0, features.BANDS - 6))
        mel[low : low + int(rng.integers(1, 6))] = 0
    mel += rng.normal(0, 0.1, mel.shape).astype(np.float32)


def loss(predicted: Tensor, lips: Tensor, opening_weight: Tensor) -> Tensor:
    """Return the weighted L1 error of values and speeds.

    predicted, lips  (N, T, 5) in units of viseme_net.UNIT
    opening_weight   (N, T), how much an error of the opening counts
    """
    weight = PARAM_WEIGHTS * (1 + (opening_weight - 1)[..., None] * torch.eye(len(MOUTH_PARAMS))[OPEN])
    value = (weight * (predicted - lips).abs()).mean()
    speed = (PARAM_WEIGHTS * (predicted.diff(dim=1) - lips.diff(dim=1)).abs()).mean()
    return value + 0.5 * speed


def closure_weight(opening: Tensor) -> Tensor:
    """Return (N, T) from openings in eye distances: CLOSED_WEIGHT in closures within speech, 1 outside speech.

    NARROW_WEIGHT counts for lips that nearly meet.
    """
    near = torch.nn.functional.max_pool1d(opening[:, None], NEAR_FRAMES, 1, NEAR_FRAMES // 2)[:, 0] > OPEN_ABOVE
    narrow = torch.where(opening < CLOSED_BELOW, CLOSED_WEIGHT, NARROW_WEIGHT)
    return torch.where(near & (opening < NARROW_BELOW), narrow, 1.0)


def _opening_weight(example: EncodedExample) -> F32:
    """Return (T,) how much an error of an example's opening counts."""
    if not example.closures:
        return np.ones(len(example.lips), np.float32)
    return np.asarray(closure_weight(torch.from_numpy(example.lips[None, :, OPEN]))[0].numpy(), np.float32)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float, step: int, steps: int) -> None:
    """Set the rate of this step: linear warm-up, then cosine decay."""
    for group in optimiser.param_groups:
        group["lr"] = rate * min(1.0, (step + 1) / WARM_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train(sources: Sources, steps: int, seed: int = 0, count: int = NETWORKS) -> VisemeNet:
    """Return the mean of `count` networks trained from different starts, with its linear map."""
    return fit_linear(merge([train_network(sources, steps, seed + k) for k in range(count)]), sources)


def train_network(sources: Sources, steps: int, seed: int) -> VisemeNet:
    """Return one network, trained together with a linear map. AdamW, weights averaged over the last two fifths."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = VisemeNet().train()
    mean = torch.optim.swa_utils.AveragedModel(net)
    adam = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.05)
    rows = [round(BATCH * share) for share in _shares(sources, BATCH_SHARES)]
    for step in range(steps):
        set_learning_rate(adam, RATE, step, steps)
        parts = [sample_batch(examples, rng, count) for examples, count in zip(sources, rows, strict=True)]
        features, lips, weight = (torch.cat(each) for each in zip(*parts, strict=True))
        error = loss(net(features), lips / viseme_net.UNIT, weight)
        adam.zero_grad()
        torch.autograd.backward(error)
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        if step >= steps * 3 // 5:
            mean.update_parameters(net)
    net.load_state_dict(mean.module.state_dict())
    return net


def _shares(sources: Sources, wanted: Sequence[float]) -> list[float]:
    """Return the share of each source: as wanted, but nothing for an empty one."""
    there = [share if source else 0.0 for source, share in zip(sources, wanted, strict=True)]
    return [share / sum(there) for share in there]


def merge(nets: Sequence[VisemeNet]) -> VisemeNet:
    """Return the mean of networks as one: linear maps of the same features add up to one."""
    merged = VisemeNet(len(nets)).eval()
    merged.networks = torch.nn.ModuleList(chain.from_iterable(net.networks for net in nets))
    with torch.no_grad():
        for name, tensor in merged.linear.named_parameters():
            tensor.copy_(torch.stack([net.linear.get_parameter(name) for net in nets]).mean(0))
    return merged


def _scale(layer: torch.nn.Module, factors: Tensor) -> None:
    """Multiply the five outputs of a layer by (5,) factors."""
    with torch.no_grad():
        for tensor in layer.parameters():
            tensor.mul_(factors.view(-1, *[1] * (tensor.ndim - 1)))


def fit_linear(net: VisemeNet, sources: Sources) -> VisemeNet:
    """Add LINEAR_SHARE of a ridge regression on the leading components of the features to `net`, enlarge it; return it.

    The bias gives the lips their real median: the mean is more open, and lips enlarged from there would not close.
    """
    shares = _shares(sources, FIT_SHARES)
    mean, axes = _components([source for source in sources if source])
    size = viseme_net.LINEAR_TAPS * COMPONENTS + 1
    squares, products = np.zeros((size, size)), np.zeros((size, len(MOUTH_PARAMS)))
    for share, examples in zip(shares, sources, strict=True):
        weights = [_opening_weight(example) for example in examples]
        total = sum(float(weight.sum()) for weight in weights)
        for example, weight in zip(examples, weights, strict=True):
            seen = _stack_taps(np.asarray((example.features - mean) @ axes, np.float32))
            weighted = (seen * (share / total * weight[:, None])).T
            squares += weighted @ seen
            products += weighted @ example.lips / viseme_net.UNIT
    penalty = np.full(size, RIDGE * np.trace(squares) / size)
    penalty[-1] = 0  # the bias is free
    solved = np.linalg.solve(squares + np.diag(penalty), products)[:-1].reshape(-1, COMPONENTS, len(MOUTH_PARAMS))
    taps = torch.from_numpy(np.einsum("wc,tcp->pwt", axes, solved)).float()
    with torch.no_grad():
        net.linear.weight.lerp_(taps, LINEAR_SHARE)
    for name, layer in net.named_modules():
        if name.endswith("leave"):
            _scale(layer, GAINS * (1 - LINEAR_SHARE))
    _scale(net.linear, GAINS)
    known = [source for source in (sources.synthetic, sources.talking) if source]  # words have no median of their own
    error = torch.from_numpy(np.mean([_median_error(net.eval(), part) for part in known or [sources.words]], 0))
    error[OPEN] += OPENING_BIAS / viseme_net.UNIT
    with torch.no_grad():
        net.linear.get_parameter("bias").add_(error)
    return net


def fit_tongue(examples: list[EncodedExample]) -> Weights:
    """Return "tongue.weight" (1, WIDTH, LINEAR_TAPS) and "tongue.bias" (1,) float32 of a raised tip's log-odds.

    A logistic regression on what the linear map sees.

    examples  of synthesised speech; of filmed people nobody knows the tongue
    """
    taps, step = viseme_net.LINEAR_TAPS, viseme_net.LINEAR_STEP
    reach = taps // 2 * step
    known = [(example.features, example.tongue) for example in examples if example.tongue is not None]
    rows = np.concatenate([np.pad(features, ((reach, reach), (0, 0)), "edge") for features, _ in known])
    inside = np.concatenate([np.pad(np.ones(len(tongue), np.bool_), reach) for _, tongue in known])[reach:-reach]
    seen, wanted = torch.from_numpy(rows).float(), torch.from_numpy(np.concatenate([tongue for _, tongue in known]))
    weight = torch.zeros(speech_encoder.WIDTH, taps, requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=TONGUE_STEPS, line_search_fn="strong_wolfe")

    def error() -> Tensor:
        search.zero_grad()
        each = seen @ weight
        odds = bias + torch.stack([each[k * step :][: len(inside), k] for k in range(taps)]).sum(0)
        found = torch.nn.functional.binary_cross_entropy_with_logits(odds[inside], wanted)
        found = found + TONGUE_RIDGE * weight.square().sum()
        torch.autograd.backward(found)
        return found

    search.step(error)  # type: ignore[no-untyped-call]
    return {"tongue.weight": weight.detach().numpy()[None], "tongue.bias": bias.detach().numpy()}


def _components(sources: Sequence[list[EncodedExample]]) -> tuple[F32, F32]:
    """Return the mean (WIDTH,) and the COMPONENTS leading components (WIDTH, COMPONENTS) of features; sources equal."""
    parts = [np.concatenate([example.features for example in part]).astype(np.float32) for part in sources]
    mean = np.mean([part.mean(0) for part in parts], 0)
    spread = sum((part - mean).T @ (part - mean) / len(part) for part in parts)
    return mean, np.linalg.eigh(spread)[1][:, -COMPONENTS:]


def _stack_taps(seen: F32) -> F32:
    """Return (T, taps x components + 1) what the linear part sees around each frame, and a one."""
    taps = (np.arange(viseme_net.LINEAR_TAPS) - viseme_net.LINEAR_TAPS // 2) * viseme_net.LINEAR_STEP
    rows = (np.arange(len(seen))[:, None] + taps).clip(0, len(seen) - 1)
    return np.append(seen[rows].reshape(len(seen), -1), np.ones((len(seen), 1), np.float32), 1)


def _median_error(net: VisemeNet, examples: list[EncodedExample]) -> F32:
    """Return (5,) by how much the median of what `net` says falls short of the median of the real lips."""
    with torch.inference_mode():
        said = [net(torch.from_numpy(example.features).float()[None])[0].numpy() for example in examples]
    lips = np.concatenate([example.lips for example in examples]) / viseme_net.UNIT
    return np.asarray(np.median(lips, 0) - np.median(np.concatenate(said), 0), np.float32)


def evaluate(net: Network, clip: RealClip) -> dict[str, float] | None:
    """Return r_open, r_peak, lag_s, r_width and range of predicted lips against a clip's own; None if unusable.

    r_open and r_width are correlations without a lag, r_peak that of the opening at the best lag, lag_s that lag; range
    is the ratio of the openings' standard deviations.
    """
    good = np.isfinite(clip.points[:, 0, 0])
    if good.sum() < 25 or good.mean() < 0.8:
        return None
    times = ((np.arange(len(clip.points)) + 0.5) / clip.fps)[good]
    real = measure_mouth(align(clip.points[good]).to_face(clip.points[good]))
    predicted = viseme_net.predict_visemes(clip.voice, net)
    count = int(min(len(predicted), times[-1] * viseme_net.RATE_HZ))
    at = (np.arange(count) + 0.5) / viseme_net.RATE_HZ
    open_real, width_real = (np.interp(at, times, real[:, k]).astype(np.float32) for k in (OPEN, WIDTH))
    curve = correlations(predicted[:count, OPEN], open_real)
    best, reach = int(np.argmax(curve)), len(curve) // 2
    return {
        "r_open": curve[reach],
        "r_peak": curve[best],
        "lag_s": (best - reach) / viseme_net.RATE_HZ,
        "r_width": _correlation(predicted[:count, WIDTH], width_real, 0),
        "range": float(predicted[:count, OPEN].std() / max(open_real.std(), 1e-6)),
    }


def correlations(predicted: F32, real: F32) -> list[float]:
    """Return the correlation at each lag within MAX_LAG_S; in later entries `predicted` is late."""
    reach = int(MAX_LAG_S * viseme_net.RATE_HZ)
    return [_correlation(predicted, real, lag) for lag in range(-reach, reach + 1)]


def _correlation(a: F32, b: F32, lag: int) -> float:
    """Return the correlation with `a` taken to be `lag` frames late."""
    a, b = a[max(0, lag) : len(a) + min(0, lag)], b[max(0, -lag) : len(b) - max(0, lag)]
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-6 and b.std() > 1e-6 else 0.0
