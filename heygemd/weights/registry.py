"""The registry of network weights: the manifest's models, whether their files are sound, and adding or fetching them.

Nothing is downloaded unless somebody asks for it. A file enters the models folder only if its SHA-256 is the
manifest's. It gets the manifest's name by a rename once it is complete, so that no renderer loads half of it.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, get_args

import tomli
from pydantic import BaseModel, ConfigDict, Field

from .. import package_data
from ..errors import HeygemdError, InfrastructureError, InputError, LocalDiskError
from ..storage import atomic
from ..storage.atomic import AtomicFile
from . import file_type

BLOCK_BYTES = 1 << 20
FETCH_TIMEOUT_S = 60
RECOGNISED = ("weights_web_page", "weights_pointer", "weights_onnx", "weights_cut_short", "weights_empty")
"""Kinds of unusable files that `add` reports as what they are, rather than as unknown."""

State = Literal["present", "missing", "damaged"]
Report = Callable[[int], None]


class Model(BaseModel):
    """One file of weights.

    sha256   of the whole file; only its first digits if no more are published (torch hub puts them into names);
             empty if none is: then `url` names a fixed revision, and `add` recognises the file by its name
    shipped  the package contains it, as `heygemd/<file>`; otherwise it lies in the models folder as `<file>`
    url      where `fetch` gets it; without one, the file can only be added by hand
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    file: str
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{10,64})?$")]
    size: int | None = None
    licence: str
    source: str
    purpose: str
    url: str = ""
    shipped: bool = False

    def path(self, folder: Path) -> Path:
        """Return the file's path, given the models folder."""
        return package_data.PACKAGE / self.file if self.shipped else folder / self.file


def known_models() -> tuple[Model, ...]:
    """Return every model of the manifest."""
    return tuple(Model(**entry) for entry in tomli.loads(package_data.manifest())["model"])


def find(name: str) -> Model:
    """Return the model of that name. Raises InputError("model_unknown")."""
    known = {model.name: model for model in known_models()}
    if name not in known:
        raise InputError("model_unknown", name=name, known=sorted(known))
    return known[name]


def state(model: Model, folder: Path) -> State:
    """Return whether the file exists and has the manifest's SHA-256; reads all of it."""
    try:
        digest = atomic.digest(atomic.blocks_of(model.path(folder)), atomic.sha256)
    except FileNotFoundError:
        return "missing"
    return "present" if digest.startswith(model.sha256) else "damaged"


def add(source: Path, folder: Path) -> Model:
    """Copy a file into the models folder and return which model it is, whatever its name.

    Raise InputError("model_file_missing" | "model_not_known") or InputError with a code of RECOGNISED, and
    LocalDiskError.
    """
    try:
        digest = atomic.digest(atomic.blocks_of(source), atomic.sha256)
        for model in known_models():
            known = digest.startswith(model.sha256) if model.sha256 else _has_name_of(model, source)
            if known and not model.shipped:
                _store(model, folder, atomic.blocks_of(source))
                return model
    except (FileNotFoundError, IsADirectoryError):
        raise InputError("model_file_missing", path=str(source)) from None
    if (kind := file_type.kind(source)) in RECOGNISED:
        raise InputError(kind, name=source.name)
    raise InputError("model_not_known", path=str(source), sha256=digest)


def _has_name_of(model: Model, source: Path) -> bool:
    return source.name == model.file and file_type.kind(source) in get_args(file_type.Usable)


def fetch(model: Model, folder: Path, report: Report | None = None) -> None:
    """Download a model; `report` gets the number of bytes so far.

    Raise InputError("model_no_url" | "model_damaged") or
    InfrastructureError("model_fetch_failed"), LocalDiskError.
    """
    if not model.url.startswith("https://"):
        raise InputError("model_no_url", name=model.name, source=model.source)
    try:
        with urllib.request.urlopen(model.url, timeout=FETCH_TIMEOUT_S) as stream:
            _store(model, folder, _blocks(stream, report))
    except HeygemdError:
        raise
    except OSError as error:
        raise InfrastructureError("model_fetch_failed", name=model.name, url=model.url, reason=str(error)) from None


def _store(model: Model, folder: Path, blocks: Iterator[bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        out = AtomicFile(model.path(folder))
    except OSError as error:
        raise LocalDiskError("models_unwritable", path=str(folder), reason=str(error)) from None
    try:
        digest = atomic.digest(_copied(blocks, out), atomic.sha256)
        if not digest.startswith(model.sha256):
            raise InputError("model_damaged", name=model.name, sha256=digest)
        with atomic.on_local_disk(out.target):
            out.chmod(0o644)
            out.publish()
    finally:
        out.discard()


def _blocks(stream: BinaryIO, report: Report | None) -> Iterator[bytes]:
    done = 0
    while block := stream.read(BLOCK_BYTES):
        done += len(block)
        if report is not None:
            report(done)
        yield block


def _copied(blocks: Iterator[bytes], out: AtomicFile) -> Iterator[bytes]:
    for block in blocks:
        with atomic.on_local_disk(out.target):
            out.write(block)
        yield block
