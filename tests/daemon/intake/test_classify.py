import json

import pytest

from heygemd.config.job_toml import JobSettings, SpeakerSettings, VideoSettings
from heygemd.config.schema import Limits, Render
from heygemd.daemon.intake import classify, filename_rules, manifest
from heygemd.daemon.intake.filename_rules import WAITING_NOTE
from heygemd.errors import InputError, NotReady
from heygemd.job import Media, Problem, Video
from heygemd.storage import share_fs
from heygemd.storage.share_fs import MAX_ENTRIES, Entry, Folder


def entry(name, size=1000, kind="file"):
    return Entry(name, kind, size, 1)


def seen(*entries):
    return classify.sort_members(Folder("job", entries, 1))


def classified(*pairs):
    return [classify.Classified(entry(name, size), kind) for name, kind, size in pairs]


def compose(members, sort=None, settings=JobSettings(), earlier=None):  # noqa: B008  frozen
    everything = sort or seen(*(j.entry for j in members))
    return classify.compose(everything, members, settings, Render(), earlier, 1.0)


def test_members_are_sorted_by_what_their_names_say():
    found = seen(
        entry("anna.mp4"), entry("voice.m4a"), entry(".DS_Store"), entry("x.part"), entry("notes.txt"), entry("READY"),
        entry("job.toml"), entry("deep/inner.mp4"), entry("originals/old.mp4"), entry("l.mp4", kind="link"),
    )  # fmt: skip
    assert [e.name for e in found.media] == ["anna.mp4", "voice.m4a", "originals/old.mp4"]
    assert [e.name for e in found.temporary] == ["x.part"]
    assert found.controls == {"ready"}
    assert found.settings == {"job.toml": "job.toml"}
    assert [e.name for e in found.nested] == ["deep/inner.mp4"]
    assert [(e.name, reason) for e, reason in found.left_out] == [
        ("notes.txt", "left_out_document"),
        ("l.mp4", "left_out_shortcut"),
    ]


def test_junk_does_not_change_the_signature_but_media_does():
    base = seen(entry("a.mp4"))
    assert seen(entry("a.mp4"), entry("._a.mp4"), entry(WAITING_NOTE)).signature == base.signature
    assert seen(entry("a.mp4", 1001)).signature != base.signature


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([("a.mp4", "video", 1)], "needs_audio"),
        ([("a.wav", "audio", 1)], "needs_video"),
        ([("a.wav", "audio", 1), ("b.wav", "audio", 1), ("c.mp4", "video", 1)], "too_many_audio"),
        ([], "needs_audio"),
    ],
)
def test_a_job_is_exactly_one_audio_and_some_videos(members, code):
    with pytest.raises(NotReady) as raised:
        compose(classified(*members))
    assert raised.value.code == code


def test_an_unreadable_video_fails_alone():
    members = classified(("v.wav", "audio", 5), ("a.mp4", "video", 6))
    members.append(classify.Classified(entry("b.mp4"), "video", Problem(code="media_unreadable")))
    job = compose(members)
    assert [(v.output, v.state) for v in job.videos] == [("a.mp4", "waiting"), ("b.mp4", "failed")]
    assert job.problem is None


def test_bounds_are_refused_with_their_own_words():
    small = Limits(max_files_per_job=1, max_file_gib=1e-9)
    with pytest.raises(InputError, match="too_many_files"):
        classify.check_bounds(seen(entry("a.mp4"), entry("b.mp4")), small)
    with pytest.raises(InputError, match="file_too_big"):
        classify.check_bounds(seen(entry("a.mp4")), small)
    with pytest.raises(NotReady, match="too_many_entries"):
        classify.check_bounds(seen(*(entry(f"{n}.jpg") for n in range(MAX_ENTRIES + 1))), small)
    classify.check_bounds(seen(entry(WAITING_NOTE), *(entry(f"{n}.jpg") for n in range(MAX_ENTRIES))), small)
    classify.check_bounds(seen(entry("a.mp4", 1), entry("b.xyz"), entry("c.xyz"), entry("d.jpg")), small)


