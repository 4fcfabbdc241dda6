"""What the end of one attempt means for its video: done, failed, retried later, or not counted at all."""

from __future__ import annotations

import time
from collections.abc import Collection

from loguru import logger

from ...config.schema import Attempts
from ...errors import HeygemdError, InfrastructureError, InputError, NotInstalled, NotReady, describe
from ...job import Job, Problem, Video

DISK_FULL_LIMIT = 3
GIVEN_UP = {
    **dict.fromkeys(("scratch_low", "scratch_full", "disk_full"), "too_big_for_disk"),
    **dict.fromkeys(("share_low", "share_full"), "too_big_for_share"),
    **dict.fromkeys(
        ("tracker_weights_missing", "wav2lip_missing", "command_missing", "plugin_broken"), "engine_not_installed"
    ),
}
"""What a reason to wait is called once the job no longer waits."""
HELD = ("held_open", "no_permission", "file_unusable")
"""The file is open elsewhere or cannot be read now: that may change, and its content is not at fault."""


def conclude(settings: Attempts, job: Job, video: Video, error: BaseException | None, alone: bool = True) -> None:
    """Write the end of an attempt into the record; `alone`: no other video could have filled the disk.

    Raises InfrastructureError to pause the queue, NotReady to make the job back off.
    """
    video.unclean_ends = 0
    if error is None:
        return
    if isinstance(error, InputError):
        _fail(job, video, error)
    elif isinstance(error, InfrastructureError):
        video.attempts = max(0, video.attempts - 1)
        if isinstance(error, NotInstalled) and (job.settings.engine or job.settings.tracker):
            raise NotReady(error.code, error.detail, **error.fields)  # only this folder asked for it: the others go on
        video.disk_full += alone and error.code == "scratch_full"
        if video.disk_full < DISK_FULL_LIMIT:
            raise error
        _fail(job, video, InputError("too_big_for_disk", detail=str(error)))
    elif isinstance(error, NotReady) and error.code in HELD:
        video.attempts = max(0, video.attempts - 1)
        raise error
    elif isinstance(error, (NotReady, FileNotFoundError)):
        _fail(job, video, InputError("file_changed", name=video.source.title, detail=describe(error)))
    else:
        _retry_later(settings, job, video, error)


def give_up(job: Job, error: HeygemdError, busy: Collection[Video]) -> None:
    """Bring a job that cannot go on one step nearer to its end; called again while even that is not possible.

    First the unfinished videos fail, but for those being rendered (`busy`), and what is good is published; then the
    job fails; then its folder stays where it is.
    """
    code = GIVEN_UP.get(error.code, error.code)
    typed = InputError(code, detail=describe(error), **error.fields)
    say = logger.bind(job=job.name, id=job.id)
    job.phase = "claimed"  # neither its claim nor its publication goes on
    if job.problem is not None:
        job.abandoned = True
        say.error("its folder cannot be moved and stays in processing/{}: {}", job.folder, describe(error))
    elif job.settled:
        job.problem = Problem(code=code, fields=error.fields, detail=describe(error))
        say.error("failed: {}", describe(typed))
    else:
        for video in job.videos:
            if video.state in ("waiting", "rendered") and video not in busy:
                _fail(job, video, typed)


def _retry_later(settings: Attempts, job: Job, video: Video, error: BaseException) -> None:
    typed = error if isinstance(error, HeygemdError) else HeygemdError("engine_error", detail=describe(error))
    limit = settings.max_attempts
    if video.attempts >= limit:
        _fail(job, video, typed)
        return
    backoff = settings.retry_backoff_s
    delay_s = backoff[min(video.attempts - 1, len(backoff) - 1)] if backoff else 0
    video.not_before = time.time() + delay_s
    logger.bind(job=job.name, id=job.id).warning(
        "{}: attempt {} of {} failed ({}), retrying in {:.0f} s", video.output, video.attempts, limit, typed, delay_s
    )


def _fail(job: Job, video: Video, error: HeygemdError) -> None:
    video.state = "failed"
    video.problem = Problem(code=error.code, fields=error.fields, detail=error.detail)
    logger.bind(job=job.name, id=job.id).error("{}: failed: {}", video.output, describe(error))
