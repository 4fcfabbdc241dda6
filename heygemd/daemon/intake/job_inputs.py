"""Which files of a folder a job is made of: its voice, presenters and subtitles; pure decisions about what was read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from ...config.job_toml import SpeakerSettings, is_named
from ...config.schema import POSITIONS, Limits, Render
from ...errors import InputError, NotReady
from ...job import Media, Problem, Video, output_name
from ...protocol import MAX_SUBTITLE_BYTES, MAX_SUBTITLE_FILES
from ...storage.share_fs import Entry
from . import filename_rules, folder_members, left_out, manifest
from .filename_rules import MediaKind
from .folder_members import Members, is_kept, is_nested, media_of
from .manifest import Manifest

Speakers = Sequence[SpeakerSettings]
KNOWN_SHOWN = 8
PRESENTERS_OF: tuple[MediaKind, ...] = ("video", "photo")


@dataclass(frozen=True, slots=True)
class Classified:
    """A file and its kind by content.

    problem  with a kind: it cannot be read, and the kind is by name; without: why it is not used (see `left_out`)
    sound    of a video: it has a sound track
    """

    entry: Entry
    kind: MediaKind | None
    problem: Problem | None = None
    sound: bool = False


def has_photos(videos: Iterable[Video]) -> bool:
    """Return whether some presenter is a picture."""
    return any(filename_rules.is_photo(video.source.name) for video in videos)


def wanted_photos(
    members: Members, classified: Sequence[Classified], earlier: Manifest | None, named: Sequence[str], limits: Limits
) -> list[Entry]:
    """Return the pictures to look into: those that job.toml names, or all where there is no video.

    Raises InputError("photo_unknown" | "no_photos") for a name that is not there, NotReady("too_many_photos").
    """
    offered = {filename_rules.fold(name): e for e in members.photos for name in (e.name, media_of(e).title)}
    for name in named:
        if filename_rules.fold(name) not in offered:
            known = [media_of(e).title for e in members.photos[:KNOWN_SHOWN]]
            if known:
                raise InputError("photo_unknown", name=name, known=known)
            raise InputError("no_photos", name=name)
    if named or not _lacks_video(classified, earlier):
        return [offered[filename_rules.fold(name)] for name in named]
    if folder_members.may_be_batch(members):  # each part may have its own
        here, limit = members.photos, limits.max_files_per_batch
    else:
        outside = [e for e in members.photos if not is_nested(e.name)]
        here = members.photos if "photo" in _used_nested(earlier) else outside or members.photos
        limit = limits.max_files_per_job
    if len(here) > limit and _of_kind("audio", classified):
        raise NotReady("too_many_photos", count=len(here), limit=limit)
    return here[:limit]


def _lacks_video(classified: Sequence[Classified], earlier: Manifest | None) -> bool:
    """Return whether no file is a video, or none but those that may be results of an earlier round."""
    made = manifest.results_of(earlier)
    videos = [j for j in _of_kind("video", classified) if (j.entry.name, j.entry.size) not in made]
    videos = [j for j in videos if not (j.sound and filename_rules.is_named_as_voice(j.entry.name))]
    if not earlier and any(is_kept(j.entry) for j in _of_kind("audio", classified)):
        videos = [j for j in videos if is_kept(j.entry)]
    return not videos


def abandoned(members: Members) -> list[Classified]:
    """Return the files that copies were to become which have ended without them."""
    there = {filename_rules.fold(e.name) for e in members.folder.entries}
    found, is_batch = [], folder_members.may_be_batch(members)
    for entry in members.temporary:
        base, slash, _ = entry.name.rpartition("/")
        name = base + slash + filename_rules.copied_as(entry.name)
        missed = filename_rules.fold(name) not in there and (not base or is_batch)
        if missed and (kind := filename_rules.kind_by_name(name)):
            found.append(Classified(entry, kind, Problem(code="file_incomplete", fields={"name": name})))
    return found


def with_abandoned(classified: list[Classified], members: Members) -> list[Classified]:
    """Return what was read and what never arrived; a voice is missed only where there is no other for the same."""
    voices = [c.entry.name for c in classified if c.kind == "audio"]
    missed = abandoned(members)
    if filename_rules.BATCH in members.controls:
        return classified + missed
    if folder_members.may_be_batch(members):
        voiced = {name.rpartition("/")[0] for name in voices}
        return classified + [c for c in missed if c.kind == "video" or c.entry.name.rpartition("/")[0] not in voiced]
    return classified + [c for c in missed if c.kind == "video" or not voices]


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
    fresh = [j for j in inputs if not is_nested(j.entry.name) and not is_kept(j.entry)]
    kept = [j for j in inputs if is_kept(j.entry)]
    nested = [j for j in inputs if is_nested(j.entry.name)]
    used_nested = _used_nested(earlier)
    kept_voices = _kept_voices(_of_kind("audio", kept), earlier)
    nested_voices = _of_kind("audio", nested)
    voices = _of_kind("audio", fresh) or ("audio" in used_nested and nested_voices) or kept_voices or nested_voices
    if not earlier and voices == kept_voices:
        kept_presenters = _of_kind("video", kept) or _of_kind("photo", kept)
        outputs = {output_name(j.entry.name, set()) for j in kept_presenters}
        fresh = [j for j in fresh if j.entry.name not in outputs]
    for kind in PRESENTERS_OF:
        fresh += _of_kind(kind, nested) if kind in used_nested else []
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


def _of_kind(kind: MediaKind, classified: Sequence[Classified]) -> list[Classified]:
    return [j for j in classified if j.kind == kind]


def nested_kinds(voice: Media, videos: Iterable[Media]) -> set[MediaKind]:
    """Return of which kinds a job uses files in its folder's own folders: more of them, if they come, are used too."""
    kinds: set[MediaKind] = {"audio"} if is_nested(voice.name) else set()
    nested = [video.name for video in videos if is_nested(video.name)]
    return kinds | {"photo" if filename_rules.is_photo(name) else "video" for name in nested}


