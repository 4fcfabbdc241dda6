"""What the members of a dropped folder are, going by their names and kinds; nothing here touches the share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ...config.schema import GIB, Limits
from ...errors import InputError, NotReady
from ...job import Media
from ...storage.share_fs import HIDDEN, MAX_ENTRIES, Entry, Folder
from . import filename_rules, left_out
from .filename_rules import SUBTITLE_ENDINGS, MediaKind, input_kind, kind_by_name
from .manifest import ORIGINALS


@dataclass(slots=True)
class Members:
    """A folder's members, sorted by their names.

    media      files at the top and in originals/ that may be video or sound
    nested     the same in the folder's own folders, see `job_inputs.choose`
    subtitles  subtitles at the top and in originals/
    photos     pictures anywhere in it that can be presenters: used if there is no video, or if they are asked for
    left_out   members that are not used, whatever is in them, and why (see `left_out`)
    temporary  unfinished copies
    reserved   what has a name that only a folder of ours may have
    controls   words of control files, such as "ready"; part_controls: those in the folder's own folders, by folder
    settings   "job.toml" and "presenters.txt": the files that are meant as them
    western    those of them that were read in Windows' code page of western Europe
    voiced_folders  those of the folder's own folders that by their names hold a voice, or will when a copy has ended
    """

    folder: Folder
    media: list[Entry] = field(default_factory=list)
    nested: list[Entry] = field(default_factory=list)
    subtitles: list[Entry] = field(default_factory=list)
    photos: list[Entry] = field(default_factory=list)
    left_out: list[tuple[Entry, str]] = field(default_factory=list)
    temporary: list[Entry] = field(default_factory=list)
    reserved: list[Entry] = field(default_factory=list)
    controls: frozenset[str] = frozenset()
    part_controls: dict[str, set[str]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    western: list[str] = field(default_factory=list)
    voiced_folders: frozenset[str] = frozenset()

    @property
    def signature(self) -> int:
        """A hash, equal between two scans if nothing relevant changed; of unknown junk only growth counts."""
        return hash(
            tuple(
                (e.name, e.size, 0 if filename_rules.is_a("junk", e.name) and e not in self.temporary else e.mtime_ns)
                for e in self.counted
            )
        )

    @property
    def counted(self) -> list[Entry]:
        """The entries that are not the daemon's or the system's own, one more than MAX_ENTRIES at most.

        A note that we write into a folder with too many must not change what else is seen of it.
        """
        others = (e for e in self.folder.entries if not filename_rules.is_a("system", e.name))
        return list(islice(others, MAX_ENTRIES + 1))

    @property
    def partial(self) -> bool:
        """Whether going by the names the folder lacks a voice, or a video and a picture in its place."""
        names = [e.name for e in self.media] + [filename_rules.copied_as(e.name) for e in self.temporary]
        kinds = {kind_by_name(name) for name in names}
        return "audio" not in kinds or not ("video" in kinds or self.photos)


def sort_members(folder: Folder) -> Members:
    """Sort a folder's members by their kind and name."""
    members = Members(folder)
    for entry in folder.entries:
        base, _, title = entry.name.rpartition("/")
        if entry.name in (HIDDEN, ORIGINALS):
            if entry.kind != "dir":
                members.reserved.append(entry)
        elif entry.kind == "file" and not f"{base}/".startswith(f"{ORIGINALS}/") and filename_rules.copied_as(title):
            members.temporary.append(entry)
        elif filename_rules.is_a("junk", title):
            continue
        elif entry.kind == "dir":
            if base not in ("", ORIGINALS):
                members.left_out.append((entry, "left_out_deep"))
        elif entry.kind == "file" and not base and _is_ours(entry.name):
            _sort_control_file(members, entry)
        elif (word := filename_rules.control(title, entry.kind)) and base != ORIGINALS:
            members.part_controls.setdefault(base, set()).add(word)
        else:
            _sort_by_name(members, entry, nested=base not in ("", ORIGINALS))
    members.voiced_folders = _voiced_folders([*members.nested, *members.temporary])
    return members


def _voiced_folders(files: Iterable[Entry]) -> frozenset[str]:
    inside = [e.name for e in files if "/" in e.name]
    voices = (name for name in inside if kind_by_name(filename_rules.copied_as(name) or name) == "audio")
    return frozenset(name.rpartition("/")[0] for name in voices)


