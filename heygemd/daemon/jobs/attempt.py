"""One attempt at one video: counted, copied in, rendered; and the copy of its result to the share."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from weakref import WeakValueDictionary

from loguru import logger

from ...config.schema import GIB, MIB, Config, Render
from ...errors import InfrastructureError, LocalDiskError, NotReady, ShareError, named, of_the_voice, printable
from ...fault_points import point
from ...job import Job, Media, Video
from ...media import probe
from ...protocol import Event, FacesSeen, RenderRequest, Speaker, SubtitleFile
from ...storage import atomic, mounts, share_fs, transfer
from ...storage.availability import ShareAvailability
from ...weights import requirements
from ..executors.base import Executor, Task
from ..intake import job_folder
from ..intake.filename_rules import AUDIO_ENDINGS, VIDEO_ENDINGS, known_ending
from ..job_store import Store
from ..publish import preview_store, result_folder
from ..queue_state import RunningVideo

_COPYING: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()
"""One lock per file being copied in, so that only one attempt copies it."""


class Attempt:
    """Everything between choosing a video and its verified result in the job's folder on the share."""

    def __init__(self, config: Config, store: Store, share: ShareAvailability, job: Job, video: Video) -> None:
        """Nothing starts before `run`."""
        self.config = config
        self.store = store
        self.share = share
        self.job = job
        self.video = video
        self.folder = config.paths.share / "processing" / job.folder
        self.scratch = config.paths.cache / "jobs" / job.id
        self.number = job.videos.index(video) + 1
        self.voice = job.voice_of(video)

    async def run(
        self, executor: Executor, report: Callable[[Event], None], others: Collection[RunningVideo] = ()
    ) -> None:
        """Render the video and set its result and state. Raises all typed faults; being stopped costs no attempt.

        `others`: videos that are being rendered too and need disk space of their own.
        """
        self.video.attempts += 1
        try:
            await self._preflight(others)
            await self._render_in(executor, report)
        except asyncio.CancelledError:
            self.video.attempts -= 1
            raise

    async def _render_in(self, executor: Executor, report: Callable[[Event], None]) -> None:
        work = self.scratch / f"attempt-{self.number:02d}"
        shutil.rmtree(work, ignore_errors=True)
        atomic.make_folder(self.scratch)
        with atomic.on_local_disk(work):
            work.mkdir(atomic.PRIVATE_FOLDER)
        self.video.notices, self.video.faces = [], 0
        self._faces.unlink(missing_ok=True)
        self.video.running = True
        self.store.save(self.job)
        try:
            async with executor.renderer(work, self._cache, self.job) as renderer:
                for voice, target in zip(self._voices, self._voice_files, strict=True):
                    await self._copy_in(voice, target)
                if self.job.lips is not None:
                    await self._copy_in(self.job.lips, self._lips)
                for subtitles, target in self._subtitles:
                    await self._copy_in(subtitles, target)
                await self._copy_in(self.video.source, self._video(self.number))
                point("copy-in")
                prefetch = asyncio.create_task(self._prefetch())
                try:
                    await self._render(renderer, work, report)
                finally:
                    prefetch.cancel()
                    await asyncio.wait({prefetch})
        finally:
            shutil.rmtree(work, ignore_errors=True)

    async def _render(self, renderer: Task, work: Path, report: Callable[[Event], None]) -> None:
        output, lips = work / "result.mp4", self.job.lips
        atomic.make_folder(work / "tmp")
        request = RenderRequest(
            voice=self._voice_files[0],
            video=self._video(self.number),
            voice_digest=self.voice.digest,
            video_digest=self.video.source.digest,
            output=output,
            scratch=work / "tmp",
            cache=self._cache,
            models=self.config.paths.models,
            settings=self._settings,
            limits=self.config.limits,
            lips=self._lips if lips else None,
            lips_digest=lips.digest if lips else "",
            subtitles=tuple(
                SubtitleFile(path=path, digest=media.digest, name=printable(media.title))
                for media, path in self._subtitles
            ),
            picture_every_s=self.config.pages.refresh_s,
            speakers=tuple(
                Speaker(voice=path, digest=media.digest, face=speaker.face, at_s=speaker.at_s)
                for speaker, media, path in zip(
                    self.job.settings.speakers, self._voices, self._voice_files, strict=False
                )
            ),
        )
        names = [voice.title for voice in self._voices]
        with named(self.video.source.title, *names, lips=lips.title if lips else ""):
            audio_s = 0.0
            for number, path in enumerate(self._voice_files):
                with of_the_voice(number):
                    info = await asyncio.to_thread(probe.probe, path, self.config.limits)
                at_s = request.speakers[number].at_s if request.speakers else 0.0
                audio_s = max(audio_s, at_s + (info.duration_s or 0))
            self.video.result = await renderer.render(request, audio_s, self._keeping_faces(report))
        with contextlib.suppress(FileNotFoundError, LocalDiskError):  # only the report shows it
            atomic.rename(output.with_suffix(".json"), self._preview)
        atomic.rename(output, self.rendered)
        self.video.state = "rendered"
        self.store.save(self.job)
        logger.bind(job=self.job.name, id=self.job.id).success("{}: rendered", self.video.output)
        point("rendered")
        self._discard_inputs()

    def _discard_inputs(self) -> None:
        """Remove from scratch what no other video of the job needs any more."""
        needed = {m.name for v in self.job.videos if v.state == "waiting" for m in (v.source, v.voice) if m is not None}
        if self.video.source.name not in needed:
            self._video(self.number).unlink(missing_ok=True)
        if self.video.voice is not None and self.video.voice.name not in needed:
            self._voice_files[0].unlink(missing_ok=True)

    def _keeping_faces(self, report: Callable[[Event], None]) -> Callable[[Event], None]:
        """Keep the picture of several faces, which the report shows, also of a video that fails."""

        def keep(event: Event) -> None:
            if isinstance(event, FacesSeen):
                self.video.faces = event.count
                preview_store.save_faces(self._faces, event)
            else:
                report(event)

        return keep

    async def store_result(self) -> None:
        """Copy the rendered video into the job's folder on the share; can be repeated after an outage."""
        try:
            with atomic.on_local_disk(self.rendered):
                self.rendered.lstat()
        except LocalDiskError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise  # it is there: rendering again would end here again
            self.video.state = "waiting"
            return
        group = self.share.group
        steps = result_folder.keep_result(self.rendered, self.folder, self.video, group)
        self.video.output_digest = await self.share.thread.drain(steps)
        hidden = self.folder / share_fs.HIDDEN
        await self.share.thread.call(preview_store.save, self._preview, self.faces(), hidden, self.video, group)
        point("keep")
        if self.video.state == "rendered":  # users may have cancelled its part meanwhile
            self.video.state = "done"
        self.store.save(self.job)
        self.rendered.unlink(missing_ok=True)
        self._preview.unlink(missing_ok=True)

    @property
    def rendered(self) -> Path:
        """Where the rendered video is until the share has it."""
        return self.scratch / f"r{self.number:02d}.mp4"

    def faces(self) -> FacesSeen | None:
        """Return what the last attempt saw of several faces."""
        return preview_store.load_faces(self._faces)

    @property
    def _faces(self) -> Path:
        return self.rendered.with_suffix(".faces.json")

    @property
    def _settings(self) -> Render:
        return self.job.settings.apply(self.config.render, self.video.source.title)

    @property
    def _cache(self) -> Path:
        return self.config.paths.cache / "analysis"

    @property
    def _preview(self) -> Path:
        return self.rendered.with_suffix(".json")

    @property
    def _voices(self) -> list[Media]:
        return [self.video.voice] if self.video.voice else self.job.voices

    @property
    def _voice_files(self) -> list[Path]:
        stem = "voice"
        if self.video.voice:
            same = (n for n, v in enumerate(self.job.videos, 1) if v.voice and v.voice.name == self.voice.name)
            stem = f"voice{next(same):02d}"
        return [
            self.scratch / f"{stem}{number or ''}{known_ending(voice.title, AUDIO_ENDINGS)}"
            for number, voice in enumerate(self._voices)
        ]

    @property
    def _lips(self) -> Path:
        title = self.job.lips.title if self.job.lips else ""
        return self.scratch / f"lips{known_ending(title, AUDIO_ENDINGS)}"

    @property
    def _subtitles(self) -> list[tuple[Media, Path]]:
        return [(media, self.scratch / f"s{number:02d}") for number, media in enumerate(self.job.subtitles, 1)]

    def _video(self, number: int) -> Path:
        """Return where a video is copied to; those of a batch that share a presenter share the copy."""
        source = self.job.videos[number - 1].source
        first = next(n for n, v in enumerate(self.job.videos, 1) if v.source.name == source.name)
        return self.scratch / f"v{first:02d}{known_ending(source.title, VIDEO_ENDINGS)}"

    async def _copy_in(self, media: Media, target: Path) -> None:
        """Copy a file to scratch under a fixed name, once. Raises NotReady if it has changed since the claim."""
        lock = _COPYING.setdefault(target, asyncio.Lock())
        async with lock:  # all videos of a job share one voice
            if not (media.digest and target.exists() and target.stat().st_size == media.size):
                await self._copy(media, target)

    async def _copy(self, media: Media, target: Path) -> None:
        source = job_folder.member(self.folder, media.name)
        if await self.share.thread.call(share_fs.fingerprint, source) != (media.size, media.mtime_ns):
            raise NotReady("changed_after_claim", name=media.title)
        try:
            digest = await self.share.thread.drain(transfer.copy_in(source, target))
            for record in self.job.records_of(media.name):
                record.digest = digest
        except LocalDiskError as error:
            if error.code == "disk_full":
                raise LocalDiskError("scratch_full", path=str(target)) from None
            raise

    async def _prefetch(self) -> None:
        """Copy the next video in while this one renders; a fault here is met again at its own attempt."""
        following = enumerate(self.job.videos[self.number :], self.number + 1)
        number = next((n for n, v in following if v.state == "waiting" and not v.running), None)
        if number is None:
            return
        try:
            await self._copy_in(self.job.videos[number - 1].source, self._video(number))
        except (InfrastructureError, NotReady, OSError):
            return

    async def _preflight(self, others: Collection[RunningVideo]) -> None:
        """Raise InfrastructureError when the engine is not installed or a disk has too little free space."""
        requirements.require(self._settings, self.config.paths.models)
        limits, cache = self.config.limits, self.config.paths.cache
        estimate = self.video.source.size + sum(other.video.source.size for other in others)
        rendered = ((self.job, self.video), *((other.job, other.video) for other in others))
        voices = sum(m.size for job, video in rendered for m in job.made_of(video) if m is not video.source)
        need = voices + 4 * estimate + limits.free_scratch_gib * GIB
        atomic.make_folder(cache)
        if (free := mounts.local_free_bytes(cache)) < need:
            raise LocalDiskError("scratch_low", path=str(cache), free_gib=_gib(free), need_gib=_gib(need))
        state = self.config.paths.state
        if (free := mounts.local_free_bytes(state)) < limits.free_state_mib * MIB:
            raise LocalDiskError("state_low", path=str(state), free_gib=_gib(free))
        root = self.config.paths.share
        need = 1.5 * estimate + limits.free_share_gib * GIB
        if (free := await self.share.thread.call(mounts.share_free_bytes, root)) < need:
            raise ShareError("share_low", path=str(root), free_gib=_gib(free), need_gib=_gib(need))


def _gib(size: float) -> float:
    return round(size / GIB, 1)
