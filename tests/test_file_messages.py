"""Every message that a file can cause is produced by a test with real input, here or where PRODUCED says.

A code that is new in docs/messages.md fails here until such a test is named.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from heygemd.config.job_toml import MAX_SPEAKERS
from heygemd.config.schema import Config, Limits
from heygemd.daemon.intake.inbox import Inbox
from heygemd.daemon.intake.inotify import Watch
from heygemd.daemon.job_store import Store
from heygemd.daemon.jobs.attempt import Attempt
from heygemd.daemon.queue_state import PendingFolder, QueueState
from heygemd.errors import InputError, NotReady
from heygemd.i18n import catalog
from heygemd.media.probe import probe
from heygemd.protocol import MAX_SUBTITLE_BYTES, MAX_SUBTITLE_FILES
from heygemd.render.audio.load import load_voice
from heygemd.render.cache import Cache
from heygemd.render.video import decode
from heygemd.storage import share_layout
from heygemd.storage.availability import ShareAvailability
from heygemd.storage.io_thread import ShareThread

from . import media_factory

TESTS = Path(__file__).parent
SECTIONS = ("A folder waits", "A folder or file cannot be used", "Done, but worth knowing")
NOT_BY_A_FILE = {
    *("settling", "held", "loose_files", "paused_by_file", "folder_open", "held_open", "name_taken"),
    *("loose_shortcut", "loose_archive", "loose_pair", "loose_pair_waits", "beside_inbox", "pause_misplaced"),
    *("job_toml_value", "job_toml_unknown", "job_toml_syntax", "job_toml_large", "presenter_line", "file_unusable"),
    *("job_toml_quotes", "job_toml_missing", "job_toml_speakers_count", "job_toml_speakers_face"),
    *("belongs_to_job", "another_daemon", "job_file_unusable", "engine_not_installed", "too_big_for_share"),
    *("folder_no_permission", "no_permission", "unexpected_error", "cancelled", "removed", "too_big_for_disk"),
}
"""What is wrong is the folder's name, its place, its owner or who has it open; or it is part of another message."""
PIPELINE, DECODE, LOAD = "render/test_pipeline.py", "render/video/test_decode.py", "render/audio/test_load.py"
PROBE, COMPLETE, HERE = "media/test_probe.py", "media/test_completeness.py", Path(__file__).name
FACE = "render/face/"
PRODUCED = {
    **dict.fromkeys(("needs_audio", "needs_video", "too_many_audio", "zero_tail", "empty"), HERE),
    **dict.fromkeys(("copy_stopped", "file_incomplete", "too_many_files", "file_too_big"), HERE),
    **dict.fromkeys(("job_too_big", "presenter_unknown", "job_toml_invalid", "format_unsupported"), HERE),
    **dict.fromkeys(("picture_too_small", "no_duration", "audio_damaged", "hdr_not_tone_mapped"), HERE),
    **dict.fromkeys(("transparency_not_read", "video_begins_late"), DECODE),
    **dict.fromkeys(("still_copying", "shortcut", "slow_to_read", "video_cut_short", "audio_cut_short"), HERE),
    **dict.fromkeys(("moov_missing", "not_a_file"), COMPLETE),
    **dict.fromkeys(("too_many_pixels", "frame_rate_too_high", "too_many_streams"), PROBE),
    **dict.fromkeys(("protected", "no_picture"), PROBE),
    **dict.fromkeys(("video_too_long", "audio_too_long"), PROBE),
    **dict.fromkeys(("media_unreadable", "no_video", "voice_longer", "voice_shorter", "video_damaged"), PIPELINE),
    **dict.fromkeys(("below_720p", "no_face"), PIPELINE),
    **dict.fromkeys(("no_audio", "audio_too_short", "audio_silent", "audio_quiet"), LOAD),
    **dict.fromkeys(("audio_clipped", "audio_noisy"), LOAD),
    **dict.fromkeys(("hdr_tone_mapped", "transparent_on_white"), DECODE),
    **dict.fromkeys(("two_voices", "no_speech", "no_speech_ranges"), "render/audio/test_vad.py"),
    **dict.fromkeys(("subtitles_encoding", "subtitles_too_many"), "render/subtitles/test_parse.py"),
    **dict.fromkeys(("subtitles_reversed", "subtitles_beyond"), "render/subtitles/test_track.py"),
    **dict.fromkeys(("subtitles_empty", "subtitles_all_reversed", "subtitles_lines"), "render/subtitles/test_track.py"),
    **dict.fromkeys(("subtitles_not_burnt", "subtitles_characters"), "render/subtitles/test_burn.py"),
    **dict.fromkeys(("original_sound_speech", "loudness_silent"), "render/audio/test_delivery.py"),
    **dict.fromkeys(("original_sound_none", "lips_voice_length", "loudness_missed"), "e2e/test_sound.py"),
    **dict.fromkeys(("lips_voice_late", "lips_voice_early"), "render/test_sound_timeline.py"),
    **dict.fromkeys(("audio_mixed_down", "voice_track"), "render/audio/test_downmix.py"),
    **dict.fromkeys(("needs_usable_audio", "needs_usable_video"), HERE),
    "too_many_entries": "daemon/intake/test_folder_members.py",
    "batch_waits": "daemon/intake/test_batch.py",
    "few_faces": FACE + "test_tracker.py",
    **dict.fromkeys(("no_face_ranges", "face_never_clear", "face_turned"), FACE + "test_landmark_smoothing.py"),
    "face_covered": FACE + "test_transient_occlusion.py",
    "mouth_hidden": FACE + "test_persistent_occlusion.py",
    **dict.fromkeys(("face_missing", "faces_missing", "faces_same"), FACE + "test_face_choice.py"),
    "needs_named_video": "daemon/intake/test_job_record.py",
    "needs_speaker_voice": "daemon/intake/test_job_inputs.py",
    "engine_one_voice": PIPELINE,
    "face_left_to_engine": PIPELINE,
    "several_faces": FACE + "test_multi_face_tracker.py",
    "changed_while_copying": "storage/test_transfer.py",
    "changed_after_claim": HERE,
    "file_changed": "daemon/jobs/test_retry_policy.py",
    **dict.fromkeys(("file_added", "more_coming"), "daemon/jobs/test_changed_folders.py"),
    **dict.fromkeys(("photo_unreadable", "photo_too_large", "photo_scaled"), "media/test_photo.py"),
    **dict.fromkeys(("photo_unknown", "no_photos", "too_many_photos"), "daemon/intake/test_job_inputs.py"),
    **dict.fromkeys(("photo_no_face", "photo_face_turned", "photo_on_white"), "render/test_photo.py"),
    "no_presenters": "daemon/intake/test_presenter_library.py",
    "recorder_open": "daemon/intake/test_inbox.py",
}


