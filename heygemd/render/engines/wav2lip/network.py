"""Wav2Lip's generator: in, sixteen mel frames and a face with its lower half masked; out, the face speaking them.

Prajwal et al. 2020, arXiv:2008.10010. Batch norm is folded into the convolutions before it, which changes nothing but
speed. The layers are listed under the names that the public checkpoints use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

SIDE = 96
MEL_BANDS, MEL_FRAMES = 80, 16
BATCH_NORM = {"weight": 1, "bias": 1, "running_mean": 1, "running_var": 1, "num_batches_tracked": 0}
"""A batch norm's entries in a state dict and how many axes they have."""
EPSILON = 1e-5
CROPPED_BLOCK, CROPPED_ROWS = 3, 3
LOWER_TOP = 39
"""First exact row of a lower face: cropping where the image is 12 pixels high costs rows in later blocks, too."""


class Layer(NamedTuple):
    """One convolution with its batch norm and ReLU; `up`: transposed, doubling the image unless stride is 1."""

    inputs: int
    outputs: int
    kernel: int = 3
    stride: int | tuple[int, int] = 1
    padding: int = 1
    residual: bool = False
    up: bool = False


def _same(channels: int, count: int) -> list[Layer]:
    return [Layer(channels, channels, residual=True)] * count


def _up(inputs: int, outputs: int) -> list[Layer]:
    return [Layer(inputs, outputs, stride=2, up=True), *_same(outputs, 2)]


BLOCKS: dict[str, list[list[Layer]]] = {
    "face_encoder_blocks": [
        [Layer(6, 16, 7, 1, 3)],
        [Layer(16, 32, stride=2), *_same(32, 2)],
        [Layer(32, 64, stride=2), *_same(64, 3)],
        [Layer(64, 128, stride=2), *_same(128, 2)],
        [Layer(128, 256, stride=2), *_same(256, 2)],
        [Layer(256, 512, stride=2), *_same(512, 1)],
        [Layer(512, 512, padding=0), Layer(512, 512, 1, padding=0)],
    ],
    "audio_encoder": [
        [
            *[Layer(1, 32), *_same(32, 2)],
            *[Layer(32, 64, stride=(3, 1)), *_same(64, 2)],
            *[Layer(64, 128, stride=3), *_same(128, 2)],
            *[Layer(128, 256, stride=(3, 2)), *_same(256, 1)],
            *[Layer(256, 512, padding=0), Layer(512, 512, 1, padding=0)],
        ]
    ],
    "face_decoder_blocks": [
        [Layer(512, 512, 1, padding=0)],
        [Layer(1024, 512, padding=0, up=True), *_same(512, 1)],
        _up(1024, 512),
        _up(768, 384),
        _up(512, 256),
        _up(320, 128),
        _up(160, 64),
    ],
    "output_block": [[Layer(80, 32)]],
}
"""All layers; the decoder uses the output of every face encoder block."""
FLAT = ("audio_encoder", "output_block")
"""Parts of one block only: its number is not in the names."""
LAST = "output_block.1"


def named_layers(part: str) -> Iterator[tuple[int, str, Layer]]:
    """Yield (block, name in a state dict, layer) of a part of BLOCKS."""
    for number, block in enumerate(BLOCKS[part]):
        for place, layer in enumerate(block):
            yield number, f"{part}.{place}" if part in FLAT else f"{part}.{number}.{place}", layer


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Return name: shape of every entry of the public checkpoints' state dict."""
    shapes: dict[str, tuple[int, ...]] = {}
    for part in BLOCKS:
        for _, name, layer in named_layers(part):
            pair = (layer.inputs, layer.outputs) if layer.up else (layer.outputs, layer.inputs)
            shapes[f"{name}.conv_block.0.weight"] = (*pair, layer.kernel, layer.kernel)
            shapes[f"{name}.conv_block.0.bias"] = (layer.outputs,)
            shapes |= {f"{name}.conv_block.1.{key}": (layer.outputs,) * axes for key, axes in BATCH_NORM.items()}
    return {**shapes, f"{LAST}.weight": (3, 32, 1, 1), f"{LAST}.bias": (3,)}


class _Step(nn.Module):
    """A layer with folded weights."""

    def __init__(self, layer: Layer, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        shape = (layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.padding)
        grow = 1 if layer.up and layer.stride == 2 else 0
        with torch.device("meta"):  # the weights come from the file: no random ones first
            self.conv = nn.ConvTranspose2d(*shape, grow) if layer.up else nn.Conv2d(*shape)
        self.conv.weight, self.conv.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
        self.residual = layer.residual

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return (out.add_(x) if self.residual else out).relu_()


class Generator(nn.Module):
    """The network, made from a state dict whose names and shapes are `expected_shapes`."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        parts = {part: [nn.Sequential() for _ in blocks] for part, blocks in BLOCKS.items()}
        for part, blocks in parts.items():
            for number, name, layer in named_layers(part):
                blocks[number].append(_Step(layer, *_folded(state, name, layer.up)))
        self.face = nn.ModuleList(parts["face_encoder_blocks"])
        self.audio = parts["audio_encoder"][0]
        self.decoder = nn.ModuleList(parts["face_decoder_blocks"])
        self.output = parts["output_block"][0]
        self.last = nn.Conv2d(32, 3, 1)
        self.last.load_state_dict({key: state[f"{LAST}.{key}"].float() for key in ("weight", "bias")})
        self.eval().requires_grad_(False)

    def forward(self, mel: Tensor, face: Tensor, lower: bool = False) -> Tensor:
        """Return (n, 3, h, SIDE) BGR 0..1: the whole face, or with `lower` its rows from LOWER_TOP on for less work.

        mel   (n, 1, MEL_BANDS, MEL_FRAMES) in -4..4
        face  (n, 6, SIDE, SIDE) BGR 0..1: lower half black, then the whole face
        """
        seen = []
        for block in self.face:
            face = block(face)
            seen.append(face)
        x, top = self.audio(mel), 0
        for number, block in enumerate(self.decoder):
            x = block(x)
            if top:  # nothing was above the cut where the two residual layers looked
                x, top = x[:, :, 2:], 2 * top + 2
            x = torch.cat([x, seen.pop()[:, :, top:]], 1)
            if lower and number == CROPPED_BLOCK:
                x, top = x[:, :, CROPPED_ROWS:], CROPPED_ROWS
        out: Tensor = self.last(self.output(x).to(self.last.weight.dtype)).sigmoid_()
        return out[:, :, 1:] if top else out


def _folded(state: Mapping[str, Tensor], name: str, up: bool) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution with the batch norm after it."""
    conv, norm = f"{name}.conv_block.0.", f"{name}.conv_block.1."
    gain = state[norm + "weight"].double() / (state[norm + "running_var"].double() + EPSILON).sqrt()
    weight = state[conv + "weight"].double() * gain.reshape((1, -1, 1, 1) if up else (-1, 1, 1, 1))
    bias = (state[conv + "bias"].double() - state[norm + "running_mean"].double()) * gain
    return weight.float(), (bias + state[norm + "bias"].double()).float()
