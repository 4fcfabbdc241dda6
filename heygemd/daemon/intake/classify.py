"""What the members of a dropped folder are, what is missing, and the job record made of them.

Pure decisions about what a scan saw; nothing here touches the share.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import PurePath
from types import MappingProxyType
from typing import Literal

from ...config.job_toml import JobSettings, SpeakerSettings, is_named
from ...config.schema import GIB, POSITIONS, Limits, Render
from ...errors import InputError, NotReady
from ...job import Job, Media, Problem, Video, new_id, output_name
from ...protocol import MAX_SUBTITLE_BYTES, MAX_SUBTITLE_FILES, Notice
from ...storage import atomic
from ...storage.share_fs import HIDDEN, MAX_ENTRIES, Entry, Folder
from . import filename_rules, left_out, manifest
from .filename_rules import AUDIO_ENDINGS, PHOTO_ENDINGS, SUBTITLE_ENDINGS, VIDEO_ENDINGS
from .manifest import ORIGINALS, MadeResult, Manifest

Signature = tuple[tuple[str, int, int], ...]
Kind = Literal["audio", "video", "photo"]
Speakers = Sequence[SpeakerSettings]

KNOWN_SHOWN = 8
PRESENTERS_OF: tuple[Kind, ...] = ("video", "photo")
UNUSABLE = {"needs_audio": "needs_usable_audio", "needs_video": "needs_usable_video"}
"""What to say instead where the missing file may be there in a form that cannot be used."""


@dataclass
class Members:
    """A folder's members, sorted by their names.

    media      files at the top and in originals/ that may be video or sound
    nested     the same in the folder's own folders, see `choose`
    subtitles  subtitles at the top and in originals/
    photos     pictures anywhere in it that can be presenters: used if there is no video, or if they are asked for
    left_out   members that are not used, whatever is in them, and why (see `left_out`)
    temporary  unfinished copies
    reserved   what has a name that only a folder of ours may have
    controls   words of control files, such as "ready"; part_controls: those in the folder's own folders, by folder
    settings   "job.toml" and "presenters.txt": the files that are meant as them
    western    those of them that were read in Windows' code page of western Europe
    """

    folder: Folder
    media: list[Entry] = field(default_factory=list)
    nested: list[Entry] = field(default_factory=list)
    subtitles: list[Entry] = field(default_factory=list)
    photos: list[Entry] = field(default_factory=list)
    left_out: list[tuple[Entry, str]] = field(default_factory=list)
    temporary: list[Entry] = field(default_factory=list)
    reserved: list[Entry] = field(default_factory=list)
    controls: set[str] = field(default_factory=set)
    part_controls: dict[str, set[str]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    western: list[str] = field(default_factory=list)

    @property
    def signature(self) -> Signature:
        """Equal between two scans if nothing relevant changed; of unknown junk only growth counts."""
        return tuple(
            (e.name, e.size, 0 if filename_rules.is_a("junk", e.name) and e not in self.temporary else e.mtime_ns)
            for e in self.counted
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

    @property
    def abandoned(self) -> list[Classified]:
        """The files that copies were to become which have ended without them."""
        there = {filename_rules.fold(e.name) for e in self.folder.entries}
        found, is_batch = [], may_be_batch(self)
        for entry in self.temporary:
            base, slash, _ = entry.name.rpartition("/")
            name = base + slash + filename_rules.copied_as(entry.name)
            missed = filename_rules.fold(name) not in there and (not base or is_batch)
            if missed and (kind := kind_by_name(name)):
                found.append(Classified(entry, kind, Problem(code="file_incomplete", fields={"name": name})))
        return found


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
    return members


def _sort_by_name(members: Members, entry: Entry, *, nested: bool) -> None:
    if entry.kind == "file" and not nested and known_ending(entry.name, SUBTITLE_ENDINGS):
        members.subtitles.append(entry)
    elif entry.kind == "file" and known_ending(entry.name, SUBTITLE_ENDINGS):
        members.left_out.append((entry, "left_out_subtitles_inside"))
    elif entry.kind == "file" and is_photo(entry.name):
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
        members.controls.add(word)
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
    return filename_rules.BATCH in members.controls or len(_voiced_folders(members)) > 1


def _voiced_folders(members: Members) -> set[str]:
    """Return those of the folder's own folders that going by the names hold a voice, or will when a copy has ended."""
    named = ((e.name, filename_rules.copied_as(e.name) or e.name) for e in (*members.nested, *members.temporary))
    return {path.rpartition("/")[0] for path, name in named if "/" in path and kind_by_name(name) == "audio"}


