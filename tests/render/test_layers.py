"""The bundled networks without PyTorch against the same ones with it."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from heygemd.render.audio import vad
from heygemd.render.engines.mesh import speech_encoder, viseme_net
from heygemd.render.layers import gelu
from heygemd.render.scene import F32
from heygemd.render.sync import syncnet
from heygemd.training import networks, real_clips, train_lips
from heygemd.weights import bundled

from .. import media_factory


class SpeechEncoder(nn.Module):
    """Whisper's encoder up to its third layer, of PyTorch's own layers."""

    def __init__(self) -> None:
        super().__init__()
        width = speech_encoder.WIDTH
        self.enter = nn.Conv1d(speech_encoder.BANDS, width, 3, padding=1)
        self.halve = nn.Conv1d(width, width, 3, padding=1, stride=2)
        self.layers = nn.Sequential(*(
            nn.TransformerEncoderLayer(width, 8, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(3)
        ))  # fmt: skip

    def forward(self, mel: Tensor) -> Tensor:
        x = nn.functional.gelu(self.halve(nn.functional.gelu(self.enter(mel)))).transpose(1, 2)
        angles = torch.arange(x.shape[1])[:, None] * 10_000 ** (-torch.arange(256) / 255)
        x = self.layers(x + torch.cat([angles.sin(), angles.cos()], 1))
        return nn.functional.layer_norm(x, (x.shape[2],))


def signal(length: int, channels: int) -> F32:
    return np.random.default_rng(length).standard_normal((length, channels)).astype(np.float32)


def assert_same(ours: F32, theirs: Tensor) -> None:
    wanted = theirs.detach().numpy()
    assert ours.dtype == np.float32 and ours.shape == wanted.shape
    assert np.abs(ours - wanted).max() < 1e-4 * max(1.0, np.abs(wanted).max())


def in_torch(net: nn.Module, state: dict[str, F32]) -> nn.Module:
    net.load_state_dict({name: torch.from_numpy(tensor.copy()) for name, tensor in state.items()})
    return net.eval()


@pytest.mark.parametrize("frames", [1, 7, 100, 500])
def test_the_speech_encoder_is_pytorchs(frames: int) -> None:
    mel = signal(2 * frames, speech_encoder.BANDS)
    theirs = in_torch(SpeechEncoder(), speech_encoder.unpack(bundled.tensors(speech_encoder.FILE)))
    assert_same(speech_encoder.load()(mel), theirs(torch.from_numpy(mel.T.copy())[None])[0])


class Mouth(networks.VisemeNet):
    """With the tongue's logistic regression, which is fitted apart."""

    def __init__(self) -> None:
        super().__init__(train_lips.NETWORKS)
        taps, step, width = viseme_net.LINEAR_TAPS, viseme_net.LINEAR_STEP, speech_encoder.WIDTH
        self.tongue = nn.Conv1d(width, 1, taps, padding=taps // 2 * step, dilation=step, padding_mode="replicate")


SYNC = "sync.safetensors"
NETWORKS = {
    "lips": (viseme_net.FILE, viseme_net.VisemeNet, Mouth, lambda net, x: net(x.mT).mT, 512),
    "tongue": (
        viseme_net.FILE,
        lambda w: viseme_net.VisemeNet(w).tongue,
        Mouth,
        lambda net, x: net.tongue(x).sigmoid(),
        512,
    ),
    "speech": (
        vad.FILE,
        lambda w: lambda x: vad.VadNet(w)(x)[:, None],
        networks.VadNet,
        lambda net, x: net(x)[None],
        40,
    ),
    "voice": (SYNC, lambda w: syncnet.SyncNet(w).voice, networks.SyncNet, lambda net, x: net.voice(x), 40),
    "mouth": (SYNC, lambda w: syncnet.SyncNet(w).mouth, networks.SyncNet, lambda net, x: net.mouth(x), 5),
}
"""Name: file, ours, the module, what it makes of (1, C, T) as (1, C, T), and C."""


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("length", [1, 2, 5, 333])
def test_a_network_is_its_trained_module(name: str, length: int) -> None:
    file, ours, module, run, channels = NETWORKS[name]
    x = signal(length, channels)
    theirs = run(in_torch(module(), bundled.tensors(file)), torch.from_numpy(x.T.copy())[None])
    assert_same(ours(bundled.tensors(file))(x), theirs[0].mT)


def test_weights_come_out_of_a_module_as_they_went_in() -> None:
    shipped = bundled.tensors("vad.safetensors")
    found = networks.weights(in_torch(networks.VadNet(), shipped))
    assert found.keys() == shipped.keys() and all(np.array_equal(found[name], shipped[name]) for name in shipped)


def test_gelu_is_exact_far_out_too() -> None:
    x = np.linspace(-12, 12, 100_001, dtype=np.float32)
    assert np.abs(gelu(x) - nn.functional.gelu(torch.from_numpy(x)).numpy()).max() < 2e-6


@pytest.mark.parametrize("samples", [320, 401, 48_000])
def test_the_speech_encoders_spectrogram_is_whispers(samples: int) -> None:
    sound = real_clips.load_sound(media_factory.VOICE)[:samples]
    padded = nn.functional.pad(torch.from_numpy(sound), (0, max(0, 400 - samples)))
    waves = torch.stft(padded, 400, 160, window=torch.hann_window(400), return_complex=True)[:, : samples // 160]
    filters = torch.from_numpy(bundled.tensors("mel_filters.safetensors")["fft 400, 80 bands, 0 to 8000 Hz"])
    mel = (filters @ waves.abs() ** 2).clamp(min=1e-10).log10()
    assert_same(speech_encoder.log_mel(sound), ((mel.clamp(min=float(mel.max()) - 8) + 4) / 4).T)
