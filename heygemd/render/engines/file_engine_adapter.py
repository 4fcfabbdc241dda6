"""Rendering with an engine that takes files: inputs made plain for it, its result checked and brought to our terms."""

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
from ..video.compositing import matrix_name
from ..video.decode import Frame, Picture
from .base import FileEngine

CRF = 10
MISSING_S = 0.5
"""A result may end this much early (the original Wav2Lip drops a tenth of a second): its last frame then stays."""
SHAPE_WITHIN = 0.02
BLOCK_SAMPLES = 1 << 20
UNTAGGED_MATRIX = "smpte170m"
"""What OpenCV and ffmpeg write for pictures of any size when nobody says otherwise."""


def run(
    engine: FileEngine, picture: Picture, frames: Iterator[Frame], total: int, voice: NDArray[np.float32],
    folder: Path, limits: Limits, phases: Phases,
) -> Iterator[Frame]:  # fmt: skip
    """Yield `total` frames of `picture`'s size and rate as the engine made them.

    frames  the source in the order of the output
    Raises EngineError("command_output", reason=...) and what the engine raises.
    """
    shown, heard, room = folder / "shown.mp4", folder / "heard.wav", folder / "engine"
    room.mkdir()
    phases.begin("study", total)
    _write_video(shown, picture, frames, total, phases)
    write_sound(heard, voice)
    phases.begin("render", 2 * total)  # its work, then our encoding
    signs = 0

    def progress(share: float | None) -> None:
        nonlocal signs
        if share is not None:
            return phases.done(int(share * total))
        if not signs:
            phases.begin("render", 0)
        signs += 1
        return phases.done(signs)

    made = engine.render(shown, heard, room, picture.fps, progress)
    if signs:
        phases.begin("render", 2 * total)
    yield from _frames(made, picture, total, limits)
    shutil.rmtree(room)


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


def write_sound(path: Path, voice: NDArray[np.float32]) -> None:
    """Write (samples,) float32 at VOICE_RATE_HZ as the WAV that a FileEngine gets."""
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
    except InputError as error:  # not staff's file: the program's
        raise _refused(error.code, error.detail) from None
    if abs(seen.width / seen.height * picture.height / picture.width - 1) > SHAPE_WITHIN:
        raise _refused(f"{seen.width}x{seen.height} instead of {picture.width}x{picture.height}")
    stream = dataclasses.replace(seen.stream, matrix=seen.stream.matrix or UNTAGGED_MATRIX)
    as_ours = dataclasses.replace(picture, path=made, stream=stream, matrix=matrix_name(picture))
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