def documented() -> set[str]:
    page = (TESTS.parent / "docs" / "messages.md").read_text("utf-8")
    parts = [page.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0] for title in SECTIONS]
    rows = re.findall(r"(?m)^\|([^|]*)\|", "\n".join(parts))
    return {code for row in rows for code in re.findall(r"`(\w+)`", row)}


def test_every_message_that_a_file_causes_has_a_test() -> None:
    assert documented() - NOT_BY_A_FILE - set(PRODUCED) == set()
    assert (set(PRODUCED) | NOT_BY_A_FILE) - documented() == set()
    silent = [
        code
        for code, place in PRODUCED.items()
        if not re.search(rf"[\"'={{ ]{code}[\"',}} ]", (TESTS / place).read_text("utf-8"))
    ]
    assert silent == []


def test_every_fact_in_a_message_is_compared_with_the_truth() -> None:
    """The test that produces a message reads each of its fields, or the words beside it in the sentence."""
    unread = [
        (code, field)
        for code, place in PRODUCED.items()
        for field, words in facts(code)
        if not any(each in (TESTS / place).read_text("utf-8") for each in (f'"{field}"', f" {field}=", *words))
    ]
    assert unread == []


def facts(code: str) -> Iterator[tuple[str, list[str]]]:
    """The fields of a message but the file's name, and the English words before and after each."""
    template = str(catalog._template(code, 2, "en"))
    pieces = list(Formatter().parse(template))
    for (before, field, _, _), (after, *_) in zip(pieces, [*pieces[1:], ("", "", "", "")], strict=True):
        if field and field != "name":
            words = (before.rpartition("\n")[2][-12:], after.partition("\n")[0][:12])
            yield field, [each for each in words if len(each.strip()) > 3]