def is_of_one_part(members: Members, name: str) -> bool:
    """Return whether going by the names a file is needed by one part of a batch only: the others can go on without."""
    if not may_be_batch(members):
        return False
    folder = name.rpartition("/")[0]
    if filename_rules.BATCH in members.controls:
        return not folder and kind_by_name(filename_rules.copied_as(name) or name) == "audio"
    return folder in _voiced_folders(members)


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


@dataclass(frozen=True)
class Classified:
    """A file and its kind by content.

    problem  with a kind: it cannot be read, and the kind is by name; without: why it is not used (see `left_out`)
    sound    of a video: it has a sound track
    """

    entry: Entry
    kind: Kind | None
    problem: Problem | None = None
    sound: bool = False


def known_ending(name: str, known: tuple[str, ...] = (*AUDIO_ENDINGS, *VIDEO_ENDINGS)) -> str:
    """Return the file's suffix if it is a known one, so that no text chosen by a user reaches a program."""
    return next((e for e in known if name.casefold().endswith(e)), "")


def kind_by_name(name: str) -> Kind | None:
    """Return the kind a file name suggests, "audio" or "video", for files that cannot be read."""
    folded = filename_rules.fold(name)
    if folded.endswith(AUDIO_ENDINGS):
        return "audio"
    return "video" if folded.endswith(VIDEO_ENDINGS) else None


def is_photo(name: str) -> bool:
    """Return whether a file name is that of a picture that can be a presenter."""
    return filename_rules.fold(name).endswith(PHOTO_ENDINGS)


def input_kind(name: str) -> Kind | None:
    """As `kind_by_name`, where a picture is a presenter."""
    return "photo" if is_photo(name) else kind_by_name(name)


def has_photos(videos: Iterable[Video]) -> bool:
    """Return whether some presenter is a picture."""
    return any(is_photo(video.source.name) for video in videos)


def wanted_photos(
    members: Members, classified: Sequence[Classified], earlier: Manifest | None, named: Sequence[str], limits: Limits
) -> list[Entry]:
    """Return the pictures to look into: those that job.toml names, or all where there is no video.

    Raises InputError("photo_unknown") for a name that is not there, NotReady("too_many_photos").
    """
    offered = {filename_rules.fold(name): e for e in members.photos for name in (e.name, media_of(e).title)}
    for name in named:
        if filename_rules.fold(name) not in offered:
            known = [media_of(e).title for e in members.photos[:KNOWN_SHOWN]] or ["-"]
            raise InputError("photo_unknown", name=name, known=known)
    if named or not _lacks_video(classified, earlier):
        return [offered[filename_rules.fold(name)] for name in named]
    if may_be_batch(members):  # each part may have its own
        here, limit = members.photos, limits.max_files_per_batch
    else:
        here = [e for e in members.photos if not is_nested(e.name)] or members.photos
        limit = limits.max_files_per_job
    if len(here) > limit and _of_kind("audio", classified):
        raise NotReady("too_many_photos", count=len(here), limit=limit)
    return here[:limit]


def _lacks_video(classified: Sequence[Classified], earlier: Manifest | None) -> bool:
    """Return whether no file is a video, or none but those that may be results of an earlier round."""
    made = manifest.results_of(earlier)
    videos = [j for j in _of_kind("video", classified) if (j.entry.name, j.entry.size) not in made]
    videos = [j for j in videos if not (j.sound and filename_rules.is_named_as_voice(j.entry.name))]
    if not earlier and any(_is_kept(j.entry) for j in _of_kind("audio", classified)):
        videos = [j for j in videos if _is_kept(j.entry)]
    return not videos


