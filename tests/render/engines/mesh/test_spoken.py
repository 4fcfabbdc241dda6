"""A voice through the real engine onto a real face, measured by tracking the rendered frames again."""

from pathlib import Path

import numpy as np
import pytest

from heygemd.config.schema import Limits
from heygemd.render.audio.load import load_voice
from heygemd.render.audio.mel import VOICE_RATE_HZ
from heygemd.render.cache import Cache
from heygemd.render.engines.mesh import MeshEngine, mouth_plan, viseme_net
from heygemd.render.face.mesh_indices import MOUTH_CORNERS
from heygemd.render.face.mouth_params import OPEN, WIDTH, measure_mouth
from heygemd.render.face.pose import align
from heygemd.render.scene import Patch, Timeline

from ... import presenter as people

DATA = Path(__file__).parents[2] / "data"
LOUDNESS = 0.1
SAID_S = {
    "mama": {"m": [(0.64, 0.71), (0.78, 0.90)], "vowel": [(0.51, 0.64), (0.90, 1.08)]},
    "see": {"vowel": [(0.51, 0.69), (0.78, 0.96), (1.06, 1.39)]},
}
"""Where the sounds lie, from espeak-ng; the first and last m of mama mama border on silence and prove nothing."""
TONGUE_S = {
    "raised": [(0.40, 0.49), (0.63, 0.76), (1.31, 1.42), (1.60, 1.75), (2.56, 2.73), (3.30, 3.34)],
    "low": [(0.54, 0.59), (0.81, 1.00), (1.47, 1.53), (1.80, 2.00), (2.43, 2.51), (2.78, 3.00), (3.42, 3.70)],
}
"""In "la la, no no, that tea, do": l, l, n, n, t and d, and the middles of the vowels after them and after th."""


def spoken(name: str, folder: Path) -> np.ndarray:
    """The clip at 16 kHz, both equally loud (RMS of what is not silence)."""
    path = DATA / f"{name}.opus"
    samples = load_voice(path, name, Limits(), Cache(folder / "cache", 1 << 30), folder / name).samples
    loud = samples[np.abs(samples) > 0.02]
    return np.asarray(samples * (LOUDNESS / np.sqrt(np.mean(loud**2))), np.float32)


def rendered(voice: np.ndarray, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Measured mouths (T, 5) of the astronaut saying `voice`, and how many pixels (T,) of teeth are seen."""
    folder.mkdir()
    frames = people.swaying(int(len(voice) / VOICE_RATE_HZ * people.FPS))
    track = people.track(frames, folder)[0]
    engine = MeshEngine(folder)
    data = engine.analyse_video(
        people.crops(frames, track, engine.frames_to_analyse(track)), track
    ) | engine.analyse_voice(voice)
    line = Timeline(people.FPS, np.arange(len(track), dtype=np.int32))
    crops = people.crops(frames, track, list(range(len(track))))
    shown = []
    for patch, frame in zip(engine.render(crops, track, line, voice, data), frames, strict=True):
        shown.append(pasted(frame, patch, track.boxes[patch.output]))
    again = people.track(shown, folder)[0]
    points = again.points(0, len(again))
    seen = [teeth(frame, mouth) for frame, mouth in zip(shown, points[:, MOUTH_CORNERS, :2], strict=True)]
    return measure_mouth(align(points).to_face(points)), np.array(seen)


def teeth(frame: np.ndarray, corners: np.ndarray) -> int:
    """Count the bright and colourless pixels between the mouth's corners; she has no beard and no lipstick."""
    (x0, y), (x1, _) = np.round(corners).astype(int)
    part = frame[y - 8 : y + 22, x0:x1].astype(int)
    return int(((part.min(2) > 165) & (np.ptp(part, axis=2) < 45)).sum())


def pasted(frame: np.ndarray, patch: Patch, box: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = box
    out = frame.copy()
    alpha = patch.mask[..., None]
    out[y0:y1, x0:x1] = np.round(out[y0:y1, x0:x1] * (1 - alpha) + patch.image * alpha)
    return out


def during(mouths: np.ndarray, spans_s: list[tuple[float, float]]) -> list[np.ndarray]:
    """The frames within each span, one more on either side: lips are allowed that much."""
    fps = int(people.FPS)
    return [mouths[int(start * fps) - 1 : int(stop * fps) + 2] for start, stop in spans_s]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    folder = tmp_path_factory.mktemp("spoken")
    return {name: rendered(spoken(name, folder), folder / f"{name}.track") for name in SAID_S}


def test_each_m_closes_the_lips(said: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    mouths, bright = said["mama"]
    # Lips that touch read as some 0.05 on this smile, and 25 pixels of her skin are as bright as teeth: both count from
    # what the silence before the words reads.
    gaps, bright = mouths[:, OPEN] - mouths[2:8, OPEN].mean(), bright - np.median(bright[2:8])
    vowels = np.mean([span.max() for span in during(gaps, SAID_S["mama"]["vowel"])])
    assert vowels > 0.03
    for span in during(gaps, SAID_S["mama"]["m"]):
        assert span.min() < 0.15 * vowels
    most = max(span.max() for span in during(bright, SAID_S["mama"]["vowel"]))
    for span in during(bright, SAID_S["mama"]["m"]):
        assert span.min() < 0.1 * most


def test_see_is_wider_than_mama(said: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    width = {name: np.concatenate(during(said[name][0], SAID_S[name]["vowel"]))[:, WIDTH].mean() for name in SAID_S}
    assert width["see"] > width["mama"] + 0.015


def raised(name: str, folder: Path) -> np.ndarray:
    """How far the tip of the tongue is raised, 0..1 at viseme_net.RATE_HZ."""
    tongue = MeshEngine(folder).analyse_voice(spoken(name, folder))["tongue"]
    assert tongue.dtype == np.float32 and tongue.ndim == 1
    return mouth_plan.raised_tongue(tongue, (np.arange(len(tongue)) + 0.5) / viseme_net.RATE_HZ)


def test_the_tip_of_the_tongue_rises_for_l_n_t_and_d_and_not_for_vowels(tmp_path: Path) -> None:
    share = raised("lala", tmp_path)
    for name, high in (("raised", True), ("low", False)):
        for start, stop in TONGUE_S[name]:
            span = share[int(start * viseme_net.RATE_HZ) : int(stop * viseme_net.RATE_HZ) + 1]
            assert (span.max() > 0.6) == high and (high or span.max() < 0.1), (name, start)
    assert not share[:15].any() and not share[-10:].any()  # silence


@pytest.mark.parametrize("name", list(SAID_S))
def test_the_tip_of_the_tongue_stays_low_for_m_and_s(name: str, tmp_path: Path) -> None:
    assert raised(name, tmp_path).max() < 0.1
