"""job.toml: only a safe subset of the settings, and short errors."""

from __future__ import annotations

import pytest

from heygemd.config import job_toml, schema, staff_text
from heygemd.errors import InputError
from heygemd.i18n import catalog

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "gb18030"]


def test_job_toml_cannot_name_paths_or_commands() -> None:
    with pytest.raises(InputError) as raised:
        job_toml.load_job(b'engine = "mesh"\nshare = "/etc"\n[paths]\nstate = "/"\n')
    assert raised.value.code == "job_toml_invalid"
    assert len(raised.value.fields["mistakes"]) == 2


@pytest.mark.parametrize(
    "text", [b"priority = " + b"[" * 30_000, b"priority = " + b"9" * 5000, b"k" * 60_000 + b" = 1", b"\0\xff" * 99]
)
def test_any_invalid_job_toml_gives_a_short_error(text: bytes) -> None:
    with pytest.raises(InputError) as caught:
        job_toml.load_job(text)
    assert len(str(caught.value)) < 1000


def test_a_large_job_toml_is_not_parsed() -> None:
    with pytest.raises(InputError) as caught:
        job_toml.load_job(b"#" * (job_toml.MAX_BYTES + 1))
    assert [mistake["code"] for mistake in caught.value.fields["mistakes"]] == ["job_toml_large"]


def test_job_toml_overrides_the_safe_subset() -> None:
    overrides = job_toml.load_job(b'quality = "high"\npriority = 3\n')
    render = overrides.apply(schema.Render())
    assert render == schema.Render(quality="high")