def with_abandoned(classified: list[Classified], members: Members) -> list[Classified]:
    """Return what was read and what never arrived; a voice is missed only where there is no other for the same."""
    voices = [c.entry.name for c in classified if c.kind == "audio"]
    if filename_rules.BATCH in members.controls:
        return classified + members.abandoned
    if may_be_batch(members):
        voiced = {name.rpartition("/")[0] for name in voices}
        return classified + [
            c for c in members.abandoned if c.kind == "video" or c.entry.name.rpartition("/")[0] not in voiced
        ]
    return classified + [c for c in members.abandoned if c.kind == "video" or not voices]


def media_of(entry: Entry) -> Media:
    """Return the record of a file."""
    return Media(name=entry.name, size=entry.size, mtime_ns=entry.mtime_ns)


@dataclass(frozen=True)
class Chosen:
    """What a job is made of, and the results of an earlier round that lie beside it."""

    voice: Classified
    lips: Classified | None
    videos: list[Classified]
    results: list[Classified]
    other_voices: list[Classified] = field(default_factory=list)
    speakers: tuple[SpeakerSettings, ...] = ()

    @property
    def voices(self) -> list[Classified]:
        """The voice, or those of all speakers."""
        return [self.voice, *self.other_voices]

    @property
    def names(self) -> set[str]:
        """The names of all of them."""
        return {each.entry.name for each in (*self.voices, self.lips, *self.videos, *self.results) if each}


def choose(
    classified: Sequence[Classified], earlier: Manifest | None, named: Collection[str] = (), speakers: Speakers = ()
) -> Chosen:
    """Return the voice and the presenters; `named`: the pictures that job.toml asks for.

    Raises NotReady("needs_audio" | "too_many_audio" | "needs_video" | …).

    New files are at the top of the folder; a new voice, or a new video of the same name, replaces the one in
    `originals/`. Files in other folders are used where there is no other, or where those of an earlier round came from
    there. Results of an earlier round are recognised by name and size and are not inputs; without a readable manifest,
    by name alone where no other voice came. Where no file holds sound alone, the voice is that of a video named as one.

    `speakers`: of job.toml; without any, voices that are named like positions ("left", "right") make some.
    """
    ours = manifest.results_of(earlier)
    results = [j for j in classified if (j.entry.name, j.entry.size) in ours]
    inputs = _with_voice([j for j in classified if j not in results], earlier)
    fresh = [j for j in inputs if not is_nested(j.entry.name) and not _is_kept(j.entry)]
    kept = [j for j in inputs if _is_kept(j.entry)]
    nested = [j for j in inputs if is_nested(j.entry.name)]
    used_nested = _used_nested(earlier)
    kept_voices = _kept_voices(_of_kind("audio", kept), earlier)
    nested_voices = _of_kind("audio", nested)
    voices = _of_kind("audio", fresh) or ("audio" in used_nested and nested_voices) or kept_voices or nested_voices
    if not earlier and voices == kept_voices:
        kept_presenters = _of_kind("video", kept) or _of_kind("photo", kept)
        outputs = {output_name(j.entry.name, set()) for j in kept_presenters}
        fresh = [j for j in fresh if j.entry.name not in outputs]
    if "video" in used_nested:
        fresh += _of_kind("video", nested)
    titles = {filename_rules.fold(media_of(j.entry).title) for j in fresh}
    videos: list[Classified] = []
    for kind in PRESENTERS_OF:  # pictures are presenters where there is no video
        found = _of_kind(kind, fresh)
        found += [j for j in _of_kind(kind, kept) if filename_rules.fold(media_of(j.entry).title) not in titles]
        videos = videos or found or _of_kind(kind, nested)
    videos += [j for j in _of_kind("photo", inputs) if j not in videos and _is_asked_for(j.entry, named)]
    voices, lips = _with_lips(voices, kept)
    if not voices:
        raise NotReady("needs_audio")
    titles = {_title(j.entry) for j in _of_kind("audio", fresh)}
    still = _of_kind("audio", kept)
    still = of_last_round(still, (earlier.voice, *earlier.beside)) if earlier else still
    pool = [*_of_kind("audio", fresh), *(j for j in still if _title(j.entry) not in titles)]
    pool = pool or _of_kind("audio", nested)
    if speakers := speakers or _speakers_by_name(pool):
        if not videos:
            raise NotReady("needs_video")
        voices = [_voice_of(speaker, pool) for speaker in speakers]
        return Chosen(voices[0], None, videos, results, voices[1:], tuple(speakers))
    if len(voices) > 1:
        raise NotReady("too_many_audio", count=len(voices), names=[j.entry.name for j in voices])
    if not videos:
        raise NotReady("needs_video")
    return Chosen(voices[0], lips, videos, results)


