"""Text files as staff write them: Notepad saves UTF-8 or UTF-16 with a byte-order mark, or the system's code page."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Collection
from typing import NamedTuple

BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
CHINESE, WESTERN = "gb18030", "cp1252"
USUAL_SHARE = 0.8


class Text(NamedTuple):
    """A text with plain line ends; `is_western`: it is in Windows' code page of western Europe, as far as one can tell.

    Most files are in UTF-8. Nothing in the others tells the code page: it is chosen by what the text then says.
    """

    text: str
    is_western: bool = False


def decode(data: bytes, known: Collection[str] = ()) -> Text:
    """Return the text; bytes that are no text in any of these encodings become replacements.

    A character that is cut off at the end is left out, because long files are not read whole.

    known  names that the text may hold: the code page in which it does is the right one
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return Text(_plain(codecs.getincrementaldecoder(encoding)("replace").decode(data[len(mark) :])))
    for whole in (True, False):
        utf_8 = _decoded(data, "utf-8", whole)
        if utf_8 is not None and (whole or not utf_8.isascii()):
            return Text(utf_8)
    chinese, western = _decoded(data, CHINESE), _decoded(data, WESTERN)
    if western is not None and _is_rather_western(chinese, western, known):
        return Text(western, is_western=True)
    return Text(chinese or _decoded(data, CHINESE, whole=False) or _plain(data.decode("utf-8", "replace")))


def decode_strictly(data: bytes) -> str:
    """Return the text with plain line ends. Raises UnicodeDecodeError for bytes that are no text in these encodings.

    Nearly all bytes are characters of GB18030 somehow; text has mostly those that GB 2312 has, too.
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return _plain(data[len(mark) :].decode(encoding))
    if b"\0" in data:
        raise UnicodeDecodeError("utf-8", data[:0], 0, 0, "binary")
    text = _decoded(data, "utf-8")
    if text is None:
        chinese, western = _decoded(data, CHINESE), _decoded(data, WESTERN)
        if western is not None and _is_rather_western(chinese, western, ()):
            return western
        foreign = [c for c in chinese or "" if not c.isascii()]
        usual = sum(len(c.encode("gb2312", "ignore")) > 0 for c in foreign)
        if chinese is None or usual < USUAL_SHARE * len(foreign):
            raise UnicodeDecodeError(CHINESE, data[:0], 0, 0, "unusual characters")
        text = chinese
    return text


def _decoded(data: bytes, encoding: str, whole: bool = True) -> str | None:
    try:
        return _plain(codecs.getincrementaldecoder(encoding)("strict").decode(data, whole))
    except UnicodeDecodeError:
        return None


def _is_rather_western(chinese: str | None, western: str, known: Collection[str]) -> bool:
    """Judge a text that is valid in the western code page; `chinese`: the same bytes, if they are valid there too.

    Western words hold few letters beyond ASCII. Most Chinese texts hold none but the characters of GB 2312, which two
    such letters would make; one of them and a letter of ASCII make a rare character.
    """
    if chinese is not None:
        names = {_folded(name) for name in known if not name.isascii()}
        in_chinese, in_western = (sum(name in _folded(text) for name in names) for text in (chinese, western))
        if in_chinese != in_western:
            return in_western > in_chinese
        if _is_gb_2312(chinese):
            return False
    return all(2 * sum(not c.isascii() for c in word) < len(word) for word in re.findall(r"\w+", western))


def _is_gb_2312(text: str) -> bool:
    try:
        return bool(text.encode("gb2312"))
    except UnicodeEncodeError:
        return False


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
