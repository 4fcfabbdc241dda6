"""Renders with an engine that works on files: writes plain inputs for it, checks its result and decodes it."""

from __future__ import annotations

import dataclasses
import shutil
import wave
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...config.schema import Limits
from ...errors import EngineError, InputError
from ...media import ffmpeg
from ...media.process import Writer
from ..audio.mel import VOICE_RATE_HZ
from ..progress import Phases
from ..video import decode, encode_mux
from ..video.color import matrix_name
from ..video.decode import Frame, Picture
from .base import FileEngine

CRF = 10
MISSING_S = 0.5
"""A result may end this much early (the original Wav2Lip drops a tenth of a second); its last frame is repeated."""
ASPECT_TOLERANCE = 0.02
BLOCK_SAMPLES = 1 << 20
UNTAGGED_MATRIX = "smpte170m"
"""OpenCV and ffmpeg write this by default, at any size."""


def run(
    engine: FileEngine, picture: Picture, frames: Iterator[Frame], total: int, voice: NDArray[np.float32],
    folder: Path, limits: Limits, phases: Phases,
) -> Iterator[Frame]:  # fmt: skip
    """Yield `total` frames rendered by the engine, of `picture`'s size and rate.

    frames  the source in the order of the output
    voice   (samples,) float32 mono at VOICE_RATE_HZ
    folder  of scratch, for the engine's inputs and outputs

    Raises EngineError("command_output", reason=...) and what the engine raises.
    """
    video, audio, work = folder / "video.mp4", folder / "voice.wav", folder / "engine"
    work.mkdir()
    phases.begin("prepare", total)
    _write_video(video, picture, frames, total, phases)
    write_wav(audio, voice)
    phases.begin("render", 2 * total)  # the engine's work, then our encoding
    heartbeats = 0

    def progress(share: float | None) -> None:
        nonlocal heartbeats
        if share is not None:
            return phases.done(int(share * total))
        if not heartbeats:
            phases.begin("render", 0)
        heartbeats += 1
        return phases.done(heartbeats)

    made = engine.render(video, audio, work, picture.fps, progress)
    if heartbeats:
        phases.begin("render", 2 * total)
    yield from _frames(made, picture, total, limits)
    shutil.rmtree(work)


def _write_video(path: Path, picture: Picture, frames: Iterator[Frame], total: int, phases: Phases) -> None:
    tags = encode_mux.tags(picture)
    source = ffmpeg.raw_video(picture.width, picture.height, picture.fps, **tags)
    codec = {"c:v": "libx264", "preset": "veryfast", "crf": CRF, "threads": ffmpeg.THREADS, "pix_fmt": "yuv420p"}
    codec["x264-params"] = encode_mux.X264_PARAMS
    output = ffmpeg.to_file(source, path=path, max_bytes=1 << 40, format="mp4", **codec, **tags)
    with closing(Writer(ffmpeg.command(output, media_s=float(total / picture.fps)))) as writer:
        for done, frame in enumerate(frames, 1):
            writer.write(frame.data)
            phases.done(done)
        writer.finish()


def write_wav(path: Path, voice: NDArray[np.float32]) -> None:
    """Write (samples,) float32 at VOICE_RATE_HZ as the WAV that a FileEngine gets: mono, 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(VOICE_RATE_HZ)
        for start in range(0, len(voice), BLOCK_SAMPLES):
            block = np.clip(voice[start : start + BLOCK_SAMPLES], -1, 1)
            file.writeframes(np.rint(block * 32767).astype("<i2").tobytes())


def _frames(made: Path, picture: Picture, total: int, limits: Limits) -> Iterator[Frame]:
    try:
        seen = decode.describe_video(made, limits)
    except InputError as error:  # the engine's file, not a person's
        raise _refused(error.code, error.detail) from None
    if abs(seen.width / seen.height * picture.height / picture.width - 1) > ASPECT_TOLERANCE:
        raise _refused(f"{seen.width}x{seen.height} instead of {picture.width}x{picture.height}")
    stream = dataclasses.replace(seen.stream, matrix=seen.stream.matrix or UNTAGGED_MATRIX)
    as_ours = dataclasses.replace(picture, path=made, stream=stream, matrix=matrix_name(picture), photo="")
    last, missing = None, total
    with closing(decode.frames(as_ours, total)) as decoded:
        for last in decoded:
            missing -= 1
            yield last
    if last is None or missing > MISSING_S * picture.fps:
        raise _refused(f"{total - missing} frames instead of {total}")
    yield from [last] * missing


def _refused(reason: str, detail: str = "") -> EngineError:
    return EngineError("command_output", reason=reason, detail=detail)
