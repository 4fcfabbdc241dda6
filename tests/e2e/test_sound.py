"""What staff can ask of the sound: the video's own under the voice, a loudness, a recording for the lips only."""

import json
import subprocess

from tests.media_factory import ffmpeg

from .test_render_one import render


def sound_of(path):
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "a", "-show_streams", "-of", "json", path],
        capture_output=True,
        check=True,
    )
    (stream,) = json.loads(shown.stdout)["streams"]
    return stream["codec_name"], stream["sample_rate"], stream["channels"]


def test_a_folder_asks_for_all_of_it(site, media, tmp_path):
    """One video with music, one without sound; the voice has music in it and comes with a clean one for the lips."""
    music = tmp_path / "music.mp4"
    ffmpeg("-i", media.face, "-f", "lavfi", "-i", "sine=300:d=1", "-c:v", "copy", "-ac", "2", "-c:a", "aac", music)
    mixed = tmp_path / "mixed.wav"
    ffmpeg("-i", media.voice, "-f", "lavfi", "-i", "sine=200:d=1.5", "-filter_complex", "amix=duration=longest", mixed)
    folder = site.drop("talk", voice__wav=mixed, music__mp4=music, silent__mp4=media.face)
    (folder / "voice.口型.m4a").write_bytes(media.voice.read_bytes())
    (folder / "job.toml").write_text('original_sound = "keep"\noriginal_sound_db = -12\nloudness = "-16 LUFS"\n')
    site.start()
    done = site.finished("talk")
    assert sound_of(done / "music.mp4") == ("aac", "48000", 2)
    assert sound_of(done / "silent.mp4") == ("aac", "32000", 1)
    assert {p.name for p in (done / "originals").iterdir()} >= {"voice.wav", "voice.口型.m4a"}
    report = (done / "report.html").read_text()
    for said in ("The video has no sound of its own", "lips: voice.口型.m4a", "differ in length", "-12", "LUFS"):
        assert said in report, said
    videos = {video["output"]: video for video in site.records()[0]["videos"]}
    told = {name: {each["code"]: each["fields"] for each in video["notices"]} for name, video in videos.items()}
    codes = {name: set(fields) for name, fields in told.items()}
    assert "original_sound_none" in codes["silent.mp4"] - codes["music.mp4"]
    assert "lips_voice_length" in codes["music.mp4"] & codes["silent.mp4"]
    for name, video in videos.items():
        assert told[name]["lips_voice_length"] == {"voice_s": 1.5, "lips_s": 1.0}
        lufs = video["result"]["loudness_lufs"]
        missed = {"target_lufs": -16.0, "lufs": lufs} if abs(lufs + 16) > 0.5 else None
        assert told[name].get("loudness_missed") == missed
    done.rename(site.share / "inbox" / "talk")
    assert "left unchanged" in (site.finished("talk") / "report.html").read_text()


def test_a_loudness_that_is_none_is_refused(site, media, tmp_path):
    done = render(site, media.voice, media.face, tmp_path / "out.mp4", "--set", "loudness=-16")
    assert "-16 LUFS" in done.stderr and not (tmp_path / "out.mp4").exists()
