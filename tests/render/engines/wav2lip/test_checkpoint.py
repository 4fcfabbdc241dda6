"""Every layout of a Wav2Lip checkpoint is read; every other file is reported in a sentence and nothing of it is run."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from heygemd.config.schema import Render, Wav2Lip
from heygemd.errors import NotInstalled
from heygemd.i18n import catalog
from heygemd.render.engines.wav2lip import Wav2LipEngine, checkpoint

from ... import wav2lip_weights

STATE = wav2lip_weights.state()


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A place for one file; 145 MB are not left lying about."""
    yield tmp_path / "brought.pth"
    if (tmp_path / "brought.pth").is_file():
        (tmp_path / "brought.pth").unlink()


class Tree(nn.Module):
    """Modules nested as the names of a state dict say."""

    def put(self, name: str, tensor: torch.Tensor) -> None:
        head, _, rest = name.partition(".")
        if rest:
            if head not in self._modules:
                self.add_module(head, Tree())
            self._modules[head].put(rest, tensor)  # type: ignore[operator,union-attr]
        else:
            self.register_buffer(head, tensor)


class Root(Tree):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def scripted(path: Path) -> None:
    root = Root()
    for name, tensor in STATE.items():
        root.put(name, tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is on its way out; files of it are not
        torch.jit.script(root).save(str(path))


LAYOUTS: dict[str, Callable[[Path], object]] = {
    "module": wav2lip_weights.write,
    "plain": lambda path: wav2lip_weights.write(path, ""),
    "bare": lambda path: torch.save(STATE, path),
    "half": lambda path: torch.save(
        {name: t.half() if t.is_floating_point() else t for name, t in STATE.items()}, path
    ),
    "old": lambda path: torch.save({"state_dict": STATE}, path, _use_new_zipfile_serialization=False),
    "scripted": scripted,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(path: Path, layout: str) -> None:
    LAYOUTS[layout](path)
    state = checkpoint.load(path)
    assert set(state) == set(STATE)
    for name in ("output_block.1.bias", "face_decoder_blocks.3.0.conv_block.0.weight"):
        assert torch.allclose(state[name].float(), STATE[name], atol=1e-3 if layout == "half" else 0)


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.target,)


def other_size() -> dict[str, torch.Tensor]:
    """A generator for larger pictures has a block more."""
    return {**STATE, "face_decoder_blocks.7.0.conv_block.0.weight": torch.zeros(1)} | {
        "face_encoder_blocks.0.0.conv_block.0.weight": torch.zeros(16, 6, 9, 9)
    }


def cut(path: Path, size: int, **options: bool) -> None:
    torch.save({"state_dict": {"a": torch.zeros(5000)}}, path, **options)
    path.write_bytes(path.read_bytes()[:size])


def archive(path: Path, **files: bytes) -> None:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(f"archive/{name.replace('_', '.')}", content)


WRONG: dict[str, tuple[str, Callable[[Path], object]]] = {
    "missing": ("missing", lambda path: None),
    "empty": ("empty", lambda path: path.write_bytes(b"")),
    "folder": ("folder", lambda path: path.mkdir()),
    "web page": ("web_page", lambda path: path.write_text("\n <!DOCTYPE html><html>Google Drive - Virus scan")),
    "pointer": ("pointer", lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ca9")),
    "onnx": ("onnx", lambda path: path.write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x052.1.0" + bytes(99))),
    "noise": ("none", lambda path: path.write_bytes(bytes(range(1, 256)) * 9)),
    "zip cut short": ("cut_short", lambda path: cut(path, 15_000)),
    "old layout cut short": ("damaged", lambda path: cut(path, 9_000, _use_new_zipfile_serialization=False)),
    "a zip of photographs": ("none", lambda path: archive(path, a_jpg=b"x")),
    "zip with a broken index": ("damaged", lambda path: archive(path, data_pkl=b"\x80\x02garbage", version=b"3")),
    "script with a broken index": ("damaged", lambda path: archive(path, data_pkl=b"\x80\x02}", constants_pkl=b"")),
    "another program's pickle": ("none", lambda path: path.write_bytes(pickle.dumps(Bomb(path / "run")))),
    "not a dict": ("other", lambda path: torch.save([torch.zeros(3)], path)),
    "another network": ("other", lambda path: torch.save({"conv.weight": torch.zeros(3)}, path)),
    "another size": ("other_size", lambda path: torch.save(other_size(), path)),
    "sync expert": (
        "sync_expert",
        lambda path: torch.save({"face_encoder.0.conv_block.0.weight": torch.ones(1)}, path),
    ),
    "discriminator": ("discriminator", lambda path: torch.save({"binary_pred.0.weight": torch.zeros(1)}, path)),
    "face detector": ("face_detector", lambda path: torch.save({"conv1_1.weight": torch.zeros(1)}, path)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files(path: Path, name: str) -> None:
    kind, make = WRONG[name]
    make(path)
    with pytest.raises(NotInstalled) as caught:
        checkpoint.load(path)
    assert caught.value.code == f"weights_{kind}", caught.value
    for language in catalog.languages():
        words = catalog.text(caught.value.code, caught.value.fields, language)
        assert "brought.pth" in words and len(words) < 220 and "weights_" not in words


@pytest.mark.parametrize("layout", ["bare pickle", "old", "new", "scripted"])
def test_code_is_refused_unread(path: Path, tmp_path: Path, layout: str) -> None:
    target, bomb = tmp_path / "run", Bomb(tmp_path / "run")
    if layout == "bare pickle":
        path.write_bytes(pickle.dumps(bomb, protocol=2))
    elif layout == "scripted":
        archive(path, data_pkl=pickle.dumps({"weight": bomb}, protocol=2), constants_pkl=b"")
    else:
        torch.save({"state_dict": {"a": bomb}}, path, _use_new_zipfile_serialization=layout == "new")
    with pytest.raises(NotInstalled) as caught:
        checkpoint.load(path)
    assert caught.value.code == "weights_code", caught.value
    assert not target.exists()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = Path("/tmp") / f"heygemd-{os.getpid()}.pth"
    path.write_bytes(b"PK")
    path.chmod(0)
    os.seteuid(65534)
    try:
        with pytest.raises(NotInstalled) as caught:
            checkpoint.load(path)
    finally:
        os.seteuid(0)
        path.unlink()
    assert caught.value.code == "weights_unreadable"


def test_the_engine_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled) as caught:
        Wav2LipEngine(tmp_path).check()
    assert caught.value.code == "wav2lip_missing"
    (tmp_path / "wav2lip.pth").write_bytes(b"<html>")
    with pytest.raises(NotInstalled) as caught:
        Wav2LipEngine(tmp_path).check()
    assert caught.value.code == "weights_web_page"
    chosen = Render(wav2lip=Wav2Lip(checkpoint=str(tmp_path / "mine.pth")))
    with pytest.raises(NotInstalled) as caught:
        Wav2LipEngine(tmp_path, settings=chosen).check()
    assert caught.value.fields["name"] == "mine.pth"
