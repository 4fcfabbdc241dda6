"""A folder with several voices: its parts, what each is made of, and what a part that lacks something means."""

import pytest

from heygemd.config.job_toml import JobSettings
from heygemd.config.schema import InboxSettings, Limits, Render
from heygemd.daemon.intake import batch, job_inputs, manifest, settle
from heygemd.errors import InputError, NotReady
from heygemd.job import Media, Problem

from .dropped_files import classified, entry, seen

HOUR_S = 3600.0


def files(*names, size=5):
    kinds = {"wav": "audio", "mp4": "video"}
    return [(name, kinds[name[-3:]], size) for name in names]


def made_of(*names, earlier=None, controls=(), limits=None, damaged=()):
    """The job of a folder with these files, or None if it is no batch."""
    read = classified(*files(*names))
    read = [
        job_inputs.Classified(c.entry, c.kind, Problem(code="media_unreadable")) if c.entry.name in damaged else c
        for c in read
    ]
    members = seen(*(c.entry for c in read), *(entry(name, 0) for name in controls))
    parts = batch.parts(members, read, earlier)
    if not parts:
        return None
    batch.wait_for_parts(parts, members, HOUR_S, 600)
    return batch.compose(
        members, read, parts, JobSettings(), Render(), earlier, 1.0, {}, limits or Limits()
    )  # fmt: skip


def plan(job):
    return {v.output: (v.voice and v.voice.name, v.source.name) for v in job.videos}


def test_every_subfolder_with_a_voice_gets_the_videos_beside_them_or_its_own():
    job = made_of("anna.mp4", "ben.mp4", "zh/v.wav", "en/v.wav", "fr/v.wav", "fr/chloe.mp4")
    assert plan(job) == {
        "en/anna.mp4": ("en/v.wav", "anna.mp4"),
        "en/ben.mp4": ("en/v.wav", "ben.mp4"),
        "fr/chloe.mp4": ("fr/v.wav", "fr/chloe.mp4"),
        "zh/anna.mp4": ("zh/v.wav", "anna.mp4"),
        "zh/ben.mp4": ("zh/v.wav", "ben.mp4"),
    }
    assert job.is_batch and not job.voice.name
    assert [m.name for m in job.inputs()] == [
        "en/v.wav", "anna.mp4", "ben.mp4", "fr/v.wav", "fr/chloe.mp4", "zh/v.wav",
    ]  # fmt: skip
    assert len({v.hidden_name for v in job.videos}) == 5 and "/" not in "".join(v.hidden_name for v in job.videos)


def test_presenters_may_come_from_templates_or_lie_in_a_folder_of_their_own():
    assert plan(made_of("../../templates/anna.mp4", "a/v.wav", "b/v.wav")) == {
        "a/anna.mp4": ("a/v.wav", "../../templates/anna.mp4"),
        "b/anna.mp4": ("b/v.wav", "../../templates/anna.mp4"),
    }
    assert list(plan(made_of("people/anna.mp4", "a/v.wav", "b/v.wav"))) == ["a/anna.mp4", "b/anna.mp4"]


def test_what_is_no_batch_stays_one_job():
    assert made_of("voice.wav", "anna.mp4", "old/v.wav", "older/v.wav") is None
    assert made_of("anna.mp4", "audio/v.wav") is None
    assert made_of("anna.mp4", "a.wav", "b.wav") is None


def test_with_a_file_named_batch_every_recording_is_a_part():
    job = made_of("anna.mp4", "Mr X.wav", "originals/Mr Y.wav", controls=["BATCH.txt"])
    assert plan(job) == {
        "Mr X/anna.mp4": ("Mr X.wav", "anna.mp4"),
        "Mr Y/anna.mp4": ("originals/Mr Y.wav", "anna.mp4"),
    }


def test_a_part_that_lacks_something_fails_alone():
    job = made_of(
        "anna.mp4", "de/a.wav", "de/b.wav", "en/v.wav", "fr/chloe.mp4", "it/v.wav", "zh/v.wav",
        controls=["zh/CANCEL"], damaged=["it/v.wav"],
    )  # fmt: skip
    assert {v.title: (v.state, v.problem and v.problem.code) for v in job.videos} == {
        "de": ("failed", "too_many_audio"),
        "en/anna.mp4": ("waiting", None),
        "fr": ("failed", "needs_audio"),
        "it/anna.mp4": ("failed", "media_unreadable"),
        "zh": ("failed", "cancelled"),
    }
    assert job.problem is None and not job.settled


@pytest.mark.parametrize(
    ("still_s", "controls", "waits"),
    [(10, [], True), (10, ["READY"], False), (10, ["fr/ready"], False), (10, ["en/READY"], True), (601, [], False)],
)
def test_a_part_that_lacks_something_is_waited_for_a_while(still_s, controls, waits):
    read = classified(*files("anna.mp4", "en/v.wav", "zh/v.wav", "fr/chloe.mp4"))
    members = seen(*(c.entry for c in read), *(entry(name, 0) for name in controls))
    parts = batch.parts(members, read, None)
    if waits:
        with pytest.raises(NotReady) as raised:
            batch.wait_for_parts(parts, members, still_s, 600)
        assert (raised.value.code, raised.value.fields) == ("batch_waits", {"names": ["fr"], "count": 1})
    else:
        batch.wait_for_parts(parts, members, still_s, 600)


def test_without_any_video_all_wait_for_one():
    with pytest.raises(NotReady, match="needs_video"):
        made_of("a/v.wav", "b/v.wav")


