"""Pictures for people: small JPEGs in base64, as messages and reports carry them."""

from __future__ import annotations

import base64

import cv2

from ..scene import Image

QUALITY = 80


def jpeg_base64(image: Image, quality: int = QUALITY) -> str:
    """Return a BGR image as JPEG in base64; `quality` 0..100."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return base64.b64encode(data.tobytes()).decode()
