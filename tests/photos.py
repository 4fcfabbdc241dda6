"""Photographs for tests: the presenter's portrait, in every orientation that a camera notes."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import PIL.Image

from heygemd.render.scene import Image

TURNED_BACK = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, 1),
    7: lambda image: np.rot90(image.transpose(1, 0, 2), 2),
    8: lambda image: np.rot90(image, -1),
}
"""How a picture is stored that the EXIF orientation turns upright (CIPA DC-008, 4.6.4)."""


def jpeg(image: Image, orientation: int = 1) -> bytes:
    """Return an upright picture as a JPEG that a camera of this orientation would write."""
    stored = np.ascontiguousarray(TURNED_BACK[orientation](image))
    data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, orientation, 0) + bytes(4)
    segment = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def png(image: Image, transparent_rows: int = 0) -> bytes:
    """Return a picture as a PNG whose upper rows are transparent."""
    if transparent_rows:
        image = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
        image[:transparent_rows] = 0
    return bytes(cv2.imencode(".png", image)[1].tobytes())


def heic(image: Image) -> bytes:
    """Return a picture as a HEIC file."""
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(PIL.Image.fromarray(np.ascontiguousarray(image[..., ::-1]))).save(file)
    return file.getvalue()


def save(path: Path, data: bytes) -> Path:
    """Write a file; return its path."""
    path.write_bytes(data)
    return path