@pytest.mark.parametrize("name", [".heygemd", "originals"])
def test_names_that_are_ours_must_be_folders(name):
    with pytest.raises(InputError, match="name_taken"):
        classify.check_bounds(seen(entry(name)), Limits())
    with pytest.raises(InputError, match="shortcut"):
        classify.check_bounds(seen(entry(name, kind="link")), Limits())
    classify.check_bounds(seen(entry(name, kind="dir")), Limits())


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


def speaking(job):
    return [
        (voice.name, speaker.face, speaker.at_s)
        for voice, speaker in zip(job.voices, job.settings.speakers, strict=True)
    ]


@pytest.mark.parametrize(
    "names", [("left.wav", "right.m4a"), ("audio/Left.wav", "audio/RIGHT.mp3"), ("右.wav", "左.wav")]
)
def test_voices_that_are_named_like_positions_are_those_of_speakers(names):
    job = compose(classified(*((name, "audio", 5) for name in names), ("a.mp4", "video", 6)))
    assert {face for _, face, _ in speaking(job)} == {"left", "right"}
    assert [media.name for media in job.shared] == [media.name for media in job.voices] and not job.notices


def two(face="right"):
    return JobSettings(
        speakers=(SpeakerSettings(voice="Anna", face="left"), SpeakerSettings(voice="b.wav", face=face, at_s=2))
    )


@pytest.mark.parametrize(
    ("names", "settings", "code"),
    [
        (("left.wav", "左.wav"), JobSettings(), "too_many_audio"),
        (("left.wav", "right.wav", "c.wav"), JobSettings(), "too_many_audio"),
        (("anna.wav", "c.wav"), two(), "needs_speaker_voice"),
    ],
)
def test_voices_that_nobody_can_speak(names, settings, code):
    with pytest.raises(NotReady) as raised:
        compose(classified(*((name, "audio", 5) for name in names), ("a.mp4", "video", 6)), settings=settings)
    assert raised.value.code == code


def test_a_new_voice_of_one_speaker_takes_the_place_of_his_old_one():
    files = [("anna.wav", "audio", 5), ("b.wav", "audio", 6), ("c.wav", "audio", 1), ("a.mov", "video", 7)]
    first = compose(classified(*files), settings=two())
    assert speaking(first) == [("anna.wav", "left", 0), ("b.wav", "right", 2)]
    assert [(n.code, n.fields["names"]) for n in first.notices] == [("left_out_replaced", ["c.wav"])]
    first.videos[0].state = "done"
    earlier = manifest.parse(manifest.compose(first, Render(), {"a.mp4": 60}))
    files = [(f"originals/{name}", kind, size) for name, kind, size in files] + [("a.mp4", "video", 60)]
    assert compose(classified(*files), settings=two(), earlier=earlier).videos[0].kept
    assert not compose(classified(*files), settings=two(2), earlier=earlier).videos[0].kept
    again = compose(classified(*files, ("B.WAV", "audio", 9)), settings=two(), earlier=earlier)
    assert [voice.name for voice in again.voices] == ["originals/anna.wav", "B.WAV"] and not again.videos[0].kept


def test_without_a_readable_manifest_all_is_made_anew_from_the_originals_and_never_from_results():
    members = [("originals/v.wav", "audio", 5), ("originals/a.mov", "video", 6), ("a.mp4", "video", 60)]
    job = compose(classified(*members, ("new.mp4", "video", 7)))
    assert [(v.source.name, v.kept) for v in job.videos] == [("originals/a.mov", False), ("new.mp4", False)]
    assert [media.name for media in job.extra] == ["a.mp4"]
    assert said(job) == {"left_out_replaced": ["a.mp4"]}


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


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"[" * 99_999, json.dumps({"voice": {"name": "../../etc"}}).encode()]
)
def test_a_broken_manifest_means_none(data):
    assert manifest.parse(data) is None


def test_records_keep_undecodable_names():
    video = Video(source=Media(name="caf\udce9.mp4", size=1, mtime_ns=1), output="x.mp4")
    assert json.loads(json.dumps(video.model_dump()))["source"]["name"] == "caf\udce9.mp4"


