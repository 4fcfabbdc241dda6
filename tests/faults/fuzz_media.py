"""Mutated media through the daemon's checks and a short render: python -m tests.faults.fuzz_media FOLDER SEED COUNT

The checks (container, ffprobe) run in this process, as in the daemon. Each render runs in a forked, confined child, so
that the renderer is imported only once. Prints one JSON object with the count of each outcome and a list of failures.
"""

from __future__ import annotations

import collections
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from heygemd.config.schema import GIB, Limits, Render
from heygemd.errors import HeygemdError
from heygemd.media import completeness, probe
from heygemd.media.sandbox import confine, limit_file_size
from heygemd.protocol import RenderRequest
from heygemd.render import pipeline
from tests.e2e.harness import PATIENCE
from tests.faults import sample_media
from tests.media_factory import ffmpeg

LIMITS = Limits(probe_timeout_s=20, max_audio_s=60, max_video_s=60, max_pixels=1920 * 1080, free_scratch_gib=0)
HANG_S = 240.0 * PATIENCE
"""Longer than any stage takes on a loaded machine, but below the daemon's own limits."""

Bytes = bytearray


def truncate(data: Bytes, rng: random.Random, other: bytes) -> Bytes:
    return data[: rng.randrange(len(data))]


def flip(data: Bytes, rng: random.Random, other: bytes) -> Bytes:
    for _ in range(rng.choice([1, 4, 30, 300])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def flip_head(data: Bytes, rng: random.Random, other: bytes) -> Bytes:
    for _ in range(rng.choice([1, 3, 10])):
        data[rng.randrange(min(2000, len(data)))] = rng.randrange(256)
    return data


def flip_tail(data: Bytes, rng: random.Random, other: bytes) -> Bytes:
    for _ in range(rng.choice([1, 3, 10])):
        data[-1 - rng.randrange(min(2000, len(data)))] = rng.choice([0, 0x7F, 0x80, 0xFF])
    return data


def splice(data: Bytes, rng: random.Random, other: bytes) -> Bytes:
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


def repeat(data: Bytes, rng: random.Random, other: bytes) -> Bytes:
    at, size = rng.randrange(len(data)), rng.randrange(1, 5000)
    return data[: at + size] + data[at:]


def remove(data: Bytes, rng: random.Random, other: bytes) -> Bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randrange(1, 500) :]


def zeros(data: Bytes, rng: random.Random, other: bytes) -> Bytes:
    at, size = rng.randrange(len(data)), rng.randrange(1, 20_000)
    data[at : at + size] = bytes(len(data[at : at + size]))
    return data


def huge_sizes(data: Bytes, rng: random.Random, other: bytes) -> Bytes:
    """Change the size of a box: the four bytes before a name of four letters."""
    names = [i for i in range(4, min(len(data) - 4, 200_000)) if data[i : i + 4].isalpha()]
    for at in rng.sample(names, min(2, len(names))):
        data[at - 4 : at] = rng.choice([b"\0\0\0\0", b"\0\0\0\1", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff"])
    return data


MUTATIONS: list[Callable[[Bytes, random.Random, bytes], Bytes]] = [
    truncate, flip, flip_head, flip_tail, splice, repeat, remove, zeros, huge_sizes,
]  # fmt: skip


def sources(folder: Path) -> list[Path]:
    """Make the files to mutate: real faces and voices in every container."""
    found = [*sample_media.videos(folder), *sample_media.voices(folder)]
    first = found[0]
    for ending, codec in {
        ".webm": ["-c:v", "libvpx", "-deadline", "realtime"], ".avi": ["-c:v", "mpeg4"], ".ts": ["-c:v", "mpeg2video"],
        ".flv": ["-c:v", "flv"], ".wmv": ["-c:v", "wmv2"], ".mpg": ["-c:v", "mpeg1video"],
    }.items():  # fmt: skip
        target = folder / f"more{ending}"
        ffmpeg("-i", first, *codec, target)
        found.append(target)
    return found


def classify(path: Path) -> str:
    """Return what the daemon concludes: the kind of media, or the code of a typed error."""
    try:
        completeness.examine(path)
        return probe.probe(path, LIMITS).kind or "no media"
    except HeygemdError as error:
        return error.code


def render(voice: Path, shown: Path, folder: Path) -> str:
    """Render in a forked child. Return "rendered", an error's code, "hang", or "died" with the wait status."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        confine([folder])
        limit_file_size(GIB)
        os.write(writing, _outcome(voice, shown, folder).encode())
        os._exit(0)
    os.close(writing)
    until = time.monotonic() + HANG_S
    ended = 0
    while not ended and time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "hang"
    with os.fdopen(reading, "rb") as said:
        word = said.read().decode()
    return word or f"died {status}"


def _outcome(voice: Path, shown: Path, folder: Path) -> str:
    (folder / "tmp").mkdir()
    request = RenderRequest(
        voice=voice, video=shown, voice_digest=f"{voice}", video_digest=f"{shown}", output=folder / "out.mp4",
        scratch=folder / "tmp", cache=folder / "cache", models=folder, settings=Render(quality="draft"), limits=LIMITS,
    )  # fmt: skip
    try:
        pipeline.render(request, lambda event: None)
        return "rendered"
    except HeygemdError as error:
        return error.code
    except BaseException as error:
        import traceback

        return f"untyped {type(error).__name__}: {error} {traceback.format_exc()[-700:]}"


def main(folder: Path, seed: int, count: int) -> None:
    cv2.setNumThreads(1)
    rng, outcomes, wrong = random.Random(seed), collections.Counter[str](), []
    originals = sources(folder)
    voice, face = folder / "v.wav", folder / "bundled-0.mp4"
    for number in range(count):
        source, other = rng.choice(originals), rng.choice(originals)
        mutation = rng.choice(MUTATIONS)
        mutant = folder / f"mutant{rng.choice([source, other]).suffix}"
        mutant.write_bytes(mutation(bytearray(source.read_bytes()), rng, other.read_bytes()))
        kind, job_folder = classify(mutant), folder / "job"
        word = kind
        if kind in ("audio", "video"):
            job_folder.mkdir()
            pair = (mutant, face) if kind == "audio" else (voice, mutant)
            word = render(*pair, job_folder)
            shutil.rmtree(job_folder)
        outcomes[word.split(" ")[0]] += 1
        if word.startswith(("untyped", "hang", "died")):
            kept = folder / f"found-{number}{mutant.suffix}"
            shutil.copyfile(mutant, kept)
            wrong.append(f"{kept.name} ({mutation.__name__} of {source.name}): {word}")
    print(json.dumps({"seed": seed, "files": count, "outcomes": outcomes.most_common(), "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.flush()
    os._exit(0)