def _kept_voices(recordings: list[Classified], earlier: Manifest | None) -> list[Classified]:
    """Return which recordings in originals/ count: those of the last round, else the one of its voice's name."""
    if not earlier:
        return recordings
    last = of_last_round(recordings, (earlier.voice, *earlier.beside))
    return last or [j for j in recordings if media_of(j.entry).title == earlier.voice.title]


def _with_lips(voices: list[Classified], kept: Sequence[Classified]) -> tuple[list[Classified], Classified | None]:
    """Return the voices, and the recording that drives the lips of one of them instead, by its name.

    kept  files in originals/, where the voice of a new one for the lips may be
    """

    def spoken(recording: Classified, among: Sequence[Classified]) -> list[Classified]:
        wanted = filename_rules.lips_of(_title(recording.entry))
        return [j for j in among if wanted and filename_rules.fold(PurePath(_title(j.entry)).stem) == wanted]

    lips = [voice for voice in voices if spoken(voice, voices)]
    if not lips and len(voices) == 1 and (earlier := spoken(voices[0], _of_kind("audio", kept))):
        return earlier[-1:], voices[0]
    if len(lips) != 1:
        return voices, None
    return [voice for voice in voices if voice is not lips[0]], lips[0]


def _speakers_by_name(voices: Sequence[Classified]) -> Speakers:
    """Return a speaker for each voice if all are named like positions, each like another."""
    faces = [POSITIONS.get(PurePath(_title(voice.entry)).stem) for voice in voices]
    if len(voices) < 2 or None in faces or len(set(faces)) < len(faces):
        return ()
    return tuple(
        SpeakerSettings(voice=_title(v.entry), face=face) for v, face in zip(voices, faces, strict=True) if face
    )


def _voice_of(speaker: SpeakerSettings, voices: Sequence[Classified]) -> Classified:
    """Return the file that a speaker's voice is. Raises NotReady("needs_speaker_voice")."""
    found = next((voice for voice in voices if is_named(_title(voice.entry), speaker.voice)), None)
    if found is None:
        names = [media_of(voice.entry).title for voice in voices]
        raise NotReady("needs_speaker_voice", name=speaker.voice, names=names)
    return found


def _with_voice(inputs: list[Classified], earlier: Manifest | None) -> list[Classified]:
    """Return the files; videos that are named as a voice are one, if there is no other and a presenter remains."""
    named = [j for j in inputs if j.sound and filename_rules.is_named_as_voice(j.entry.name)]
    if _of_kind("audio", inputs):
        named = [j for j in named if earlier and was(j.entry, earlier.voice)]
    if len(named) == len(_of_kind("video", inputs)) and not _of_kind("photo", inputs):
        return inputs
    return [replace(j, kind="audio") if j in named else j for j in inputs]


