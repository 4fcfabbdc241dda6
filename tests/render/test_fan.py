"""The face-alignment tracker: its plumbing with weights made here, and real faces where its real weights lie.

Made weights say nothing of accuracy: S3FD is made to see one face of a known size in every picture, FAN guesses.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from face_alignment.detection.sfd.net_s3fd import s3fd
from face_alignment.models import FAN

from heygemd.errors import EngineError, InputError
from heygemd.render import fan
from heygemd.render.faces import FaceMeshTracker, tracker

from . import presenter as people

REAL = Path(os.environ.get("HEYGEMD_MODELS", "/var/lib/heygemd/models"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(5)
    detector, landmarks = s3fd(), FAN(4)
    for name, layer in detector.named_modules():
        if "mbox" in name:
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
            if name == "conv7_2_mbox_loc":  # e times as large as its anchor, so that neighbours are the same face
                layer.bias.data[2:] = 5
            elif name.endswith("conf"):  # only the coarsest layer sees faces, everywhere
                layer.bias.data[-1] = 5 if name.startswith("conv7_2") else -5
    torch.save(detector.state_dict(), folder / fan.S3FD_FILE)
    torch.save(landmarks.state_dict(), folder / fan.FAN_FILE)
    yield folder
    for file in folder.iterdir():
        file.unlink()


@pytest.fixture(scope="module")
def finder(made: Path) -> fan.FanFinder:
    return fan.FanFinder(made, "cpu")


@pytest.mark.slow
def test_one_face_through_both_networks(finder: fan.FanFinder) -> None:
    image = people.photo()
    boxes = finder._net.face_detector.detect_from_image(image[..., ::-1].copy())
    assert np.array(boxes).shape == (1, 5) and boxes[0][2] - boxes[0][0] == pytest.approx(512 * np.e, abs=2)
    squares = finder.find(image)
    assert len(squares) == 1 and all(np.isfinite(squares[0]))


def test_faces_of_a_frame_go_through_fan_together(finder: fan.FanFinder, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, ...]] = []

    def fan_net(crops: torch.Tensor) -> torch.Tensor:
        sizes.append(tuple(crops.shape))
        return torch.zeros(len(crops), 68, 64, 64)

    box = np.array([10, 10, 90, 110, 0.9])
    monkeypatch.setattr(finder._net.face_detector, "detect_from_image", lambda image: [box] * 3)
    monkeypatch.setattr(finder._net, "face_alignment_net", fan_net)
    finder.find(people.photo())
    assert sizes == [(3, 3, 256, 256)]


def test_a_frame_without_a_face_is_quiet(finder: fan.FanFinder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder._net.face_detector, "detect_from_image", lambda image: [])
    assert finder.find(people.photo()) == []


@pytest.mark.slow
def test_behind_the_contract_of_trackers(made: Path, tmp_path: Path) -> None:
    """FAN's guesses are no face to Face Mesh, and that is a typed answer."""
    chosen = tracker("face-alignment", made)
    chosen.check()
    with pytest.raises(InputError) as caught:
        chosen.track(iter(people.swaying(1)), (300, 300), people.FPS, tmp_path / "points.f32")
    assert caught.value.code in ("no_face", "few_faces")
    assert not list(tmp_path.glob("*.slot*"))


def test_nothing_is_fetched(made: Path, tmp_path: Path) -> None:
    """With the network off and an empty home that cannot be written."""
    code = (
        "import sys, socket; from pathlib import Path; from heygemd.render.confine import confine\n"
        "import tempfile; tempfile.tempdir = sys.argv[2]\n"
        "missing = confine([Path(sys.argv[2])])\n"
        "try: socket.socket(); print('network', missing)\n"
        "except OSError: print('no network')\n"
        "from heygemd.render.faces import tracker\n"
        "print(type(tracker('face-alignment', Path(sys.argv[1])).finder()).__name__)\n"
    )
    (tmp_path / "home").mkdir()
    (tmp_path / "scratch").mkdir()
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "TORCH_HOME": str(tmp_path / "home")}
    argv = [sys.executable, "-c", code, str(made), str(tmp_path / "scratch")]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=150)
    assert done.stdout.split("\n")[:2] == ["no network", "FanFinder"], done.stderr
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04", b"\x80\x02garbage"])
@pytest.mark.parametrize("name", fan.WEIGHT_FILES)
def test_damaged_weights(made: Path, tmp_path: Path, name: str, content: bytes) -> None:
    for file in made.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EngineError) as caught:
        tracker("face-alignment", tmp_path).finder()
    assert caught.value.code == "weights_damaged"


def test_auto_takes_what_is_installed(made: Path, tmp_path: Path) -> None:
    assert tracker("auto", made, "cuda").name == "face-alignment"
    assert type(tracker("auto", tmp_path, "cuda")) is FaceMeshTracker
    assert type(tracker("auto", made, "cpu")) is FaceMeshTracker


@pytest.mark.skipif(
    not all((REAL / name).is_file() for name in fan.WEIGHT_FILES),
    reason="the face-alignment weights are not installed (heygemd models fetch s3fd, fetch 2dfan4)",
)
def test_real_weights_find_the_real_face(tmp_path: Path) -> None:
    frames = people.swaying(10)
    found, _ = tracker("face-alignment", REAL).track(iter(frames), (300, 300), people.FPS, tmp_path / "a.f32")
    known, _ = people.track(frames, tmp_path)
    assert np.abs(found.points(0, 10)[..., :2] - known.points(0, 10)[..., :2]).mean() < 3
