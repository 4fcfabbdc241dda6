"""Which files of a folder are the voice, the presenters and the subtitles."""

import pytest

from heygemd.config.job_toml import JobSettings, SpeakerSettings
from heygemd.config.schema import Limits, Render
from heygemd.daemon.intake import job_inputs, manifest
from heygemd.errors import InputError, NotReady

from .dropped_files import classified, compose, entry, said, seen


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


def chosen(*members):
    job = compose(classified(*members))
    return job.voice.name, [v.source.name for v in job.videos]


def test_subfolders_are_used_for_what_the_top_lacks():
    voice, videos = ("voice.wav", "audio", 5), ("anna.mp4", "video", 6)
    nested = ("audio/v.wav", "audio", 7), ("video/a.mp4", "video", 8), ("video/b.mp4", "video", 9)
    assert chosen(*nested) == ("audio/v.wav", ["video/a.mp4", "video/b.mp4"])
    assert chosen(voice, *nested) == ("voice.wav", ["video/a.mp4", "video/b.mp4"])
    assert chosen(videos, *nested) == ("audio/v.wav", ["anna.mp4"])
    job = compose(classified(voice, videos, *nested))
    assert (job.voice.name, said(job)) == ("voice.wav", {"left_out_subfolder": [m[0] for m in nested]})


def video(name, sound=True):
    return job_inputs.Classified(entry(name), "video", sound=sound)


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


def test_a_copy_that_never_ended_is_missed_where_nothing_else_arrived():
    found = seen(
        entry("anna.mp4"), entry(".anna.mp4.AbCdE1"), entry(".Zoe.mp4.CzpYz0"), entry("voice.m4a.part"),
        entry("notes.txt.part"),
    )  # fmt: skip
    assert [(c.kind, c.problem.code, c.problem.fields["name"]) for c in job_inputs.abandoned(found)] == [
        ("video", "file_incomplete", "Zoe.mp4"),
        ("audio", "file_incomplete", "voice.m4a"),
    ]
    anna, voice = classified(("anna.mp4", "video", 1000), ("other.m4a", "audio", 1000))
    assert [c.kind for c in job_inputs.with_abandoned([anna], found)] == ["video", "video", "audio"]
    everything = job_inputs.with_abandoned([anna, voice], found)
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


def test_an_original_that_was_replaced_is_not_taken_again():
    """It lies in originals/ beside the new one, and its name says so: a lost manifest changes nothing."""
    files = [("originals/voice.wav", "audio", 5), ("originals/a.mov", "video", 2)]
    replaced = ("originals/voice (replaced).wav", "originals/a (replaced).mov", "originals/text (replaced).srt")
    members = seen(*(entry(name) for name, _, _ in files), entry("originals/text.srt"), *map(entry, replaced))
    assert [e.name for e in members.media] == [name for name, _, _ in files]
    job = compose(classified(*files), members)
    assert [media.name for media in job.inputs()] == [*(name for name, _, _ in files[:1]), "originals/text.srt",
                                                      "originals/a.mov"]  # fmt: skip
    assert said(job) == {"left_out_replaced": list(replaced)}


def looked_into(members, classified_so_far, named=(), limits=Limits(), earlier=None):  # noqa: B008  frozen
    return [e.name for e in job_inputs.wanted_photos(members, classified_so_far, earlier, named, limits)]


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
    film = job_inputs.Classified(entry("录音.mp4", 5), "video", sound=True)
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
    with pytest.raises(InputError, match="no_photos"):
        looked_into(seen(entry("v.wav"), entry("anna.mp4")), classified(voice, film), ["ben.jpg"])


def test_more_pictures_than_a_job_may_have_are_not_taken_by_themselves():
    members = seen(*(entry(f"{n}.jpg") for n in range(5)))
    with pytest.raises(NotReady, match="too_many_photos") as caught:
        looked_into(members, classified(("v.wav", "audio", 5)), limits=Limits(max_files_per_job=4))
    assert caught.value.fields == {"count": 5, "limit": 4}


def test_the_result_of_a_picture_is_no_presenter_when_the_folder_comes_back():
    members = [("originals/v.wav", "audio", 5), ("anna.mp4", "video", 60)]
    everything = seen(*(entry(name, size) for name, _, size in members), entry("originals/anna.jpg"))
    assert looked_into(everything, classified(*members)) == ["originals/anna.jpg"]
    job = compose(classified(*members, ("originals/anna.jpg", "photo", 6)), everything)
    assert [v.source.name for v in job.videos] == ["originals/anna.jpg"]