def _is_asked_for(entry: Entry, named: Collection[str]) -> bool:
    """Return whether a picture is a presenter also beside videos: by job.toml, or as one of templates/."""
    wanted = {filename_rules.fold(name) for name in named}
    own = {filename_rules.fold(entry.name), filename_rules.fold(media_of(entry).title)}
    return entry.name.startswith("../") or bool(wanted & own)


def _of_kind(kind: Kind, classified: Sequence[Classified]) -> list[Classified]:
    return [j for j in classified if j.kind == kind]


def _is_kept(entry: Entry) -> bool:
    return entry.name.startswith(f"{ORIGINALS}/")


def is_nested(name: str) -> bool:
    """Return whether a file lies in one of the job folder's own folders, other than originals/."""
    return "/" in name and not name.startswith((f"{ORIGINALS}/", "../"))


def nested_kinds(voice: Media, videos: Iterable[Media]) -> set[Kind]:
    """Return of which kinds a job uses files in its folder's own folders: more of them, if they come, are used too."""
    kinds: set[Kind] = {"audio"} if is_nested(voice.name) else set()
    return kinds | ({"video"} if any(is_nested(video.name) for video in videos) else set())


def nested_media(members: Members) -> list[tuple[Entry, Kind]]:
    """Return the files in the folder's own folders that may be media by name, copies under way among them."""
    named = (
        (e, kind_by_name(filename_rules.copied_as(e.name) or e.name)) for e in (*members.nested, *members.temporary)
    )
    return [(entry, kind) for entry, kind in named if kind and is_nested(entry.name)]


def _used_nested(earlier: Manifest | None) -> set[Kind]:
    return nested_kinds(earlier.voice, (made.video.source for made in earlier.made)) if earlier else set()


def needs_subfolders(classified: Sequence[Classified], earlier: Manifest | None, speakers: Speakers = ()) -> bool:
    """Return whether voice or video is missing among these files, or came from the folder's own folders before."""
    if _used_nested(earlier):
        return True
    try:
        choose(classified, earlier, speakers=speakers)
    except NotReady as error:
        return error.code.startswith("needs_")
    return False


def choose_subtitles(
    members: Members, settings: Render, earlier: Manifest | None
) -> tuple[list[Entry], list[left_out.LeftOut]]:
    """Return the subtitles that become tracks, by their names, and those that are not used.

    One at the top replaces those of the same name in originals/; of these that of the last round counts.
    """
    if settings.subtitles == "off":
        return [], [(entry.name, "left_out_subtitles_off") for entry in members.subtitles]
    last = earlier.beside if earlier else []
    newest_last = sorted(members.subtitles, key=lambda e: (not _is_kept(e), _agreement(e, last)))
    by_title = {_title(entry): entry for entry in newest_last}
    small = [entry for _, entry in sorted(by_title.items()) if entry.size <= MAX_SUBTITLE_BYTES]
    used = small[:MAX_SUBTITLE_FILES]
    unused = [entry for entry in members.subtitles if entry not in used]
    replaced = [entry not in by_title.values() for entry in unused]
    reasons = ["left_out_replaced" if gone else "left_out_subtitles" for gone in replaced]
    return used, [(entry.name, reason) for entry, reason in zip(unused, reasons, strict=True)]


def notices(
    members: Members,
    classified: Sequence[Classified] | None = None,
    used: Collection[str] | None = None,
    others: Sequence[left_out.LeftOut] = (),
) -> list[Notice]:
    """Return what users should know about the folder's files: which are not used, and why.

    `classified`: None before anything was read; `used`: names of the files that are, None while the folder is no job;
    `others`: also not used.
    """
    meant = members.settings.items()
    remarks = [Notice(code="read_as", fields={"name": n, "meant": m}) for m, n in meant if filename_rules.fold(n) != m]
    remarks += [Notice(code="read_as_western", fields={"name": name}) for name in members.western]
    found = [*((entry.name, reason) for entry, reason in members.left_out), *others]
    if classified is not None:
        found += _unused(members, classified, used)
    return [*remarks, *left_out.notices(found)]


