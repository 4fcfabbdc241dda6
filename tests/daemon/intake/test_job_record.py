"""What is rendered, what an earlier round left, and what is said of files that are not used."""

import pytest

from heygemd.config.job_toml import JobSettings, VideoSettings
from heygemd.config.schema import Render
from heygemd.daemon.intake import job_record, manifest
from heygemd.daemon.intake.job_inputs import Classified
from heygemd.errors import NotReady
from heygemd.job import Problem

from .dropped_files import classified, compose, entry, said, seen


def test_an_unreadable_video_fails_alone():
    members = classified(("v.wav", "audio", 5), ("a.mp4", "video", 6))
    members.append(Classified(entry("b.mp4"), "video", Problem(code="media_unreadable")))
    job = compose(members)
    assert [(v.output, v.state) for v in job.videos] == [("a.mp4", "waiting"), ("b.mp4", "failed")]
    assert job.problem is None


def test_a_result_is_not_named_as_a_folder_that_is_there():
    members = classified(("v.wav", "audio", 5), ("anna.mov", "video", 6))
    job = compose(members, seen(*(j.entry for j in members), entry("Anna.mp4", kind="dir")))
    assert [v.output for v in job.videos] == ["anna (2).mp4"]


def earlier_round():
    first = compose(classified(("v.wav", "audio", 5), ("a.mov", "video", 6), ("b.mov", "video", 7)))
    first.videos[0].state = "done"
    first.videos[1].state = "failed"
    data = manifest.compose(first, Render(), {"a.mp4": 60})
    return manifest.parse(data)


def second_round(*extra, drop=(), settings=JobSettings()):  # noqa: B008  frozen
    members = [
        ("originals/v.wav", "audio", 5),
        ("originals/a.mov", "video", 6),
        ("originals/b.mov", "video", 7),
        ("a.mp4", "video", 60),
    ]
    members = [m for m in members if m[0] not in drop] + list(extra)
    return compose(classified(*members), settings=settings, earlier=earlier_round())


def test_dragged_back_only_what_is_missing_is_rendered():
    job = second_round()
    assert [(v.source.name, v.state, v.kept) for v in job.videos] == [
        ("originals/a.mov", "done", True),
        ("originals/b.mov", "waiting", False),
    ]


def test_a_setting_for_one_video_renders_only_that_one_again():
    settings = JobSettings(videos={"a.mov": VideoSettings(face="left")})
    assert [v.state for v in second_round(settings=settings).videos] == ["waiting", "waiting"]
    settings = JobSettings(videos={"B": VideoSettings(face="left")})
    assert [v.state for v in second_round(settings=settings).videos] == ["done", "waiting"]


def test_a_video_that_job_toml_names_must_be_there():
    with pytest.raises(NotReady) as raised:
        second_round(settings=JobSettings(videos={"ana.mov": VideoSettings(face="left")}))
    assert (raised.value.code, raised.value.fields) == (
        "needs_named_video",
        {"name": "ana.mov", "names": ["a.mov", "b.mov"]},
    )


def test_a_result_that_was_deleted_is_made_again():
    assert [v.state for v in second_round(drop=("a.mp4",)).videos] == ["waiting", "waiting"]


def test_a_new_voice_replaces_the_old_one_and_renders_everything():
    job = second_round(("new.wav", "audio", 9))
    assert job.voice.name == "new.wav"
    assert [v.state for v in job.videos] == ["waiting", "waiting"]


def test_other_settings_render_everything():
    assert [v.state for v in second_round(settings=JobSettings(quality="high")).videos] == ["waiting", "waiting"]


def test_a_new_video_joins_and_one_of_the_same_name_replaces():
    job = second_round(("c.mp4", "video", 8), ("b.mov", "video", 99))
    assert [(v.source.name, v.state) for v in job.videos] == [
        ("originals/a.mov", "done"),
        ("b.mov", "waiting"),
        ("c.mp4", "waiting"),
    ]


def test_a_forged_manifest_cannot_name_paths():
    forged = earlier_round()
    forged.made[0].video.output = "../../../../etc/passwd"
    members = classified(("originals/v.wav", "audio", 5), ("originals/a.mov", "video", 6), ("a.mp4", "video", 60))
    job = compose(members, earlier=forged)
    assert [(v.output, v.kept) for v in job.videos] == [("a.mp4", True)]


