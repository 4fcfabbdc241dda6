"""A dropped folder as a scan sees it, and the job made of it."""

from heygemd.config.job_toml import JobSettings
from heygemd.config.schema import Render
from heygemd.daemon.intake import folder_members, job_inputs, job_record
from heygemd.storage.share_fs import Entry, Folder


def entry(name, size=1000, kind="file"):
    return Entry(name, kind, size, 1)


def seen(*entries):
    return folder_members.sort_members(Folder("job", entries, 1))


def classified(*pairs):
    return [job_inputs.Classified(entry(name, size), kind) for name, kind, size in pairs]


def compose(members, sort=None, settings=JobSettings(), earlier=None):  # noqa: B008  frozen
    everything = sort or seen(*(j.entry for j in members))
    return job_record.compose(everything, members, settings, Render(), earlier, 1.0)


def said(job):
    return {notice.code: notice.fields["names"] for notice in job.notices}