def _unused(
    members: Members, classified: Sequence[Classified], used: Collection[str] | None
) -> Iterator[left_out.LeftOut]:
    read = {j.entry.name: j for j in classified}
    for entry in members.media:
        if entry.name not in read:
            yield entry.name, "left_out_not_media"
    for entry in members.photos:
        if entry.name not in (read if used is None else used):
            yield entry.name, "left_out_picture"
    for entry in members.nested:
        if entry.name not in read or (used is not None and read[entry.name].kind and entry.name not in used):
            yield entry.name, "left_out_subfolder"
    for each in classified:
        if each.kind is None:
            yield shown_name(each.entry), each.problem.code if each.problem else "left_out_not_media"
        elif (
            each.kind != "photo" and used is not None and each.entry.name not in used and not is_nested(each.entry.name)
        ):
            yield each.entry.name, "left_out_replaced"


def shown_name(entry: Entry) -> str:
    """Return a file's name as users know it: a template's path begins with templates/."""
    return entry.name.removeprefix("../../")


def explained(error: NotReady, notices: Sequence[Notice]) -> NotReady:
    """Return `error`, with other words where the missing file may be there in a form that cannot be used."""
    if error.code in UNUSABLE and any(notice.code in left_out.COULD_BE_NEEDED for notice in notices):
        return NotReady(UNUSABLE[error.code], **error.fields)
    return error


def compose(
    members: Members,
    classified: Sequence[Classified],
    settings: JobSettings,
    render: Render,
    earlier: Manifest | None,
    arrived: float,
    texts: Mapping[str, bytes] = MappingProxyType({}),
) -> Job:
    """Make the job record of a settled, classified folder. Raises NotReady while it is incomplete.

    That is also while a video is missing that job.toml has settings for.

    `texts`: what was read from its job.toml and presenters.txt.
    """
    chosen = choose(classified, earlier, settings.photos, settings.speakers)
    settings = settings.model_copy(update={"speakers": chosen.speakers})
    require_named(settings, [media_of(video.entry).title for video in chosen.videos])
    subtitles = choose_subtitles(members, settings.apply(render), earlier)
    shared = [each.entry for each in (*chosen.voices, chosen.lips) if each] + subtitles[0]
    same = earlier if earlier and same_files(shared, [earlier.voice, *earlier.beside]) else None
    present = {(e.name, e.size) for e in members.folder.entries if e.kind == "file"}
    taken = {filename_rules.fold(e.name) for e in members.folder.entries if e.kind != "file"}
    records = []
    for video in sorted(chosen.videos, key=lambda j: filename_rules.fold(media_of(j.entry).title)):
        record = Video(source=media_of(video.entry), output=output_name(video.entry.name, taken))
        wanted = manifest.result_settings(settings, render, record.source.title)
        made = same.result_of(record.source, record.output, wanted) if same else None
        if made and (made.output, made.size) in present:
            record = kept(record, made)
        elif video.problem:
            record.state, record.problem = "failed", video.problem
        records.append(record)
    job = record_of(members, classified, chosen.names, settings, earlier, arrived, texts, subtitles)
    job.voice, *job.other_voices = (media_of(voice.entry) for voice in chosen.voices)
    job.videos, job.lips = records, media_of(chosen.lips.entry) if chosen.lips else None
    job.problem = next((each.problem for each in (*chosen.voices, chosen.lips) if each and each.problem), None)
    if chosen.voice.sound:
        job.notices.insert(0, Notice(code="voice_from_video", fields={"name": chosen.voice.entry.name}))
    return job


def require_named(settings: JobSettings, titles: Collection[str]) -> None:
    """Raise NotReady("needs_named_video") unless each video that has settings of its own is there."""
    for name in settings.videos:
        if not any(is_named(title, name) for title in titles):
            raise NotReady("needs_named_video", name=name, names=sorted(set(titles)))