def _used_nested(earlier: Manifest | None) -> set[MediaKind]:
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


def choose_subtitles(members: Members, settings: Render) -> tuple[list[Entry], list[left_out.LeftOut]]:
    """Return the subtitles that become tracks, by their names, and those that are not used.

    One at the top replaces that of the same name in originals/.
    """
    if settings.subtitles == "off":
        return [], [(entry.name, "left_out_subtitles_off") for entry in members.subtitles]
    by_title = {_title(entry): entry for entry in sorted(members.subtitles, key=lambda e: not is_kept(e))}
    small = [entry for _, entry in sorted(by_title.items()) if entry.size <= MAX_SUBTITLE_BYTES]
    used = small[:MAX_SUBTITLE_FILES]
    unused = [entry for entry in members.subtitles if entry not in used]
    replaced = [entry not in by_title.values() for entry in unused]
    reasons = ["left_out_replaced" if gone else "left_out_subtitles" for gone in replaced]
    return used, [(entry.name, reason) for entry, reason in zip(unused, reasons, strict=True)]


def same_files(entries: Sequence[Entry], then: Sequence[Media]) -> bool:
    """Return whether results were made with these files: none of them is new."""
    return len(entries) == len(then) and all("/" in e.name and was(e, m) for e, m in zip(entries, then, strict=True))


def was(entry: Entry, media: Media) -> bool:
    """Return whether an original is the one of an earlier round."""
    return entry.size == media.size and _title(entry) == _title(media)


def of_last_round(originals: Sequence[Classified], then: Sequence[Media]) -> list[Classified]:
    """Return the originals that the last round was made of."""
    return [each for each in originals if any(was(each.entry, media) for media in then)]


def _title(file: Entry | Media) -> str:
    """Return a name without folders, as names are compared."""
    return filename_rules.fold(file.name.rpartition("/")[2])