def test_a_forged_manifest_cannot_name_paths():
    forged = earlier_round()
    forged.made[0].video.output = "../../../../etc/passwd"
    members = classified(("originals/v.wav", "audio", 5), ("originals/a.mov", "video", 6), ("a.mp4", "video", 60))
    job = compose(members, earlier=forged)
    assert [(v.output, v.kept) for v in job.videos] == [("a.mp4", True)]


def chosen(*members):
    job = compose(classified(*members))
    return job.voice.name, [v.source.name for v in job.videos]


def said(job):
    return {notice.code: notice.fields["names"] for notice in job.notices}


def test_subfolders_are_used_for_what_the_top_lacks():
    voice, videos = ("voice.wav", "audio", 5), ("anna.mp4", "video", 6)
    nested = ("audio/v.wav", "audio", 7), ("video/a.mp4", "video", 8), ("video/b.mp4", "video", 9)
    assert chosen(*nested) == ("audio/v.wav", ["video/a.mp4", "video/b.mp4"])
    assert chosen(voice, *nested) == ("voice.wav", ["video/a.mp4", "video/b.mp4"])
    assert chosen(videos, *nested) == ("audio/v.wav", ["anna.mp4"])
    job = compose(classified(voice, videos, *nested))
    assert (job.voice.name, said(job)) == ("voice.wav", {"left_out_subfolder": [m[0] for m in nested]})


def video(name, sound=True):
    return classify.Classified(entry(name), "video", sound=sound)


def test_the_sound_of_a_video_is_the_voice_if_its_name_says_so():
    for name in ("voice.mp4", "声音.mov", "New Voice 2.mp4", "录音_最终.mp4", "Voice-over (3).webm"):
        job = compose([video("anna.mp4"), video(name)])
        assert (job.voice.name, [v.source.name for v in job.videos]) == (name, ["anna.mp4"]), name
        assert [(n.code, n.fields["name"]) for n in job.notices] == [("voice_from_video", name)]
    for named in ("anna voice.mp4", "sound check anna.mp4", "invoice.mp4", "王芳录音.mp4"):
        with pytest.raises(NotReady, match="needs_audio"):
            compose([video("anna.mp4"), video(named)])
    for members in ([video("voice.mp4")], [video("voice 1.mp4"), video("voice 2.mp4")], [video("voice.mp4", False)]):
        with pytest.raises(NotReady, match="needs_audio"):
            compose(members)
    with pytest.raises(NotReady, match="too_many_audio"):
        compose([video("anna.mp4"), video("voice 1.mp4"), video("voice 2.mp4")])


def test_a_video_named_as_a_voice_is_a_video_beside_a_voice_and_stays_the_voice_of_its_job():
    job = compose([video("voice.mp4"), *classified(("v.wav", "audio", 5))])
    assert (job.voice.name, [v.source.name for v in job.videos]) == ("v.wav", ["voice.mp4"])
    first = compose([video("anna.mov"), video("voice.mp4")])
    data = manifest.compose(first, Render(), {"anna.mp4": 60})
    kept = [video("originals/anna.mov"), video("originals/voice.mp4")]
    job = compose(kept, earlier=manifest.parse(data))
    assert (job.voice.name, [v.source.name for v in job.videos]) == ("originals/voice.mp4", ["originals/anna.mov"])
    job = compose([*kept, *classified(("new.wav", "audio", 5))], earlier=manifest.parse(data))
    assert (job.voice.name, [v.source.name for v in job.videos]) == ("new.wav", ["originals/anna.mov"])


def test_two_voices_in_one_subfolder_are_two_voices():
    with pytest.raises(NotReady, match="too_many_audio"):
        compose(classified(("audio/a.wav", "audio", 5), ("audio/b.wav", "audio", 6), ("video/a.mp4", "video", 7)))


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
    read.append(classify.Classified(entry("x.done"), None, Problem(code="left_out_not_media")))
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


def test_thousands_of_pictures_are_one_notice_and_not_read():
    members = seen(*(entry(f"{n:04d}.jpg") for n in range(2500)), entry("v.wav"), entry("a.mp4"))
    assert [e.name for e in classify.worth_reading(members.media, Limits())] == ["v.wav", "a.mp4"]
    (notice,) = compose(classified(("v.wav", "audio", 1000), ("a.mp4", "video", 1000)), members).notices
    assert notice.fields["count"] == 2500
    assert len(notice.fields["names"]) == 200
    others = seen(*(entry(f"{n:04d}.xyz") for n in range(2500)), entry("v.wav"))
    assert len(classify.worth_reading(others.media, Limits(max_files_per_job=3))) == 4


