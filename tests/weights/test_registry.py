"""The register of weights: hashes decide, half a file never gets its name."""

from __future__ import annotations

import hashlib
import io
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from heygemd import package_data
from heygemd.errors import InfrastructureError, InputError
from heygemd.weights import registry

CONTENT = b"weights" * 1000


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    manifest = f"""
    [[model]]
    name = "tiny"
    file = "tiny.pth"
    sha256 = "{digest[:12]}"
    licence = "CC0"
    source = "made here"
    purpose = "a test"
    url = "https://models.invalid/tiny.pth"
    """
    monkeypatch.setattr(package_data, "manifest", lambda: manifest)


def serve(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    def urlopen(url: str, timeout: float) -> Any:
        assert url == "https://models.invalid/tiny.pth"
        return io.BytesIO(content)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


def test_shipped_manifest_is_valid_and_names_are_unique() -> None:
    models = registry.known_models()
    assert len({m.name for m in models}) == len(models)
    for model in models:
        assert "/" not in model.file or model.shipped
        assert model.size is None or not model.shipped or model.path(Path()).stat().st_size == model.size
        assert model.licence
        assert model.source


def test_every_shipped_weight_is_in_the_manifest() -> None:
    assets = package_data.PACKAGE / "weights" / "assets"
    files = {
        p.relative_to(package_data.PACKAGE).as_posix()
        for p in assets.iterdir()
        if p.suffix in (".tflite", ".safetensors")
    }
    assert files == {m.file for m in registry.known_models() if m.shipped}


def test_shipped_weights_are_what_the_manifest_says() -> None:
    """New weights need their new hash in models/manifest.toml: the message holds it."""
    shipped = [m for m in registry.known_models() if m.shipped]
    found = {m.name: hashlib.sha256(m.path(Path()).read_bytes()).hexdigest() for m in shipped}
    assert found == {m.name: m.sha256 for m in shipped}


@pytest.mark.usefixtures("known")
def test_add_knows_a_file_by_its_content(tmp_path: Path) -> None:
    brought = tmp_path / "download (3).bin"
    brought.write_bytes(CONTENT)
    store = tmp_path / "models"
    model = registry.add(brought, store)
    assert model.name == "tiny"
    assert (store / "tiny.pth").read_bytes() == CONTENT
    assert registry.state(model, store) == "present"
    assert [p.name for p in store.iterdir()] == ["tiny.pth"]


@pytest.mark.usefixtures("known")
def test_add_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    brought = tmp_path / "tiny.pth"
    brought.write_bytes(CONTENT + b"!")
    with pytest.raises(InputError) as raised:
        registry.add(brought, tmp_path / "models")
    assert raised.value.code == "model_not_known"
    with pytest.raises(InputError) as raised:
        registry.add(tmp_path / "nowhere", tmp_path / "models")
    assert raised.value.code == "model_file_missing"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<!DOCTYPE html><title>Google Drive</title>", "weights_web_page"),
        (b"", "weights_empty"),
        (b"PK\x03\x04" + bytes(100), "weights_cut_short"),
    ],
)
def test_add_says_what_a_wrong_file_is(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "wav2lip_gan.pth").write_bytes(content)
    with pytest.raises(InputError) as raised:
        registry.add(tmp_path / "wav2lip_gan.pth", tmp_path / "models")
    assert raised.value.code == code
    assert not (tmp_path / "models").exists()


def test_a_file_without_a_published_hash_goes_by_its_name(tmp_path: Path) -> None:
    name = registry.find("blazeface-back").file
    for brought in (tmp_path / name, tmp_path / "other.pth"):
        brought.write_bytes(b"\x80\x02 weights")
    assert registry.add(tmp_path / name, tmp_path / "models").name == "blazeface-back"
    with pytest.raises(InputError, match="model_not_known"):
        registry.add(tmp_path / "other.pth", tmp_path / "models")
    (tmp_path / name).write_bytes(b"<html>")
    with pytest.raises(InputError, match="weights_web_page"):
        registry.add(tmp_path / name, tmp_path / "models")


@pytest.mark.usefixtures("known")
def test_fetch_reports_and_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, CONTENT)
    seen: list[int] = []
    registry.fetch(registry.find("tiny"), tmp_path, seen.append)
    assert seen[-1] == len(CONTENT)
    assert (tmp_path / "tiny.pth").read_bytes() == CONTENT


@pytest.mark.usefixtures("known")
def test_a_damaged_download_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, CONTENT[:-1])
    (tmp_path / "tiny.pth").write_bytes(b"old")
    with pytest.raises(InputError) as raised:
        registry.fetch(registry.find("tiny"), tmp_path)
    assert raised.value.code == "model_damaged"
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.pth"]
    assert (tmp_path / "tiny.pth").read_bytes() == b"old"
    assert registry.state(registry.find("tiny"), tmp_path) == "damaged"


@pytest.mark.usefixtures("known")
def test_no_network_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(url: str, timeout: float) -> Any:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(InfrastructureError) as raised:
        registry.fetch(registry.find("tiny"), tmp_path)
    assert raised.value.code == "model_fetch_failed"


def test_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(InputError) as raised:
        registry.find("nonsense")
    assert raised.value.code == "model_unknown"
    assert "s3fd" in raised.value.fields["known"]