def test_every_file_that_is_not_used_is_named_with_its_reason():
    names = [
        "cover.jpg",
        "all.zip",
        "brief.pdf",
        "site.url",
        "ben.mp4.lnk",
        "job.toml.txt",
        "job.toml",
        "x.done",
        "D.LRF",
    ]
    names += ["raw/deep", "raw/cut.mp4"]
    kinds = {"raw/deep": "dir"}
    members = seen(
        entry("v.wav"), entry("a.mp4"), *(entry(name, kind=kinds.get(name, "file")) for name in sorted(names))
    )
    read = classified(("v.wav", "audio", 1000), ("a.mp4", "video", 1000))
    read.append(Classified(entry("x.done"), None, Problem(code="left_out_not_media")))
    job = compose(read, members)
    assert said(job) == {
        "left_out_archive": ["all.zip"],
        "left_out_shortcut": ["ben.mp4.lnk"],
        "left_out_not_media": ["x.done"],
        "left_out_subfolder": ["raw/cut.mp4"],
        "left_out_deep": ["raw/deep"],
        "left_out_preview": ["D.LRF"],
        "left_out_replaced": ["job.toml.txt"],
        "left_out_picture": ["cover.jpg"],
        "left_out_document": ["brief.pdf", "site.url"],
    }
    moved = {"cover.jpg", "all.zip", "brief.pdf", "site.url", "ben.mp4.lnk", "job.toml.txt", "x.done", "D.LRF"}
    assert {media.name for media in job.extra} == moved


def test_files_of_an_earlier_round_that_newer_ones_replace_are_named():
    job = second_round(("new.wav", "audio", 9), ("b.mov", "video", 99))
    assert said(job) == {"left_out_replaced": ["originals/v.wav", "originals/b.mov"]}
    assert second_round().notices == []


def test_a_missing_file_that_is_there_in_another_form_is_not_called_missing():
    for name, code in (("voice.rar", "needs_usable_audio"), ("cover.jpg", "needs_audio")):
        notices = job_record.notices(seen(entry(name)), [])
        assert job_record.explained(NotReady("needs_audio"), notices).code == code


def test_results_are_kept_only_while_their_subtitles_are_the_same():
    files = [("originals/v.wav", "audio", 1), ("originals/a.mp4", "video", 2)]
    old, result = entry("originals/text.srt", 7), entry("a.mp4", 3)
    everything = [*(entry(name, size) for name, _, size in files), result]
    job = compose(classified(*files), seen(*everything, old))
    job.videos[0].state = "done"
    made = manifest.parse(manifest.compose(job, Render(), {"a.mp4": 3}))
    del made.made[0].settings["subtitles"]  # as an earlier version wrote it
    of_now = [*classified(*files), *classified(("a.mp4", "video", 3))]
    for more, kept in (([old], True), ([], False), ([entry("originals/text.srt", 8)], False),
                       ([entry("text.srt", 7), old], False), ([old, entry("text.en.srt")], False)):  # fmt: skip
        again = compose(of_now, seen(*everything, *more), earlier=made)
        assert again.videos[0].kept == kept, more
    assert not compose(of_now, seen(*everything, old), JobSettings(subtitles="off"), made).videos[0].kept


def test_a_result_is_kept_only_while_its_template_has_the_time_it_had():
    """One that was replaced may have the same size; it lies in no originals/."""
    voice, template = entry("v.wav", 5), entry("../../templates/anna.mov", 6)
    first = compose([Classified(voice, "audio"), Classified(template, "video")])
    first.videos[0].state = "done"
    earlier = manifest.parse(manifest.compose(first, Render(), {"anna.mp4": 60}))
    back = classified(("originals/v.wav", "audio", 5), ("anna.mp4", "video", 60))
    for now, kept in ((template, True), (template._replace(mtime_ns=2), False)):
        found = [*back, Classified(now, "video")]
        everything = seen(*(each.entry for each in back))
        assert [v.kept for v in compose(found, everything, earlier=earlier).videos] == [kept]