def test_a_missing_file_that_is_there_in_another_form_is_not_called_missing():
    for name, code in (("voice.rar", "needs_usable_audio"), ("cover.jpg", "needs_audio")):
        notices = classify.notices(seen(entry(name)), [])
        assert classify.explained(NotReady("needs_audio"), notices).code == code


def test_a_copy_that_never_ended_is_missed_where_nothing_else_arrived():
    found = seen(
        entry("anna.mp4"), entry(".anna.mp4.AbCdE1"), entry(".Zoe.mp4.CzpYz0"), entry("voice.m4a.part"),
        entry("notes.txt.part"),
    )  # fmt: skip
    assert [(c.kind, c.problem.code, c.problem.fields["name"]) for c in found.abandoned] == [
        ("video", "file_incomplete", "Zoe.mp4"),
        ("audio", "file_incomplete", "voice.m4a"),
    ]
    anna, voice = classified(("anna.mp4", "video", 1000), ("other.m4a", "audio", 1000))
    assert [c.kind for c in classify.with_abandoned([anna], found)] == ["video", "video", "audio"]
    everything = classify.with_abandoned([anna, voice], found)
    assert [c.kind for c in everything] == ["video", "audio", "video"], "there is a voice"
    job = compose(everything, found)
    assert [v.state for v in job.videos] == ["failed", "waiting"]
    assert {m.name for m in job.extra} == {".anna.mp4.AbCdE1", "voice.m4a.part", "notes.txt.part"}


def test_subtitles_are_shared_by_all_results():
    """A new one replaces that of its name in originals/; too many and too large ones are named."""
    files = [("v.wav", "audio", 1), ("a.mp4", "video", 2)]
    beside = [entry("text.ZH.srt"), entry("originals/text.zh.srt"), entry("originals/text.en.vtt"), entry("deep/x.srt"),
              entry("huge.ass", 1 << 30)]  # fmt: skip
    members = seen(*(entry(name, size) for name, _, size in files), *beside)
    job = compose(classified(*files), members)
    assert [media.name for media in job.subtitles] == ["originals/text.en.vtt", "text.ZH.srt"]
    assert {n.code: n.fields["names"] for n in job.notices} == {
        "left_out_replaced": ["originals/text.zh.srt"],
        "left_out_subtitles": ["huge.ass"],
        "left_out_subtitles_inside": ["deep/x.srt"],
    }
    assert [media.name for media in job.extra] == ["huge.ass"]
    off = compose(classified(*files), members, JobSettings(subtitles="off"))
    assert (off.subtitles, len(off.notices[0].fields["names"])) == ([], 4)
    assert off.notices[0].code == "left_out_subtitles_off"


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


def test_an_original_that_was_replaced_is_not_taken_again():
    """The new file lies in originals/ beside the old one, with a number."""
    files = [("voice.wav", "audio", 5), ("originals/voice.wav", "audio", 4), ("originals/a.mp4", "video", 2)]
    texts = [entry("text.zh.srt", 7), entry("originals/text.zh.srt", 6)]
    earlier = compose(classified(*files), seen(*(entry(name, size) for name, _, size in files), *texts))
    made = manifest.parse(manifest.compose(earlier, Render(), {}))
    files = [("originals/voice (2).wav", "audio", 5), *files[1:]]
    texts = [entry("originals/text.zh (2).srt", 7), entry("originals/text.zh.srt", 6)]
    job = compose(classified(*files), seen(*(entry(name, size) for name, _, size in files), *texts), earlier=made)
    assert job.voice.name == "originals/voice (2).wav"
    assert [media.name for media in job.subtitles] == ["originals/text.zh (2).srt"]


def looked_into(members, classified_so_far, named=(), limits=Limits(), earlier=None):  # noqa: B008  frozen
    return [e.name for e in classify.wanted_photos(members, classified_so_far, earlier, named, limits)]


