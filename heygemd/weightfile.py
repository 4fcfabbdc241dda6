"""What a file of weights is, told by its first bytes and its directory; nothing in it is loaded."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

HEAD_BYTES = 512

Usable = Literal["torch_zip", "torchscript", "torch_pickle"]
Unusable = Literal["missing", "folder", "unreadable", "empty", "web_page", "pointer", "onnx", "cut_short", "no_weights"]


def kind(path: Path) -> Usable | Unusable:
    """Return what lies at `path`: a PyTorch file of one of three layouts, or why it cannot be one.

    missing     no such file · folder, unreadable, empty as they say
    web_page    what a download link gave instead of the file
    pointer     git-lfs's note that the file is elsewhere
    onnx        an export for another program
    cut_short   a ZIP layout without its end
    no_weights  anything else
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except FileNotFoundError:
        return "missing"
    except IsADirectoryError:
        return "folder"
    except OSError:
        return "unreadable"
    return _archive(path) if head.startswith(b"PK") else _flat(head)


def _archive(path: Path) -> Usable | Unusable:
    if not zipfile.is_zipfile(path):
        return "cut_short"
    with zipfile.ZipFile(path) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
    if "data.pkl" not in names:
        return "no_weights"
    return "torchscript" if "constants.pkl" in names else "torch_zip"


def _flat(head: bytes) -> Usable | Unusable:
    if not head:
        return "empty"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<"):
        return "web_page"
    if text.startswith(b"version https://git-lfs"):
        return "pointer"
    if head.startswith(b"\x80\x02"):  # the pickle protocol that PyTorch has always used
        return "torch_pickle"
    if head[0] == 0x08 and any(maker in head for maker in (b"pytorch", b"onnx", b"tf2onnx")):
        return "onnx"
    return "no_weights"