def test_a_video_may_have_settings_of_its_own() -> None:
    text = 'face = "左"\n[videos."Anna.MP4"]\nface = "2"\n[videos.ben]\nface = "Middle"\n'
    overrides = job_toml.load_job(text.encode())
    chosen = [overrides.apply(schema.Render(), title).face for title in ("anna.mp4", "ben.mov", "other.mp4", "")]
    assert chosen == [2, "middle", "left", "left"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_notepad_saves_in_several_ways(encoding: str, line_end: str) -> None:
    lines = ["# 高质量", 'quality = "high"', 'presenters = ["王芳"]', ""]
    found = job_toml.load_job(line_end.join(lines).encode(encoding))
    assert (found.quality, found.presenters) == ("high", ("王芳",))


def test_western_europes_code_page_is_told_from_chinese_ones() -> None:
    for text in ("Zoë", "Zoë\r\nJürgen", "# Müller hält die Rede\nÅsa", "José, Chloé", "“Zoë”"):
        assert staff_text.decode(text.encode("cp1252")) == (text.replace("\r", ""), True), text
    for text in ("王芳", "朱镕基", "王珺\nAnna", "# 高质量 a\nBen", "李喆，张三", "Ben Müller 王珺", "€ 王"):
        assert staff_text.decode(text.encode("gb18030")) == (text, False), text
    assert staff_text.decode("Zoë".encode()) == ("Zoë", False)
    assert staff_text.decode("王芳".encode("gb18030")[:-1]) == ("王", False), "a long file is not read whole"


def test_the_names_that_exist_decide_in_which_code_page_a_text_is() -> None:
    both = "éF".encode("cp1252")
    assert both == "镕".encode("gb18030")
    assert staff_text.decode(both, ["Anna", "ÉF"]) == ("éF", True)
    assert staff_text.decode(both, ["Anna", "镕"]) == ("镕", False)
    assert job_toml.load_job(b'presenters = ["' + both + b'"]', known=["éf"]).presenters == ("éF",)


def test_utf_16_of_either_byte_order_is_read() -> None:
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        assert job_toml.load_job(mark + "priority = 3\r\n".encode(encoding)).priority == 3


@pytest.mark.parametrize(
    ("text", "english", "chinese"),
    [
        (
            'priority = 2\nquality = "hihg"',
            'Line 2: "quality" cannot be "hihg"; possible: draft, standard, and high.',
            "第 2 行：“quality”不能是“hihg”，可以是：draft、standard和high。",
        ),
        ("\n\nqualty = 1", 'Line 3: there is no setting "qualty"; possible: quality.', "第 3 行：没有“qualty”这项设置"),
        (
            "quality ＝ “high”",
            'Line 1 ("quality ＝ “high”") cannot be understood',
            "第 1 行（“quality ＝ “high””）无法识别",
        ),
        ("priority = 99", 'Line 1: "priority" cannot be "99"; possible: -9 … 9.', "可以是：-9 … 9。"),
        ('\nengine = "hyegem"', 'Line 2: "engine" cannot be "hyegem"; possible: mesh', "第 2 行"),
        ('language = "fr"', "possible: en and zh.", "可以是：en和zh。"),
        ("presenters = 3", 'possible: ["Anna", "Ben"].', '可以是：["Anna", "Ben"]。'),
        ('audio_longer = "x"', "possible: pingpong, loop, hold, and trim.", "第 1 行"),
        (
            'priority = 1\nface = "up"',
            'Line 2: "face" cannot be "up"; possible: largest, left, right, middle, and 1',
            "1 … 6",
        ),
        ("face = true", 'Line 1: "face" cannot be "True"', "第 1 行"),
        ('[videos."a.mp4"]\nface = 9', 'Line 2: "face" cannot be "9"; possible: largest', "第 2 行"),
        ('face = 1\n\n[videos."a.mp4"]\n\nfce = 9', 'Line 5: there is no setting "fce"; possible: face.', "第 5 行"),
        ("[videos.anna.mp4]\nface = 1", 'in quotation marks: [videos."anna.mp4"].', '[videos."anna.mp4"]'),
        ("videos = 3", 'Line 1: "videos" cannot be "3"; possible: [videos."anna.mp4"].', "第 1 行"),
        ('[[speakers]]\nvoice = "a"\nface = 1', "Line 1: there are 1 speakers; possible: 2, 3 or 4.", "第 1 行"),
        ('[[speakers]]\nvoice = "a"\nface = 1\n' * 5, "Line 1: there are 5 speakers; possible: 2, 3 or 4.", "5 个"),
        ('[[speakers]]\nvoice = "a"\nface = "左"\n' * 2, 'Line 1: two speakers have the face "left"', "“left”"),
        ('[[speakers]]\nvoice = "a"\nface = 1\n[[speakers]]\nface = 2', 'Line 4: "voice" is missing here.', "缺少"),
        (
            '[[speakers]]\nvoice = "a"\nface = 1\n\n[[speakers]]\nvoice = 2\nface = 2',
            'Line 6: "voice" cannot be "2"',
            "第",
        ),
        ("[[speakers]]\nat = 3", 'Line 2: there is no setting "at"; possible: at_s.', "第 2 行"),
        ("tracker = 1", "possible: auto, facemesh, and face-alignment.", "第 1 行"),
    ],
)
def test_a_mistake_is_told_with_its_line_in_both_languages(text: str, english: str, chinese: str) -> None:
    with pytest.raises(InputError) as raised:
        job_toml.load_job(text.encode())
    code, fields = raised.value.code, raised.value.fields
    assert english in catalog.text(code, fields, "en")
    assert chinese in catalog.text(code, fields, "zh")


@pytest.mark.parametrize(
    "value", ['"-16"', "-16", '"-40 LUFS"', '"-3 LUFS"', '"-16 dB"', '"16 LUFS"', '"nan LUFS"', '""']
)
def test_a_loudness_has_its_unit_and_a_sane_value(value):
    with pytest.raises(InputError) as caught:
        job_toml.load_job(f"loudness = {value}\n".encode())
    (mistake,) = caught.value.fields["mistakes"]
    assert mistake["fields"]["known"] == ["off", "-31 LUFS … -9 LUFS"]
    assert job_toml.load_job(b'loudness = "-14.5 lufs"').loudness == "-14.5 lufs"


@pytest.mark.parametrize("value", ["7", "-61", '"loud"', "nan", "-inf"])
def test_the_level_of_the_original_sound_has_bounds(value):
    with pytest.raises(InputError):
        job_toml.load_job(f"original_sound_db = {value}\n".encode())