def test_pictures_are_presenters_only_where_there_is_no_video():
    voice, photo, other = ("v.wav", "audio", 5), ("anna.jpg", "photo", 6), ("本.PNG", "photo", 7)
    members = seen(*(entry(name, size) for name, _, size in (voice, photo, other)), entry("more/x.jpg"))
    assert [e.name for e in members.photos] == ["anna.jpg", "本.PNG", "more/x.jpg"]
    assert looked_into(members, classified(voice)) == ["anna.jpg", "本.PNG"]
    job = compose(classified(voice, photo, other), members)
    assert [(v.source.name, v.output) for v in job.videos] == [("anna.jpg", "anna.mp4"), ("本.PNG", "本.mp4")]
    assert said(job) == {"left_out_picture": ["more/x.jpg"]}
    film = ("ben.mp4", "video", 8)
    assert looked_into(members, classified(voice, film)) == []
    job = compose(classified(voice, film), members)
    assert [v.source.name for v in job.videos] == ["ben.mp4"]
    assert said(job) == {"left_out_picture": ["anna.jpg", "本.PNG", "more/x.jpg"]}
    assert {media.name for media in job.extra} == {"anna.jpg", "本.PNG"}


def test_a_video_named_as_a_voice_is_the_voice_of_a_picture():
    film = classify.Classified(entry("录音.mp4", 5), "video", sound=True)
    members = seen(film.entry, entry("anna.jpg"))
    assert looked_into(members, [film]) == ["anna.jpg"]
    job = compose([film, *classified(("anna.jpg", "photo", 6))], members)
    assert (job.voice.name, [v.source.name for v in job.videos]) == ("录音.mp4", ["anna.jpg"])


def test_job_toml_asks_for_pictures_beside_videos():
    voice, film, photo = ("v.wav", "audio", 5), ("anna.mp4", "video", 8), ("anna.jpg", "photo", 6)
    members = seen(entry("v.wav"), entry("anna.mp4"), entry("anna.jpg"), entry("cover.png"))
    named = JobSettings(photos=("ANNA.jpg",))
    assert looked_into(members, classified(voice, film), named.photos) == ["anna.jpg"]
    job = compose(classified(voice, film, photo), members, named)
    assert [(v.source.name, v.output) for v in job.videos] == [("anna.jpg", "anna.mp4"), ("anna.mp4", "anna (2).mp4")]
    with pytest.raises(InputError, match="photo_unknown") as caught:
        looked_into(members, classified(voice, film), ["ben.jpg"])
    assert caught.value.fields == {"name": "ben.jpg", "known": ["anna.jpg", "cover.png"]}


def test_more_pictures_than_a_job_may_have_are_not_taken_by_themselves():
    members = seen(*(entry(f"{n}.jpg") for n in range(5)))
    with pytest.raises(NotReady, match="too_many_photos"):
        looked_into(members, classified(("v.wav", "audio", 5)), limits=Limits(max_files_per_job=4))


def test_the_result_of_a_picture_is_no_presenter_when_the_folder_comes_back():
    members = [("originals/v.wav", "audio", 5), ("anna.mp4", "video", 60)]
    everything = seen(*(entry(name, size) for name, _, size in members), entry("originals/anna.jpg"))
    assert looked_into(everything, classified(*members)) == ["originals/anna.jpg"]
    job = compose(classified(*members, ("originals/anna.jpg", "photo", 6)), everything)
    assert [v.source.name for v in job.videos] == ["originals/anna.jpg"]


def test_a_note_of_ours_in_a_full_folder_changes_nothing(tmp_path):
    """It pushed the last entry out of what was read: the folder counted as changed, and the note was withdrawn."""
    for n in range(MAX_ENTRIES + 2):
        (tmp_path / f"{n:05d}.jpg").touch()
    before = classify.sort_members(share_fs.read_folder(tmp_path, filename_rules.skip_dir))
    (tmp_path / WAITING_NOTE).touch()
    after = classify.sort_members(share_fs.read_folder(tmp_path, filename_rules.skip_dir))
    assert len(before.signature) == MAX_ENTRIES + 1 and before.signature == after.signature
