"""What happened to a claimed folder since its claim: asked before anything made from it is published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ...job import Job, Media
from ...storage import share_fs, share_paths, transfer
from ...storage.share_fs import Entry
from ...storage.transfer import Steps
from . import filename_rules, folder_members, job_folder, job_inputs, manifest
from .left_out import LeftOut

MAX_ROUNDS = 3
"""How often a folder starts anew because its files changed, before what changed fails."""


class FolderChanged(Exception):
    """Files changed between the comparison and the end of publishing."""


@dataclass
class Changes:
    """The differences between a job's record and its folder.

    changed  inputs and control files with another content than the claimed one, gone, or new (control files)
    gone     templates that are no longer there: what was made from them is good
    touched  those of which only the time changed, with the new mtime_ns
    added    new files that may be media, copies under way among them, where the job takes its files from; subtitles
    others   new files of other kinds
    nested   new files elsewhere, in the folder's own folders, which are not used
    """

    changed: list[Media] = field(default_factory=list)
    gone: list[Media] = field(default_factory=list)
    touched: list[tuple[Media, int]] = field(default_factory=list)
    added: list[Entry] = field(default_factory=list)
    others: list[Entry] = field(default_factory=list)
    nested: list[LeftOut] = field(default_factory=list)


def compare(folder: Path, job: Job) -> Steps[Changes]:
    """Compare a folder in processing/ with its record. Raises FileNotFoundError for a missing one."""
    job_folder.must_exist(folder)
    members = _members(folder)
    results = shown_results(folder, job)
    entries = {entry.name: entry for entry in members.folder.entries if entry.name not in results}
    stored = {(e.size, e.mtime_ns) for e in entries.values() if folder_members.is_kept(e)}
    found = Changes()
    for media in (*job.inputs(), *job.control_files):
        entry = _template(folder, media.name) if media.is_template else entries.get(media.name)
        if entry is None and media.is_template:
            found.gone.append(media)
        elif entry is None and (media.size, media.mtime_ns) in stored:
            continue  # publishing has begun
        elif entry is None or (yield from _differs(folder, entry, media)):
            found.changed.append(media)
        elif entry.mtime_ns != media.mtime_ns:
            found.touched.append((media, entry.mtime_ns))
    known = {media.name for media in (*job.inputs(), *job.extra, *job.control_files)} | results
    # Results of the last round still lie there while they are made again.
    sizes = {(entry.name, entry.size) for entry in entries.values()}
    known |= {name for name, _ in manifest.results_of(manifest.read(folder)) & sizes}
    new_settings = _new((entries[name] for name in members.settings.values() if name in entries), known)
    found.changed += map(folder_members.media_of, new_settings)
    has_photos = job_inputs.has_photos(job.videos)
    photos, side_files = (members.photos, []) if has_photos else ([], members.photos)
    found.added = list(_new((*members.media, *members.subtitles, *photos, *members.temporary), known))
    found.others = list(_new((*side_files, *(e for e, _ in members.left_out if e.kind == "file")), known))
    wanted = job_inputs.nested_kinds(job.voice, (video.source for video in job.videos))
    known |= {*job.nested}
    reasons = {entry.name: reason for entry, reason in members.left_out}
    for entry, kind in folder_members.nested_files(members):
        # What comes into the folder of a batch's part is meant for it.
        for_a_part = job.is_batch and (has_photos if kind == "photo" else kind is not None)
        if entry.name in known:
            continue
        if kind in wanted or for_a_part:
            found.added.append(entry)
        else:
            unused = "left_out_picture" if kind == "photo" else "left_out_subfolder"
            found.nested.append((entry.name, reasons.get(entry.name, unused)))
    return found


def require_unchanged(folder: Path, job: Job) -> Steps[None]:
    """Raise FolderChanged if the results were made from anything but what lies in the folder, or more came."""
    try:
        changes = yield from compare(folder, job)
    except FileNotFoundError:
        job_folder.must_exist(folder)
        raise FolderChanged from None
    done = [media for video in job.videos if video.state == "done" for media in job.made_of(video)]
    failed = {media.name for media in job.inputs()} - {media.name for media in done}
    if changes.added or any(media.name not in failed for media in changes.changed):
        raise FolderChanged


def inputs_moved(folder: Path, job: Job) -> bool:
    """Return whether publishing has begun: inputs lie no longer where they are rendered from."""
    own = (media for media in job.inputs() if not media.is_template)
    return not all(share_fs.exists(folder / media.name) for media in own)


def _template(folder: Path, name: str) -> Entry | None:
    """Return the template of that name as seen from a job's folder, None if there is none any more."""
    path = job_folder.member(folder, name)
    return Entry(name, "file", *share_fs.fingerprint(path)) if share_fs.is_file(path) else None


def has_grown(folder: Path, media: Iterable[Media]) -> str:
    """Return the name of a file that has another size than at the claim, "" if there is none."""
    for each in media:
        path = job_folder.member(folder, each.name)
        if share_fs.is_file(path) and share_fs.fingerprint(path)[0] != each.size:
            return each.title
    return ""


def _members(folder: Path) -> folder_members.Members:
    found = share_paths.on_share(share_fs.read_folder)(folder, filename_rules.skip_dir)
    if found.error is not None:
        raise found.error
    return folder_members.sort_members(found)


def _differs(folder: Path, entry: Entry, media: Media) -> Steps[bool]:
    """Return whether the content differs; it is read only where the size is the same and the time is not."""
    if entry.kind != "file" or entry.size != media.size:
        return True
    if entry.mtime_ns == media.mtime_ns:
        return False
    return not media.digest or (yield from transfer.digest(job_folder.member(folder, media.name))) != media.digest


def shown_results(folder: Path, job: Job) -> set[str]:
    """Return the names under which our own results lie at the top of the folder."""
    hidden = set(job_folder.hidden_files(folder))
    return {v.output for v in job.videos if v.state == "done" and (v.kept or v.hidden_name not in hidden)}


def _new(entries: Iterable[Entry], known: set[str]) -> Iterable[Entry]:
    return (entry for entry in entries if "/" not in entry.name and entry.name not in known)