@pytest.mark.parametrize("language", catalog.languages())
def test_a_limit_in_the_words_of_a_message_is_the_one_that_holds(language: str) -> None:
    subtitles = catalog.text("left_out_subtitles", {"names": ["a.srt"], "count": 1}, language)
    assert re.findall(r"\d+", subtitles) == [str(MAX_SUBTITLE_FILES), str(MAX_SUBTITLE_BYTES >> 20)]
    speakers = catalog.text("job_toml_speakers_count", {"line": 1, "count": 9}, language)
    assert re.findall(r"\d+", speakers)[2:] == [str(number) for number in range(2, MAX_SPEAKERS + 1)]


class Drop:
    """A folder dropped into a real inbox, which is scanned until it is known what becomes of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "share" / "inbox" / "job"
        share_layout.create(root / "share")
        self.folder.mkdir()
        self.inbox: dict[str, Any] = {"settle_local_s": 1e-3, "settle_zero_tail_s": 1e-9}
        self.limits: dict[str, Any] = {"probe_timeout_s": 120}

    @property
    def config(self) -> Config:
        paths = {key: self.root / key for key in ("share", "state", "cache", "log", "models")}
        return Config.model_validate({"paths": paths, "inbox": self.inbox, "limits": self.limits})

    async def scan(self) -> PendingFolder:
        thread = ShareThread(self.root / "share", 10)
        share = ShareAvailability(self.root / "share", thread)
        assert await share.check()
        state = QueueState()
        inbox = Inbox(self.config, state, share, Watch(lambda: None))
        for _ in range(3):  # a folder must be still, and what cannot be read is looked at twice
            await inbox.scan()
            time.sleep(0.01)
        thread.close()
        return state.pending["job"]

    def says(self) -> dict[str, dict[str, Any]]:
        """What is told of the folder and its videos: fields by code."""
        pending = asyncio.run(self.scan())
        found = {pending.reason.code: pending.reason.fields} if pending.reason else {}
        found |= {notice.code: notice.fields for notice in pending.notices}
        if job := pending.job:
            found |= {notice.code: notice.fields for notice in job.notices}
            problems = [job.problem, *(video.problem for video in job.videos)]
            found |= {problem.code: problem.fields for problem in problems if problem}
        return found


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path)


def good(folder: Path, *names: str) -> None:
    for name in names:
        if name.endswith(".wav"):
            media_factory.audio(folder / name)
        else:
            media_factory.video(folder / name, options=["-c:v", "libx264", "-preset", "ultrafast"])


def said(fields: dict[str, Any], code: str) -> str:
    """The message in English; in no language is a fact missing."""
    texts = {language: catalog.text_with_file_name(code, fields, language) for language in catalog.languages()}
    assert all("?" not in text and "{" not in text for text in texts.values()), texts
    return texts["en"]


def half(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def no_voice(drop: Drop) -> None:
    good(drop.folder, "a.mp4")


def no_video(drop: Drop) -> None:
    good(drop.folder, "v.wav")


def two_voices(drop: Drop) -> None:
    good(drop.folder, "v.wav", "w.wav", "a.mp4")


def empty(drop: Drop) -> None:
    good(drop.folder, "v.wav")
    (drop.folder / "a.mp4").write_bytes(b"")
    drop.inbox["settle_zero_tail_s"] = 60


def zeros_at_the_end(drop: Drop) -> None:
    good(drop.folder, "v.wav")
    drop.inbox["settle_zero_tail_s"] = 60
    media_factory.ffmpeg("-f", "lavfi", "-i", "anullsrc=r=48000", "-t", "1", drop.folder / "z.wav")


def stopped(drop: Drop) -> None:
    good(drop.folder, "v.wav", "a.mp4")
    half(drop.folder / "a.mp4")


def growing(drop: Drop) -> None:
    stopped(drop)
    drop.inbox["settle_zero_tail_s"] = 60


def linked(drop: Drop) -> None:
    good(drop.folder, "v.wav", "a.mp4")
    (drop.folder / "originals").symlink_to(drop.root)


def given_up(drop: Drop) -> None:
    stopped(drop)
    (drop.folder / "READY").write_bytes(b"")


def many(drop: Drop) -> None:
    good(drop.folder, "v.wav", "a.mp4")
    drop.limits["max_files_per_job"] = 1


def big(drop: Drop) -> None:
    good(drop.folder, "v.wav", "a.mp4")
    os.truncate(drop.folder / "a.mp4", 2 << 20)
    drop.limits["max_file_gib"] = 0.001


def big_together(drop: Drop) -> None:
    good(drop.folder, "v.wav", "a.mp4")
    for name in ("v.wav", "a.mp4"):
        os.truncate(drop.folder / name, 600 << 10)
    drop.limits["max_job_gib"] = 0.001


def unknown_presenter(drop: Drop) -> None:
    good(drop.folder, "v.wav")
    (drop.folder / "presenters.txt").write_text("zoe\n")
    media_factory.video(drop.root / "share" / "templates" / "ben.mp4")


def western_presenters(drop: Drop) -> None:
    good(drop.folder, "v.wav")
    media_factory.video(drop.root / "share" / "templates" / "Zoë.mp4")
    (drop.folder / "presenters.txt").write_bytes("zoë\r\n".encode("cp1252"))


def voice_in_a_video(drop: Drop) -> None:
    good(drop.folder, "a.mp4")
    media_factory.video(drop.folder / "声音.mov", sound=True, options=["-c:v", "libx264", "-preset", "ultrafast"])


def two_talking_videos(drop: Drop) -> None:
    voice_in_a_video(drop)
    (drop.folder / "声音.mov").rename(drop.folder / "talk.mov")


def bad_settings(drop: Drop) -> None:
    good(drop.folder, "v.wav", "a.mp4")
    (drop.folder / "job.toml").write_text("quality = 7\n")


def slow(drop: Drop) -> None:
    good(drop.folder, "v.wav", "a.mp4")
    drop.limits["probe_timeout_s"] = 1e-3


def slow_and_ready(drop: Drop) -> None:
    slow(drop)
    (drop.folder / "READY").touch()


def other_format(drop: Drop) -> None:
    good(drop.folder, "v.wav")
    media_factory.video(drop.folder / "a.nut", options=["-c:v", "mpeg4"]).rename(drop.folder / "a.mp4")


def other_voice(drop: Drop) -> None:
    good(drop.folder, "a.mp4")
    media_factory.audio(drop.folder / "v.wv").rename(drop.folder / "v.m4a")


def video_in_other_format(drop: Drop) -> None:
    good(drop.folder, "v.wav")
    media_factory.video(drop.folder / "a.nut", options=["-c:v", "mpeg4"])


def voice_in_other_format(drop: Drop) -> None:
    good(drop.folder, "a.mp4")
    media_factory.audio(drop.folder / "v.wv")


def bare_stream(drop: Drop) -> None:
    """Known by its content: nobody lists every ending."""
    good(drop.folder, "v.wav")
    media_factory.video(drop.folder / "a.m2v", options=["-c:v", "mpeg2video"])


@pytest.mark.parametrize(
    ("make", "code", "claim"),
    [
        (no_voice, "needs_audio", "voice recording is missing"),
        (no_video, "needs_video", "video"),
        (two_voices, "too_many_audio", "2 audio files: v.wav and w.wav"),
        (empty, "empty", '"a.mp4"'),
        (zeros_at_the_end, "zero_tail", '"z.wav"'),
        (growing, "still_copying", '"a.mp4"'),
        (linked, "shortcut", '"originals"'),
        (stopped, "copy_stopped", '"a.mp4" is incomplete and has stopped growing'),
        (slow, "slow_to_read", 'Reading "a.mp4" took longer than 0.001 s'),
        (slow_and_ready, "slow_to_read", 'Reading "a.mp4" took longer than'),
        (given_up, "file_incomplete", '"a.mp4" is incomplete'),
        (many, "too_many_files", "contains 2 media files; at most 1 are allowed"),
        (big, "file_too_big", '"a.mp4" is larger than 0.001 GiB'),
        (big_together, "job_too_big", "together are larger than 0.001 GiB"),
        (
            unknown_presenter,
            "presenter_unknown",
            'no presenter "zoe" in templates (presenters.txt, line 1). Available: ben.',
        ),
        (voice_in_a_video, "voice_from_video", 'The sound of "声音.mov" is the voice'),
        (two_talking_videos, "needs_audio", "name it voice (voice.mp4)"),
        (western_presenters, "read_as_western", '"presenters.txt" was read as Western'),
        (bad_settings, "job_toml_invalid", 'contains errors. Line 1: "quality" cannot be "7"; possible: '),
        (other_format, "format_unsupported", '"a.mp4" has a format that cannot be used: nut'),
        (other_voice, "format_unsupported", '"v.m4a" has a format that cannot be used: wv'),
        (video_in_other_format, "needs_usable_video", "that can be used"),
        (voice_in_other_format, "needs_usable_audio", "that can be used"),
        (bare_stream, "left_out_format", "a.m2v (this format is not supported)"),
    ],
)
def test_a_folder_says_what_is_wrong(drop: Drop, make: Callable[[Drop], None], code: str, claim: str) -> None:
    make(drop)
    found = drop.says()
    assert code in found
    assert claim in said(found[code], code)


def test_a_file_that_was_replaced_after_the_claim_is_not_rendered(drop: Drop) -> None:
    good(drop.folder, "v.wav", "a.mp4")

    async def claim_and_copy() -> None:
        job = (await drop.scan()).job
        assert job is not None
        claimed = drop.folder.rename(drop.root / "share" / "processing" / "job")
        half(claimed / "a.mp4")
        thread = ShareThread(drop.root / "share", 10)
        share = ShareAvailability(drop.root / "share", thread)
        attempt = Attempt(drop.config, Store(drop.root / "state"), share, job, job.videos[0])
        try:
            await attempt._copy(job.videos[0].source, drop.root / "copy.mp4")
        finally:
            thread.close()

    with pytest.raises(NotReady) as caught:
        asyncio.run(claim_and_copy())
    assert caught.value.code == "changed_after_claim"
    assert '"a.mp4"' in said(caught.value.fields, "changed_after_claim")


def test_a_picture_of_a_few_pixels_is_too_small(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="picture_too_small") as caught:
        decode.describe_video(media_factory.video(tmp_path / "v.mkv", size="14x14"), Limits())
    assert caught.value.fields == {"width": 14, "height": 14}
    assert "(14x14)" in said({"name": "v.mkv", **caught.value.fields}, "picture_too_small")


def test_a_header_without_sound_has_no_duration(tmp_path: Path) -> None:
    path = media_factory.audio(tmp_path / "v.caf")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"data") + 16])
    with pytest.raises(InputError, match="no_duration"):
        probe(path, Limits())
    assert "v.caf" in said({"name": "v.caf"}, "no_duration")


@pytest.mark.parametrize("ext", ["m4a", "flac", "ogg", "mp3", "wma", "mka"])
def test_a_hole_in_a_recording_is_damage_and_the_rest_is_used(tmp_path: Path, ext: str) -> None:
    path = media_factory.audio(tmp_path / f"v.{ext}", 4)
    data = bytearray(path.read_bytes())
    start, end = (int(len(data) * share) for share in (0.4, 0.7))
    path.write_bytes(data[:start] + bytes(end - start) + data[end:])
    voice = load_voice(path, "d", Limits(), Cache(tmp_path / "cache", 1 << 30), tmp_path / "scratch")
    (finding,) = [f for f in voice.findings if f.code != "audio_quiet"]
    assert finding.code == "audio_damaged" and float(voice.duration_s) < 4.1
    assert "damaged" in said(finding.fields, "audio_damaged")


def test_what_lacks_its_end_is_used_and_named(tmp_path: Path) -> None:
    voice, video = media_factory.audio(tmp_path / "v.flac", 4), media_factory.video(tmp_path / "a.wmv", 4)
    for path in (voice, video):
        half(path)
    heard = load_voice(voice, "d", Limits(), Cache(tmp_path / "cache", 1 << 30), tmp_path / "scratch")
    (finding,) = [f for f in heard.findings if f.code.startswith("audio_")]
    assert finding.code == "audio_cut_short" and 1.5 < float(heard.duration_s) < 2.5
    assert "end of the voice recording is missing" in said(finding.fields, finding.code)
    (finding,) = [f for f in decode.findings(decode.describe_video(video, Limits())) if f.code != "below_720p"]
    assert "end of the video is missing" in said(finding.fields, "video_cut_short")


def test_without_the_filters_hdr_is_left_and_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_can_tone_map", lambda: False)
    tags = ["-c:v", "ffv1", "-pix_fmt", "yuv420p10le", "-color_trc", "smpte2084"]
    picture = decode.describe_video(media_factory.video(tmp_path / "v.mkv", 0.2, options=tags), Limits())
    assert "hdr_not_tone_mapped" in {f.code for f in decode.findings(picture)}