def kept(record: Video, made: MadeResult) -> Video:
    """Return the record of a video that need not be rendered again.

    Users can change the manifest: no path and no state is taken from it.
    """
    facts = made.video.model_dump(include={"output_digest", "attempts", "faces"})
    shown = {"result": made.video.result, "notices": made.video.notices}
    return record.model_copy(update={**facts, **shown, "state": "done", "kept": True})


def record_of(
    members: Members,
    classified: Sequence[Classified],
    used: Collection[str],
    settings: JobSettings,
    earlier: Manifest | None,
    arrived: float,
    texts: Mapping[str, bytes],
    subtitles: tuple[list[Entry], list[left_out.LeftOut]],
) -> Job:
    """Return the record of a folder, of which the files named in `used` are used, without its voice and videos.

    `subtitles`: see `choose_subtitles`.
    """
    tracks, unused = subtitles
    return Job(
        id=new_id(),
        name=members.folder.name,
        folder=members.folder.name,
        arrived=arrived,
        settings=settings,
        voice=Media(name="", size=0, mtime_ns=0),
        videos=[],
        subtitles=[media_of(entry) for entry in tracks],
        extra=_extra(members, {*used, *(entry.name for entry in tracks)}),
        control_files=_control_files(members, texts),
        nested=[entry.name for entry, _ in nested_media(members)],
        notices=notices(members, classified, used, unused),
        rounds=earlier.rounds if earlier else 0,
    )


def _extra(members: Members, used: Collection[str]) -> list[Media]:
    """Return the users' other files at the top of the folder."""
    others = [
        *members.media,
        *members.subtitles,
        *members.photos,
        *members.temporary,
        *(entry for entry, _ in members.left_out),
    ]
    unused = (e for e in others if e.kind == "file" and e.name not in used and "/" not in e.name)
    return [media_of(entry) for entry in unused]


def _control_files(members: Members, texts: Mapping[str, bytes]) -> list[Media]:
    entries = {entry.name: entry for entry in members.folder.entries}
    found = [(media_of(entries[members.settings[meant]]), text) for meant, text in texts.items()]
    return [media.model_copy(update={"digest": atomic.digest([text])}) for media, text in found]


def same_files(entries: Sequence[Entry], then: Sequence[Media]) -> bool:
    """Return whether results were made with these files: none of them is new."""
    return len(entries) == len(then) and all("/" in e.name and was(e, m) for e, m in zip(entries, then, strict=True))


def was(entry: Entry, media: Media) -> bool:
    """Return whether an original is the one of an earlier round."""
    return entry.size == media.size and _title(entry) == _title(media)


def of_last_round(originals: Sequence[Classified], then: Sequence[Media]) -> list[Classified]:
    """Return the originals that the last round was made of: of several of one name those that agree best."""
    agreement = [_agreement(each.entry, then) for each in originals]
    best: dict[str, int] = {}
    for each, how_well in zip(originals, agreement, strict=True):
        best[_title(each.entry)] = max(how_well, best.get(_title(each.entry), 1))
    pairs = zip(originals, agreement, strict=True)
    return [each for each, how_well in pairs if how_well == best[_title(each.entry)]]


def _agreement(entry: Entry, then: Sequence[Media]) -> int:
    """Return 2 for an original that is one of an earlier round's files by its time too, 1 by name and size, else 0."""
    found = [media for media in then if was(entry, media)]
    return len(found[:1]) + any(media.mtime_ns == entry.mtime_ns for media in found)


def _title(file: Entry | Media) -> str:
    """Return a name without folders and the number that an original gets beside an older one of the same name."""
    return re.sub(r" \(\d+\)(?=\.[^.]*$)", "", filename_rules.fold(file.name.rpartition("/")[2]))


def rejected(members: Members, problem: Problem, notices: list[Notice], arrived: float) -> Job:
    """Make the record of a folder that can only be moved to failed/ with an explanation."""
    return Job(
        id=new_id(),
        name=members.folder.name,
        folder=members.folder.name,
        arrived=arrived,
        voice=Media(name="", size=0, mtime_ns=0),
        videos=[],
        notices=notices,
        problem=problem,
    )
