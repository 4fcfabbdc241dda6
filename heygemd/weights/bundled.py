"""The weights that ship inside the package: finds, verifies and reads them. Nothing is downloaded or unpickled."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import load_file

from ..errors import NotInstalled
from ..storage import atomic

SHA256 = {
    "speech_encoder.safetensors": "c3f47097560cfdc693de98f1726019cb747a5aa92c58962827cc1c976c3078f6",
    "lips.safetensors": "6f3fa4da508aa8fef298c13b7de83d98964cd41825d58fa06b1ce97d4aa4dd4d",
    "vad.safetensors": "aebdbeb30f009a31d0abf871358edc3fffe539e4447374c9b4f95c2303b88a6e",
    "sync.safetensors": "3c95bd0b8ad2f53999afdb63c822a505248d9f6acf4b29653bc246d5fb9dc30a",
    "mel_filters.safetensors": "6adbcf5244bc14ec59684e9d29e84490140c491549b1bb7c8d77f347858b685d",
    "face_shape.safetensors": "f7a22db494aafde5f295692794540ae0e5818815aa5cdf97e80738ea9689251b",
    "lower_face.safetensors": "48c80c32802edddff94faa313bbe3db09b90467e79550a683ba9417b03e8a562",
    "mouth_interior.safetensors": "fb27bacc878fefa6e9de6b6aaf4d64bd5c875c9601e33a92f6bcf0f4039eaa5c",
    "face_detection_short_range.tflite": "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    "face_landmark.tflite": "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
}


@cache
def asset(name: str) -> Path:
    """Return the path of a shipped file after checking its SHA-256.

    Raise NotInstalled("asset_missing") or NotInstalled("asset_damaged").
    """
    path = Path(str(resources.files(__package__) / "assets" / name))
    if not path.is_file():
        raise NotInstalled("asset_missing", name=name)
    if atomic.digest(atomic.blocks_of(path), atomic.sha256) != SHA256[name]:
        raise NotInstalled("asset_damaged", name=name)
    return path


def tensors(name: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a shipped safetensors file."""
    return dict(load_file(asset(name)))
