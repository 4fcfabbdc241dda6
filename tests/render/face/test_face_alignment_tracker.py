"""The face-alignment create_tracker: its plumbing with weights made here, and real faces where its real weights lie.

Made weights (see face_alignment_weights) say nothing of accuracy.
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

from heygemd.config.schema import Limits, Render
from heygemd.errors import EngineError, InputError, NotInstalled
from heygemd.render import analysis
from heygemd.render.cache import Cache
from heygemd.render.face import face_alignment_tracker
from heygemd.render.face.detector import BlazeFace, Square
from heygemd.render.face.registry import create_tracker
from heygemd.render.face.tracker import FaceMeshTracker
from heygemd.render.progress import Phases
from heygemd.render.scene import Image
from heygemd.render.video import decode
from heygemd.weights import requirements

from .. import face_alignment_weights
from .. import presenter as people
from ..anna import film

REAL = Path(os.environ.get("HEYGEMD_MODELS", "/var/lib/heygemd/models"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = face_alignment_weights.write(tmp_path_factory.mktemp("weights"))
    yield folder
    for file in folder.iterdir():
        file.unlink()


@pytest.fixture(scope="module")
def detector(made: Path) -> face_alignment_tracker.FanDetector:
    return face_alignment_tracker.FanDetector("s3fd", made, "cpu")


@pytest.mark.slow
def test_one_face_through_both_networks(detector: face_alignment_tracker.FanDetector) -> None:
    image = people.photo()
    boxes = detector._net.face_detector.detect_from_image(image[..., ::-1].copy())
    assert np.array(boxes).shape == (1, 5) and boxes[0][2] - boxes[0][0] == pytest.approx(512 * np.e, abs=2)
    squares = detector.detect(image)
    assert len(squares) == 1 and all(np.isfinite(squares[0]))


def test_blazeface_of_the_package_sees_the_whole_frame(made: Path) -> None:
    """It would see a square from the middle only."""
    detector = face_alignment_tracker.FanDetector("blazeface", made, "cpu")
    wide = np.zeros((180, 320, 3), np.uint8)
    (boxes,) = detector._boxes([wide], 0)
    assert boxes.shape[1] == 5 and boxes[:, 0].min() < 80 < 240 < boxes[:, 2].max()


def test_faces_of_a_frame_go_through_fan_together(
    detector: face_alignment_tracker.FanDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, ...]] = []

    def fan_net(crops: torch.Tensor) -> torch.Tensor:
        sizes.append(tuple(crops.shape))
        return torch.zeros(len(crops), 68, 64, 64)

    boxes = np.array([[10, 10, 90, 110, 0.9]] * 3)
    monkeypatch.setattr(detector._net.face_detector, "detect_from_batch", lambda pixels: [boxes])
    monkeypatch.setattr(detector._net, "face_alignment_net", fan_net)
    monkeypatch.setattr(detector, "batch", 4)
    detector.detect(people.photo())
    assert sizes == [(3, 3, 256, 256)]


def test_frames_of_a_batch_are_seen_as_if_each_were_alone(detector: face_alignment_tracker.FanDetector) -> None:
    images = [np.ascontiguousarray(image[:128, :192]) for image in people.swaying(3)]
    together = detector._net.face_detector.detect_from_batch(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
    for image, boxes in zip(images, together, strict=True):
        assert np.allclose(boxes, detector._boxes([image], 0)[0], atol=1e-2)


class Watched:
    """A detector whose networks are replaced: it sees a face in frames from `first` on, and keeps what it was asked."""

    def __init__(
        self, detector: face_alignment_tracker.FanDetector, monkeypatch: pytest.MonkeyPatch, first: int = 1 << 30
    ) -> None:
        self.batches, self.taken, self.first = list[int](), 0, first
        monkeypatch.setattr(detector, "_boxes", self._boxes)
        monkeypatch.setattr(detector, "_squares", lambda image, box: [Square(*box)] if len(box) else [])
        self.detector = detector

    def _boxes(self, images: list[Image], start: int) -> list[np.ndarray]:
        part = images[start : start + self.detector.batch]
        self.batches.append(len(part))
        return [np.full(3, image[0, 0, 0]) if image[0, 0, 0] >= self.first else np.zeros(0) for image in part]

    def frames(self, count: int) -> Iterator[Image]:
        for number in range(count):
            self.taken += 1
            yield np.full((9, 9, 3), number, np.uint8)

    def ask(self, count: int) -> dict[int, list[Square]]:
        """Detect as the tracker does while it finds nobody."""
        found, held = {}, 0
        for number, image in enumerate(self.detector.prefetch(self.frames(count), 5)):
            held = max(held, self.taken - number)
            if number < 5 or number % 5 == 0 or number % 24 == 0:
                found[number] = self.detector.detect(image)
        assert held <= self.detector.batch * 5
        return found


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_frames_without_a_face_go_through_the_detector_together(
    detector: face_alignment_tracker.FanDetector, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(detector, "batch", batch)
    watched = Watched(detector, monkeypatch)
    found = watched.ask(200)
    assert not any(found.values()) and max(watched.batches) == batch
    assert sum(watched.batches) == len(found)  # none was looked at in vain
    assert len(watched.batches) <= 6 + 2 * 7 + 39 / batch + 1  # the first, those off the grid and after, the rest


def test_each_frame_gets_its_own_faces(
    detector: face_alignment_tracker.FanDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector, "batch", 4)
    found = Watched(detector, monkeypatch, first=33).ask(60)
    assert {number: faces[0].x for number, faces in found.items() if faces} == {
        number: number for number in found if number >= 33
    }


def test_too_little_memory_halves_the_batch_then_the_processor_takes_over(
    detector: face_alignment_tracker.FanDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No GPU is needed: it has no room from the first byte on."""
    tried: list[tuple[str, int]] = []
    rooms = {"cpu": 1, "cuda": 0}

    def detect(pixels: torch.Tensor) -> list[np.ndarray]:
        tried.append((detector._net.device, len(pixels)))
        if len(pixels) > rooms[detector._net.device]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [np.zeros((0, 5))] * len(pixels)

    monkeypatch.setattr(detector._net.face_detector, "detect_from_batch", detect)
    monkeypatch.setattr(detector._net, "device", "cuda")
    monkeypatch.setattr(detector, "batch", 4)
    assert detector._detect_batch([people.photo()] * 3) == [[]] * 3
    assert tried == [("cuda", 3), ("cuda", 2), ("cuda", 1), ("cpu", 1), ("cpu", 1), ("cpu", 1)]
    rooms["cpu"] = 0
    with pytest.raises(EngineError, match="engine_memory"):
        detector.detect(people.photo())