def test_its_size_has_a_limit_of_its_own():
    voices = [f"{n:03d}/v.wav" for n in range(100)]
    assert len(made_of("anna.mp4", *voices).videos) == 100
    with pytest.raises(InputError, match="too_many_files"):
        made_of("anna.mp4", "ben.mp4", *voices, limits=Limits(max_files_per_batch=150))


def finished(*names):
    job = made_of(*names)
    for video in job.videos:
        video.state, video.output_digest = "done", "aa"
        for media in (video.voice, video.source):
            if not media.name.startswith("../"):
                media.name = f"originals/{media.name}"
    return manifest.parse(manifest.compose(job, Render(), {v.output: 5 for v in job.videos}))


def test_the_second_round_renders_what_is_new_or_changed_only():
    earlier = finished("anna.mp4", "en/v.wav", "fr/v.wav", "fr/anna.mp4", "zh/v.wav")
    before = ["originals/anna.mp4", "en/anna.mp4", "fr/anna.mp4", "zh/anna.mp4", "originals/fr/anna.mp4"]
    before += ["originals/en/v.wav", "originals/fr/v.wav"]
    job = made_of(*before, "originals/zh/v.wav", "zh/new.wav", "de/v.wav", earlier=earlier)
    assert {v.output: (v.state, v.kept, v.voice.name) for v in job.videos} == {
        "de/anna.mp4": ("waiting", False, "de/v.wav"),
        "en/anna.mp4": ("done", True, "originals/en/v.wav"),
        "fr/anna.mp4": ("done", True, "originals/fr/v.wav"),
        "zh/anna.mp4": ("waiting", False, "zh/new.wav"),
    }
    without = made_of(*before, "originals/zh/v.wav")
    assert {v.output: (v.state, v.source.name) for v in without.videos} == {
        "en/anna.mp4": ("waiting", "originals/anna.mp4"),
        "fr/anna.mp4": ("waiting", "originals/fr/anna.mp4"),
        "zh/anna.mp4": ("waiting", "originals/anna.mp4"),
    }, "a result is no recording, also where the manifest is lost"


def test_one_file_of_many_videos_has_one_truth():
    job = made_of("anna.mp4", "en/v.wav", "zh/v.wav")
    assert len(job.records_of("anna.mp4")) == 2 and job.records_of("") == []
    assert job.voice_of(job.videos[1]) == Media(name="zh/v.wav", size=5, mtime_ns=1)


def test_pictures_are_presenters_of_their_part_or_of_all():
    names = ["en/v.wav", "zh/v.wav", "zh/me.jpg", "all.png"]
    read = classified(*((n, "audio" if n.endswith("wav") else "photo", 5) for n in names))
    members = seen(*(c.entry for c in read))
    assert {e.name for e in job_inputs.wanted_photos(members, read[:2], None, (), Limits())} == {"zh/me.jpg", "all.png"}
    job = batch.compose(
        members, read, batch.parts(members, read, None), JobSettings(), Render(), None, 1.0, {}, Limits()
    )
    assert plan(job) == {"en/all.mp4": ("en/v.wav", "all.png"), "zh/me.mp4": ("zh/v.wav", "zh/me.jpg")}


def test_recordings_for_the_lips_and_inner_subtitles_are_named_as_not_used():
    read = classified(*files("anna.mp4", "en/v.wav", "zh/v.wav", "zh/v.lips.wav"))
    members = seen(*(c.entry for c in read), entry("zh/v.srt"))
    job = batch.compose(
        members, read, batch.parts(members, read, None), JobSettings(), Render(), None, 1.0, {}, Limits()
    )
    assert plan(job) == {"en/anna.mp4": ("en/v.wav", "anna.mp4"), "zh/anna.mp4": ("zh/v.wav", "anna.mp4")}
    assert [(n.code, n.fields["names"]) for n in job.notices] == [
        ("left_out_subtitles_inside", ["zh/v.srt"]),
        ("left_out_lips", ["zh/v.lips.wav"]),
    ]


@pytest.mark.parametrize(
    ("name", "controls", "wait_s"),
    [
        ("zh/v.wav", [], 600),
        ("zh/v.wav.part", ["zh/READY"], 0),
        ("anna.mp4", [], HOUR_S),
        ("people/ben.mp4", [], HOUR_S),
        ("Mr X.wav", ["BATCH"], 600),
        ("anna.mp4", ["BATCH"], HOUR_S),
    ],
)
def test_an_incomplete_file_of_one_part_does_not_hold_up_the_others_for_long(name, controls, wait_s):
    members = seen(*(entry(n) for n in {"en/v.wav", "zh/v2.wav", name}), *(entry(n, 0) for n in controls))
    inbox = InboxSettings(waiting_note_after_s=600, incomplete_fail_after_h=1)
    assert settle.incomplete_wait_s(inbox, members, name) == wait_s
    assert settle.incomplete_wait_s(inbox, seen(entry("v.wav"), entry("a.mp4"), entry("old/v.wav")), name) == HOUR_S


def test_a_copy_into_a_part_that_never_ended_fails_that_part_alone():
    read = classified(*files("anna.mp4", "en/v.wav", "fr/v.wav"))
    members = seen(*(c.entry for c in read), entry("zh/v.wav.part"), entry("fr/v.wav.part"), entry("fr/w.wav.part"))
    found = job_inputs.with_abandoned(read, members)
    job = batch.compose(
        members, found, batch.parts(members, found, None), JobSettings(), Render(), None, 1.0, {}, Limits()
    )
    assert {v.output: v.problem and (v.problem.code, v.problem.fields["name"]) for v in job.videos} == {
        "en/anna.mp4": None, "fr/anna.mp4": None, "zh/anna.mp4": ("file_incomplete", "zh/v.wav"),
    }  # fmt: skip