def _sort_by_name(members: Members, entry: Entry, *, nested: bool) -> None:
    if is_kept(entry) and filename_rules.is_replaced(entry.name):
        members.left_out.append((entry, "left_out_replaced"))
    elif entry.kind == "file" and not nested and filename_rules.known_ending(entry.name, SUBTITLE_ENDINGS):
        members.subtitles.append(entry)
    elif entry.kind == "file" and filename_rules.known_ending(entry.name, SUBTITLE_ENDINGS):
        members.left_out.append((entry, "left_out_subtitles_inside"))
    elif entry.kind == "file" and filename_rules.is_photo(entry.name):
        members.photos.append(entry)
    elif reason := _reason_by_name(entry):
        members.left_out.append((entry, reason))
    else:
        (members.nested if nested else members.media).append(entry)


def _is_ours(name: str) -> bool:
    """Return whether a file by its name tells us what to do."""
    return bool(filename_rules.control(name, "file") or filename_rules.settings_file(name))


def _sort_control_file(members: Members, entry: Entry) -> None:
    if word := filename_rules.control(entry.name, entry.kind):
        members.controls |= {word}
        return
    meant = filename_rules.settings_file(entry.name)
    if meant in members.settings:  # sorted: "job.toml" comes before "job.toml.txt"
        members.left_out.append((entry, "left_out_replaced"))
    else:
        members.settings[meant] = entry.name


def _reason_by_name(entry: Entry) -> str:
    return "" if entry.kind == "file" and kind_by_name(entry.name) else left_out.reason_by_name(entry)


def check_bounds(members: Members, limits: Limits) -> None:
    """Raise InputError for a folder that waiting cannot turn into a job, NotReady for one with too many entries."""
    if members.reserved:
        taken = members.reserved[0]
        raise InputError("shortcut" if taken.kind == "link" else "name_taken", name=taken.name)
    if len(members.counted) > MAX_ENTRIES:
        raise NotReady("too_many_entries", limit=MAX_ENTRIES)
    check_media(members.media, limits, may_be_batch(members))


def may_be_batch(members: Members) -> bool:
    """Return whether going by its names a folder holds several voices that are to be told apart."""
    return filename_rules.BATCH in members.controls or len(members.voiced_folders) > 1


def is_of_one_part(members: Members, name: str) -> bool:
    """Return whether going by the names a file is needed by one part of a batch only: the others can go on without."""
    if not may_be_batch(members):
        return False
    folder = name.rpartition("/")[0]
    if filename_rules.BATCH in members.controls:
        return not folder and kind_by_name(filename_rules.copied_as(name) or name) == "audio"
    return folder in members.voiced_folders


def check_media(entries: Sequence[Entry], limits: Limits, is_batch: bool = False) -> None:
    """Raise InputError for too many or too large media files; only those count whose name says that they are media."""
    media = [entry for entry in entries if input_kind(entry.name)]
    limit = limits.max_files_per_batch if is_batch else limits.max_files_per_job
    if len(media) > limit:
        raise InputError("too_many_files", count=len(media), limit=limit)
    for entry in media:
        if entry.size > limits.max_file_gib * GIB:
            raise InputError("file_too_big", name=entry.name, limit_gib=limits.max_file_gib)
    if sum(entry.size for entry in media) > limits.max_job_gib * GIB:
        raise InputError("job_too_big", limit_gib=limits.max_job_gib)


def worth_reading(entries: Sequence[Entry], limits: Limits) -> list[Entry]:
    """Return the entries to look into: all media by name, and of those with other endings a bounded number."""
    other = [e for e in entries if not input_kind(e.name) and 0 < e.size <= limits.max_file_gib * GIB]
    looked_into = set(other[: limits.max_files_per_job])
    return [entry for entry in entries if input_kind(entry.name) or entry in looked_into]


def media_of(entry: Entry) -> Media:
    """Return the record of a file."""
    return Media(name=entry.name, size=entry.size, mtime_ns=entry.mtime_ns)


def is_kept(entry: Entry) -> bool:
    """Return whether a file lies in originals/, where an earlier round put it."""
    return entry.name.startswith(f"{ORIGINALS}/")


def is_nested(name: str) -> bool:
    """Return whether a file lies in one of the job folder's own folders, other than originals/."""
    return "/" in name and not name.startswith((f"{ORIGINALS}/", "../"))


def nested_files(members: Members) -> list[tuple[Entry, MediaKind | None]]:
    """Return the files in the folder's own folders and what they are by name, or will be when a copy has ended."""
    unused = (entry for entry, _ in members.left_out if entry.kind == "file")
    files = (*members.nested, *members.photos, *members.temporary, *unused)
    return [(e, input_kind(filename_rules.copied_as(e.name) or e.name)) for e in files if is_nested(e.name)]


def shown_name(entry: Entry) -> str:
    """Return a file's name as users know it: a template's path begins with templates/."""
    return entry.name.removeprefix("../../")
