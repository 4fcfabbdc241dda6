"""The language of a subtitle file, from its name or its script: text.zh.srt, text.zh-CN.srt, 字幕.srt."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

UNKNOWN = "und"
_PAIRS = (
    "ar:ara bg:bul bn:ben bo:bod ca:cat cs:ces da:dan de:deu el:ell en:eng es:spa et:est eu:eus fa:fas fi:fin fil:fil "
    "fr:fra ga:gle gl:glg he:heb hi:hin hr:hrv hu:hun hy:hye id:ind is:isl it:ita ja:jpn ka:kat kk:kaz km:khm ko:kor "
    "lo:lao lt:lit lv:lav mk:mkd mn:mon ms:msa my:mya nb:nob ne:nep nl:nld no:nor pl:pol pt:por ro:ron ru:rus si:sin "
    "sk:slk sl:slv sq:sqi sr:srp sv:swe sw:swa ta:tam te:tel th:tha tr:tur ug:uig uk:ukr ur:urd uz:uzb vi:vie yue:yue "
    "zh:zho"
)
CODES = dict(pair.split(":") for pair in _PAIRS.split())
"""Language tags (BCP 47) and their codes in ISO 639-2/T, which MP4 has."""
BIBLIOGRAPHIC = {"chi": "zh", "cze": "cs", "dut": "nl", "fre": "fr", "ger": "de", "gre": "el", "per": "fa", "rum": "ro"}
ALIASES = {
    **dict.fromkeys(("zh_cn", "zh_sg", "zh_hans", "chs", "sc", "gb", "简体", "简中", "简体中文"), "zh_Hans"),
    **dict.fromkeys(
        ("zh_tw", "zh_hk", "zh_mo", "zh_hant", "cht", "tc", "big5", "繁体", "繁體", "繁中", "繁體中文"), "zh_Hant"
    ),
    **dict.fromkeys(("cn", "chinese", "中文", "中", "汉语", "国语", "普通话", "mandarin"), "zh"),
    "英文": "en",
    "英": "en",
    "日文": "ja",
    "日": "ja",
    "韩文": "ko",
    "韩": "ko",
    "jp": "ja",
    "kr": "ko",
    "粤语": "yue",
    "法文": "fr",
    "德文": "de",
    "俄文": "ru",
    "西班牙文": "es",
}
QUALIFIERS = {"forced", "sdh", "cc", "default"}
SCRIPTS = (
    ("ja", re.compile("[\u3041-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7a3]")),
    ("th", re.compile("[\u0e01-\u0e5b]")),
    ("zh", re.compile("[\u4e00-\u9fff]")),
)
"""Scripts that tell the language; Japanese and Korean texts may have Chinese characters too, so they come first."""
SCRIPT_SHARE = 0.1
SAMPLED_CHARS = 5000


class Language(NamedTuple):
    """Its code in ISO 639-2/T ("und": unknown) and its name in itself, "" if unknown."""

    code: str
    title: str


def of_file(name: str, texts: Iterable[str]) -> Language:
    """Return the language that a file's name gives; without one, the language that its texts' script tells."""
    return _language(_from_name(name) or _from_script(" ".join(texts)[:SAMPLED_CHARS]))


def _from_name(name: str) -> str:
    stem = re.sub(r" ?\(\d+\)$", "", name.rpartition(".")[0].casefold())
    words = [word for word in stem.split(".") if word not in QUALIFIERS]
    candidates = [words[-1] if words else "", re.split(r"[\s_()（）\[\]【】]+", stem.strip(")）]】 "))[-1]]
    found = (_tag(word.strip()) for word in candidates)
    return next(filter(None, found), "")


def _tag(word: str) -> str:
    """Return the language tag that a word means, "" if it means none."""
    word = word.replace("-", "_")
    for form in (word, word.partition("_")[0]):
        if form in ALIASES:
            return ALIASES[form]
        if form in CODES:
            return form
        if tag := BIBLIOGRAPHIC.get(form) or _terminological().get(form) or _names().get(form):
            return tag
    return ""


@cache
def _terminological() -> dict[str, str]:
    return {code: tag for tag, code in CODES.items()}


@cache
def _names() -> dict[str, str]:
    """Return the tags by the languages' names in English and Chinese."""
    from babel import Locale

    named = [Locale(language).languages for language in ("en", "zh")]
    return {str(names[tag]).casefold(): tag for names in named for tag in CODES if tag in names}


def _from_script(text: str) -> str:
    letters = sum(c.isalpha() for c in text)
    return next((tag for tag, script in SCRIPTS if len(script.findall(text)) > SCRIPT_SHARE * letters), "")


def _language(tag: str) -> Language:
    if not tag:
        return Language(UNKNOWN, "")
    from babel import Locale

    return Language(CODES[tag.partition("_")[0]], Locale.parse(tag).get_display_name() or "")