def test_a_gpu_without_room_for_the_networks_gives_way_to_the_processor(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tried, room = face_alignment_tracker._load, list[str](), {"cpu"}

    def load(detector: str, detector_file: Path, fan_file: Path, device: str) -> object:
        tried.append(device)
        if device not in room:
            raise RuntimeError("CUDA error: out of memory")
        return real(detector, detector_file, fan_file, device)  # type: ignore[arg-type]

    monkeypatch.setattr(face_alignment_tracker, "_load", load)
    loaded = face_alignment_tracker.FanDetector("blazeface", made, "cuda")
    assert tried == ["cuda", "cpu"] and (loaded._net.device, loaded.batch) == ("cpu", 1)
    room.clear()
    with pytest.raises(EngineError, match="engine_memory"):
        face_alignment_tracker.FanDetector("blazeface", made, "cuda")


@pytest.mark.parametrize("before", [False, True])
def test_cudnns_benchmark_stays_as_it_was(made: Path, monkeypatch: pytest.MonkeyPatch, before: bool) -> None:
    """On a card the package switches it on when it loads and before each pass; there is none here, so the test does."""
    import face_alignment

    monkeypatch.setattr(torch.backends.cudnn, "benchmark", before)
    real, during = face_alignment.FaceAlignment, list[bool]()

    def as_on_a_card(*args: object, **options: object) -> object:
        torch.backends.cudnn.benchmark = True
        return real(*args, **options)

    monkeypatch.setattr(face_alignment, "FaceAlignment", as_on_a_card)
    detector = face_alignment_tracker.FanDetector("s3fd", made, "cpu")
    assert torch.backends.cudnn.benchmark is before
    net = detector._net.face_detector.face_detector
    net.conv1_1.register_forward_hook(lambda *_: during.append(torch.backends.cudnn.benchmark))
    torch.backends.cudnn.benchmark = True
    detector._boxes([people.photo()[:64, :64]], 0)
    assert during == [before] and torch.backends.cudnn.benchmark is before


def test_a_frame_without_a_face_is_quiet(
    detector: face_alignment_tracker.FanDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector._net.face_detector, "detect_from_batch", lambda pixels: [np.zeros((0, 5))])
    assert detector.detect(people.photo()) == []


def test_a_second_voice_takes_the_track_from_the_cache(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made weights find no real face: the squares are BlazeFace's, all else is this tracker's. A detector is a key."""
    monkeypatch.setattr(
        face_alignment_tracker.FanDetector,
        "_detect_batch",
        lambda self, images: [BlazeFace().detect(image) for image in images],
    )
    picture = decode.describe_video(film(tmp_path / "anna.mp4", 0.6), Limits())
    real, runs = face_alignment_tracker.FaceAlignmentTracker.track_faces, list[str]()

    def counted(self: face_alignment_tracker.FaceAlignmentTracker, *rest: object, **more: object) -> object:
        runs.append(self.version)
        return real(self, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(face_alignment_tracker.FaceAlignmentTracker, "track_faces", counted)

    def analyse(detector: str, folder: Path) -> np.ndarray:
        chosen = create_tracker("face-alignment", made, "cpu", detector)  # type: ignore[arg-type]
        folder.mkdir()
        cache, phases = Cache(tmp_path / "cache", 1 << 30), Phases(lambda event: None)
        found = analysis.track_video(
            picture, "digest", None, chosen, Render(), ["largest"], cache, folder, phases, lambda event: None
        )
        return found.tracks[0].points(0, 15)

    first, again = analyse("s3fd", tmp_path / "1"), analyse("s3fd", tmp_path / "2")
    assert np.array_equal(first, again) and np.isfinite(first).all() and runs == ["2 s3fd"]
    analyse("blazeface", tmp_path / "3")
    assert runs == ["2 s3fd", "2 blazeface"]


@pytest.mark.slow
def test_behind_the_contract_of_trackers(made: Path, tmp_path: Path) -> None:
    """FAN's guesses are no face to Face Mesh, and that is a typed answer."""
    chosen = create_tracker("face-alignment", made)
    chosen.check()
    with pytest.raises(InputError) as caught:
        chosen.track(iter(people.swaying(1)), (300, 300), people.FPS, tmp_path / "points.f32")
    assert caught.value.code in ("no_face", "few_faces")
    assert not list(tmp_path.glob("*.slot*"))


def test_nothing_is_fetched(made: Path, tmp_path: Path) -> None:
    """With the network off and an empty home that cannot be written."""
    code = (
        "import sys, socket; from pathlib import Path; from heygemd.media.sandbox import confine\n"
        "import tempfile; tempfile.tempdir = sys.argv[2]\n"
        "missing = confine([Path(sys.argv[2])])\n"
        "try: socket.socket(); print('network', missing)\n"
        "except OSError: print('no network')\n"
        "from heygemd.render.face.registry import create_tracker\n"
        "print(type(create_tracker('face-alignment', Path(sys.argv[1])).face_detector()).__name__)\n"
    )
    (tmp_path / "home").mkdir()
    (tmp_path / "scratch").mkdir()
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "TORCH_HOME": str(tmp_path / "home")}
    argv = [sys.executable, "-c", code, str(made), str(tmp_path / "scratch")]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=150)
    assert done.stdout.split("\n")[:2] == ["no network", "FanDetector"], done.stderr
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04", b"\x80\x02garbage"])
@pytest.mark.parametrize("name", [*requirements.DETECTOR_FILES.values(), requirements.FAN_FILE])
def test_damaged_weights(made: Path, tmp_path: Path, name: str, content: bytes) -> None:
    for file in made.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes(content)
    detector = "blazeface" if "blaze" in name else "s3fd"
    with pytest.raises(NotInstalled) as caught:
        create_tracker("face-alignment", tmp_path, "cpu", detector).check()  # type: ignore[arg-type]
    assert caught.value.code in ("weights_damaged", "weights_empty", "weights_web_page", "weights_cut_short")
    assert name in caught.value.fields["name"]


def test_auto_takes_what_is_installed(made: Path, tmp_path: Path) -> None:
    assert create_tracker("auto", made, "cuda").name == "face-alignment"
    assert type(create_tracker("auto", tmp_path, "cuda")) is FaceMeshTracker
    assert type(create_tracker("auto", made, "cpu")) is FaceMeshTracker


@pytest.mark.skipif(
    not all((REAL / name).is_file() for name in (requirements.DETECTOR_FILES["s3fd"], requirements.FAN_FILE)),
    reason="the face-alignment weights are not installed (heygemd models fetch s3fd, fetch 2dfan4)",
)
def test_real_weights_find_the_real_face(tmp_path: Path) -> None:
    frames = people.swaying(10)
    found, _ = create_tracker("face-alignment", REAL).track(iter(frames), (300, 300), people.FPS, tmp_path / "a.f32")
    known, _ = people.track(frames, tmp_path)
    assert np.abs(found.points(0, 10)[..., :2] - known.points(0, 10)[..., :2]).mean() < 3
