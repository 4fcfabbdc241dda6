"""The register of network weights: what may lie in `models/`, what it must hash to, how it gets there.

Nothing is ever fetched by itself. A file enters the store only when its SHA-256 is the manifest's, under the manifest's
name, written beside it first and renamed, so that a renderer never loads half of one.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, get_args

import tomli
from pydantic import BaseModel, ConfigDict, Field

from .. import package_data
from ..errors import HeygemdError, InfrastructureError, InputError
from ..storage import atomic
from ..storage.atomic import AtomicFile
from . import file_type

BLOCK_BYTES = 1 << 20
FETCH_TIMEOUT_S = 60
TELLING = ("weights_web_page", "weights_pointer", "weights_onnx", "weights_cut_short", "weights_empty")
"""What can be said of a file that is none of ours besides that."""

State = Literal["present", "missing", "damaged"]
Report = Callable[[int], None]


class Model(BaseModel):
    """One file of weights.

    sha256   of the whole file, or its first digits where only those are published (torch hub puts them into names),
             or empty where nothing is: then `url` names a fixed revision, and `add` goes by the file's name
    shipped  it comes with the package, as `heygemd/<file>`; otherwise it lies in the models folder as `<file>`
    url      where `fetch` gets it; without one, somebody must bring the file to `add`
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
        """Return where this file belongs, given the models folder."""
        return package_data.PACKAGE / self.file if self.shipped else folder / self.file


def register() -> tuple[Model, ...]:
    """Return every model that heygemd knows."""
    return tuple(Model(**entry) for entry in tomli.loads(package_data.manifest())["model"])


def find(name: str) -> Model:
    """Return the model of that name. Raises InputError("model_unknown")."""
    known = {model.name: model for model in register()}
    if name not in known:
        raise InputError("model_unknown", name=name, known=sorted(known))
    return known[name]


def state(model: Model, folder: Path) -> State:
    """Return whether the file is there with the content it must have; reads all of it."""
    try:
        with model.path(folder).open("rb") as stream:
            digest = atomic.digest(_blocks(stream), atomic.sha256)
    except FileNotFoundError:
        return "missing"
    return "present" if digest.startswith(model.sha256) else "damaged"


def add(source: Path, folder: Path) -> Model:
    """Copy a file that somebody brought into the store and return which model it is, whatever it was called.

    Raises InputError("model_file_missing" | "model_not_known" | TELLING), InfrastructureError("models_unwritable").
    """
    try:
        with source.open("rb") as stream:
            digest = atomic.digest(_blocks(stream), atomic.sha256)
        for model in register():
            known = digest.startswith(model.sha256) if model.sha256 else _named(model, source)
            if known and not model.shipped:
                with source.open("rb") as stream:
                    _store(model, folder, _blocks(stream))
                return model
    except (FileNotFoundError, IsADirectoryError):
        raise InputError("model_file_missing", path=str(source)) from None
    if (what := file_type.kind(source)) in TELLING:
        raise InputError(what, name=source.name)
    raise InputError("model_not_known", path=str(source), sha256=digest)


def _named(model: Model, source: Path) -> bool:
    return source.name == model.file and file_type.kind(source) in get_args(file_type.Usable)


def fetch(model: Model, folder: Path, report: Report | None = None) -> None:
    """Download a model; `report` gets the bytes so far.

    Raises InputError("model_no_url" | "model_damaged") and
    InfrastructureError("model_fetch_failed" | "models_unwritable").
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
        raise InfrastructureError("models_unwritable", path=str(folder), reason=str(error)) from None
    with out:
        digest = atomic.digest(_copied(blocks, out), atomic.sha256)
        if not digest.startswith(model.sha256):
            raise InputError("model_damaged", name=model.name, sha256=digest)
        out.chmod(0o644)


def _blocks(stream: BinaryIO, report: Report | None = None) -> Iterator[bytes]:
    done = 0
    while block := stream.read(BLOCK_BYTES):
        done += len(block)
        if report is not None:
            report(done)
        yield block


def _copied(blocks: Iterator[bytes], out: AtomicFile) -> Iterator[bytes]:
    for block in blocks:
        out.write(block)
        yield block
