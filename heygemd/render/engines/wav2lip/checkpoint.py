"""Loads a Wav2Lip checkpoint in any layout in use, or finds out what the file is instead.

Nothing in a file is ever run: PyTorch's own reader admits tensors and plain containers only, and the reader of
TorchScript archives here knows no more.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ....errors import NotInstalled
from ....weights import file_type
from .network import BATCH_NORM, expected_shapes

State = dict[str, Tensor]

TYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
}
OTHER_CHECKPOINTS = {
    "binary_pred.": "weights_discriminator",
    "face_decoder_blocks.": "weights_other_size",
    "face_encoder.": "weights_sync_expert",
    "conv1_1.": "weights_face_detector",
}
"""Prefix of a tensor's name that identifies another kind of checkpoint, and its error code; the first match counts."""


def load(path: Path) -> State:
    """Return the generator's state dict, names without `module.`.

    Raises NotInstalled(code, path=...): what file_type says of a file that is not PyTorch's, "weights_damaged",
    "weights_code" (more than tensors, refused unread), one of OTHER_CHECKPOINTS, or "weights_other".
    """
    kind = file_type.require_torch_file(path)
    try:
        if kind == "torchscript":
            state = _scripted(path)
        else:
            state = _flat(torch.load(path, "cpu", weights_only=True, mmap=kind == "torch_zip"))
    except pickle.UnpicklingError as error:
        raise _wrong(path, "weights_code" if "GLOBAL" in str(error) else "weights_damaged", str(error)) from None
    except MemoryError:
        raise
    except Exception as error:  # a broken file can make the readers raise anything
        raise _wrong(path, "weights_damaged", f"{type(error).__name__}: {error}") from None
    _check(path, state)
    return state


def _wrong(path: Path, code: str, detail: str = "") -> NotInstalled:
    return NotInstalled(code, detail=detail[:500], path=str(path), name=path.name)


def _flat(content: object) -> State:
    """Return the tensors by name, whether the file holds a bare state dict or a training checkpoint."""
    found = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    pairs = found.items() if isinstance(found, Mapping) else ()
    return {str(name).removeprefix("module."): value for name, value in pairs if isinstance(value, Tensor)}


def _check(path: Path, state: State) -> None:
    wanted = expected_shapes()
    counters = tuple(key for key, axes in BATCH_NORM.items() if not axes)  # some re-saved files lack these
    missing = [name for name in wanted if name not in state and not name.endswith(counters)]
    if not missing and all(tuple(state[name].shape) == shape for name, shape in wanted.items() if name in state):
        return
    for start, kind in OTHER_CHECKPOINTS.items():
        if any(name.startswith(start) for name in state):
            raise _wrong(path, kind, f"lacks {missing[:3]}")
    raise _wrong(path, "weights_other", f"holds {sorted(state)[:3]}")


class _Module:
    """Stands in for any class of a TorchScript archive: attributes, no behaviour."""

    fields: Mapping[str, Any] = MappingProxyType({})

    def __setstate__(self, fields: dict[str, Any]) -> None:
        self.fields = fields


class _Tensors(pickle.Unpickler):
    """Reads modules and tensors; refuses to name anything else."""

    def __init__(self, archive: zipfile.ZipFile, index: str) -> None:
        super().__init__(io.BytesIO(archive.read(index)))
        self._archive, self._folder = archive, index.rpartition("/")[0]

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in for a class of the archive, or one of the few names that tensors need."""
        if module.startswith("__torch__"):
            return _Module
        if module == "torch" and name in TYPES:
            return TYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(f"GLOBAL {module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor:
        """Return the flat storage that a tensor is a view of."""
        _, dtype, key, *_ = pid
        raw = bytearray(self._archive.read(f"{self._folder}/data/{key}"))
        return torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
    return storage.as_strided(size, stride, offset)


def _scripted(path: Path) -> State:
    with zipfile.ZipFile(path) as archive:
        index = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        root = _Tensors(archive, index).load()
    return {name.removeprefix("module."): tensor for name, tensor in _walk(root, "")}


def _walk(node: object, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in node.fields.items() if isinstance(node, _Module) else ():
        if isinstance(value, Tensor):
            yield prefix + name, value
        else:
            yield from _walk(value, f"{prefix}{name}.")
