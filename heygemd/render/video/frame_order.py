"""Source frames in the order of a timeline, forwards and backwards, in memory that does not grow with length.

During the first pass, frames that are shown backwards later are written to a lossless scratch copy in short segments. A
backward pass decodes one segment at a time and reverses it. A frame is the same bit for bit in every pass.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import EngineError, LocalDiskError
from ...media import ffmpeg
from ...media.process import Writer
from ..scene import Timeline
from . import decode
from .decode import Decode, Frame, Picture

CHUNK_BYTES = 48 << 20
MIN_CHUNK_FRAMES = 4
LOSSLESS_SHARE = 0.6
"""Size of the lossless copy relative to raw frames, for noisy footage."""

Run = tuple[int, int, int]
"""(first source frame, number of frames, step: 1, -1 or 0)."""


def ordered_frames(picture: Picture, timeline: Timeline, scratch: Path, spare_bytes: int = 0) -> Iterator[Frame]:
    """Yield the source frame of each output frame. Closing the generator ends its decoders.

    A frame that is yielded more than once is read-only: copy it before writing to it.

    spare_bytes  to leave free on the scratch disk
    Raises LocalDiskError("scratch_full"), EngineError("decode_changed") when frames seen before no longer come.
    """
    todo = split_runs(timeline.source)
    store = _FrameStore(picture, scratch, timeline.source, todo, spare_bytes)
    try:
        for number, (start, count, step) in enumerate(todo):
            if step == 0:
                if number == 0 or start != timeline.source[_before(todo, number)]:
                    (frame,) = store.forward(start, 1, first=number == 0)
                    frame.flags.writeable = False
                yield from [frame] * count
                continue
            played = store.backward(start, count) if step < 0 else store.forward(start, count, first=number == 0)
            held = number + 1 < len(todo) and todo[number + 1][2] == 0
            for left, frame in zip(range(count - 1, -1, -1), played, strict=True):
                if held and left == 0:
                    frame.flags.writeable = False
                yield frame
    finally:
        store.close()


def _before(todo: list[Run], number: int) -> int:
    """Return the index of the output frame before the run `number`."""
    return sum(count for _, count, _ in todo[:number]) - 1


def split_runs(source: NDArray[np.int32]) -> list[Run]:
    """Split the timeline into runs of a constant step."""
    steps = [*np.diff(source).tolist(), None]
    found: list[Run] = []
    at = 0
    while at < len(source):
        step, stop = steps[at], at + 1
        if step not in (1, -1, 0):
            step = 1
        else:
            while steps[stop - 1] == step:
                stop += 1
        found.append((int(source[at]), stop - at, step))
        at = stop
    return found


class _FrameStore:
    """Frames that are shown again: all of a short video in memory; of longer ones, those shown backwards, on disk."""

    def __init__(
        self, picture: Picture, scratch: Path, source: NDArray[np.int32], todo: list[Run], spare_bytes: int
    ) -> None:
        self.picture, self.scratch = picture, scratch
        self.chunk = max(MIN_CHUNK_FRAMES, CHUNK_BYTES // picture.frame_bytes)
        self.memory: dict[int, Frame] | None = {} if len(todo) > 1 and source.max() < self.chunk else None
        self._decode: Decode | None = None
        self._writer: Writer | None = None
        ends = [(start - count + 1, start + 1) for start, count, step in todo if step < 0]
        self.low, self.high = min((low for low, _ in ends), default=0), max((high for _, high in ends), default=0)
        self._on_disk = self.high > self.low and self.memory is None
        if self._on_disk:
            self._check_disk(spare_bytes)

    def _check_disk(self, spare_bytes: int) -> None:
        needed = int((self.high - self.low) * self.picture.frame_bytes * LOSSLESS_SHARE) + spare_bytes
        free = shutil.disk_usage(self.scratch).free
        if free < needed:
            raise LocalDiskError("scratch_full", needed_mib=needed >> 20, free_mib=free >> 20)

    def forward(self, start: int, count: int, *, first: bool) -> Iterator[Frame]:
        """Yield `count` frames from `start` on; the first pass stores what is shown again."""
        if self.memory is not None and not first:
            yield from (self.memory[n] for n in range(start, start + count))
            return
        self._decode = decode.frames(self.picture, start + count)
        seen = 0
        for seen, frame in enumerate(self._decode, 1):
            if first:
                self._store(seen - 1, frame)
            if seen > start:
                yield frame
        self._decode.close()
        if seen < start + count:
            raise EngineError("decode_changed", frames=seen, expected=start + count)
        if self._writer is not None:
            self._writer.finish()
            self._writer.close()
            self._writer = None

    def backward(self, start: int, count: int) -> Iterator[Frame]:
        """Yield `count` frames from `start` downwards."""
        for number in range(start, start - count, -1):
            if self.memory is not None:
                yield self.memory[number]
                continue
            at, place = divmod(number - self.low, self.chunk)
            if number == start or place == self.chunk - 1:
                chunk: list[Frame] = []  # free the last one before the next is read
                chunk = self._read(at)
            yield chunk[place]

    def _store(self, number: int, frame: Frame) -> None:
        if self.memory is not None:
            frame.flags.writeable = False
            self.memory[number] = frame
        elif self._on_disk and self.low <= number < self.high:
            if self._writer is None:
                self._writer = Writer(self._write_command())
            self._writer.write(frame.data)

    def _write_command(self) -> list[str]:
        """Return the command that writes one lossless file per chunk: each keyframe begins one."""
        source = ffmpeg.raw_video(self.picture.width, self.picture.height, self.picture.fps)
        codec = {"c:v": "libx264", "preset": "ultrafast", "qp": 0, "g": self.chunk, "keyint_min": self.chunk}
        split = {"format": "segment", "segment_format": "matroska", "segment_time": "0.0001", "reset_timestamps": 1}
        chunk_bytes = 2 * self.chunk * self.picture.frame_bytes + (1 << 20)
        where = self.scratch / "back-%06d.mkv"
        output = ffmpeg.to_file(source, path=where, max_bytes=1 << 50, sc_threshold=0, threads=2, **codec, **split)
        media_s = float(len(range(self.low, self.high)) / self.picture.fps)
        return ffmpeg.command(output, media_s=media_s, max_bytes=chunk_bytes)

    def _read(self, at: int) -> list[Frame]:
        path = self.scratch / f"back-{at:06d}.mkv"
        rate = f"{self.picture.fps.numerator}/{self.picture.fps.denominator}"
        output = ffmpeg.frames_to_pipe(ffmpeg.media(path, r=rate).video, pix_fmt="yuv420p")
        decoder = Decode(ffmpeg.command(output), self.picture.frame_bytes)
        chunk = list(decoder)
        expected = min(self.chunk, self.high - self.low - at * self.chunk)
        if len(chunk) != expected:
            raise EngineError("scratch_copy_broken", frames=len(chunk), expected=expected)
        return chunk

    def close(self) -> None:
        """Kill what still runs."""
        if self._decode is not None:
            self._decode.close()
        if self._writer is not None:
            self._writer.close()
