"""Text files as staff write them: Notepad saves UTF-8 or UTF-16 with a byte-order mark, or the system's code page."""

from __future__ import annotations

import codecs

BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
CANDIDATES = ("utf-8", "gb18030")
USUAL_SHARE = 0.8


def decode(data: bytes) -> str:
    """Return the text with plain line ends; bytes that are no text in any of these encodings become replacements.

    A character that is cut off at the end is left out, because long files are not read whole.
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return _plain(_decoded(data[len(mark) :], encoding, "replace"))
    for encoding in CANDIDATES:
        try:
            return _plain(_decoded(data, encoding, "strict"))
        except UnicodeDecodeError:
            continue
    return _plain(data.decode("utf-8", "replace"))


def decode_strictly(data: bytes) -> str:
    """Return the text with plain line ends. Raises UnicodeDecodeError for bytes that are no text in these encodings.

    Nearly all bytes are characters of GB18030 somehow; text has mostly those that GB 2312 has, too.
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return _plain(data[len(mark) :].decode(encoding))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("gb18030")
        foreign = [c for c in text if not c.isascii()]
        usual = sum(len(c.encode("gb2312", "ignore")) > 0 for c in foreign)
        if usual < USUAL_SHARE * len(foreign):
            raise UnicodeDecodeError("gb18030", data[:0], 0, 0, "unusual characters") from None
    if "\0" in text:
        raise UnicodeDecodeError("utf-8", data[:0], 0, 0, "binary")
    return _plain(text)


def _decoded(data: bytes, encoding: str, errors: str) -> str:
    return codecs.getincrementaldecoder(encoding)(errors).decode(data)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
