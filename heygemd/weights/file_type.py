"""What a weights file is, recognised by its first bytes and its directory; nothing in it is loaded."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal, get_args

from ..errors import NotInstalled

HEAD_BYTES = 512

Usable = Literal["torch_zip", "torchscript", "torch_pickle"]
Unusable = Literal[
    "weights_missing",
    "weights_folder",
    "weights_unreadable",
    "weights_empty",
    "weights_web_page",
    "weights_pointer",
    "weights_onnx",
    "weights_cut_short",
    "weights_none",
]
"""Message codes."""


def require_torch_file(path: Path) -> Usable:
    """Return the layout of a PyTorch file. Raise NotInstalled(code of Unusable, path=..., name=...) for any other."""
    found = kind(path)
    if found in get_args(Unusable):
        raise NotInstalled(found, path=str(path), name=path.name)
    return found  # type: ignore[return-value]  # mypy cannot follow get_args


def kind(path: Path) -> Usable | Unusable:
    """Return the kind of file at `path`: a PyTorch file of one of three layouts, or why it cannot be one.

    "weights_pointer" is a git-lfs pointer, "weights_web_page" a page that a download link returned instead of the file.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except FileNotFoundError:
        return "weights_missing"
    except IsADirectoryError:
        return "weights_folder"
    except OSError:
        return "weights_unreadable"
    return _archive(path) if head.startswith(b"PK") else _flat(head)


def _archive(path: Path) -> Usable | Unusable:
    if not zipfile.is_zipfile(path):
        return "weights_cut_short"
    with zipfile.ZipFile(path) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
    if "data.pkl" not in names:
        return "weights_none"
    return "torchscript" if "constants.pkl" in names else "torch_zip"


def _flat(head: bytes) -> Usable | Unusable:
    if not head:
        return "weights_empty"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<"):
        return "weights_web_page"
    if text.startswith(b"version https://git-lfs"):
        return "weights_pointer"
    if head.startswith(b"\x80\x02"):  # the pickle protocol that PyTorch has always used
        return "torch_pickle"
    if head[0] == 0x08 and any(maker in head for maker in (b"pytorch", b"onnx", b"tf2onnx")):
        return "weights_onnx"
    return "weights_none"
