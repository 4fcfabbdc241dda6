"""Reads photographs that ffmpeg cannot read, or not in their colours: HEIC, and pictures with a colour profile.

python -m heygemd.media.photo_reader FILE MAX_PIXELS [TARGET]

A process of its own, because its libraries decode what strangers made. Where FILE is one of these it is decoded, and
written to TARGET as an upright PNG in sRGB; for any other picture it does nothing.
"""

from __future__ import annotations

import contextlib
import io
import sys

import pi_heif
from PIL import Image, ImageCms, ImageOps

FORMATS = ("HEIF", "JPEG", "PNG", "WEBP", "BMP")


def main(path: str, max_pixels: str, target: str = "") -> None:
    """Run the program; see the module's docstring."""
    pi_heif.register_heif_opener()
    Image.MAX_IMAGE_PIXELS = None  # the limit below is the administrator's
    with Image.open(path, formats=FORMATS) as image:
        if image.width * image.height > int(max_pixels):
            sys.exit(f"Picture size {image.width}x{image.height} exceeds {max_pixels} pixels")
        profile = _foreign_profile(image.info.get("icc_profile"))
        if image.format != "HEIF" and profile is None:
            return
        image.load()
        upright = ImageOps.exif_transpose(image)
        shown = _in_srgb(upright, profile)
        if target:
            shown.info.clear()  # says nothing about the new pixels
            shown.save(target, "PNG", compress_level=1)


def _foreign_profile(data: bytes | None) -> ImageCms.ImageCmsProfile | None:
    """Return a colour profile that can be read and is not sRGB: without one, a picture is shown as sRGB."""
    if data:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            profile = ImageCms.getOpenProfile(io.BytesIO(data))
            if "sRGB" not in ImageCms.getProfileDescription(profile):
                return profile
    return None


def _in_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Image.Image:
    """Return the picture in RGB or, where it has transparent parts, RGBA."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    if profile is not None:
        if image.mode == "P":
            image = image.convert(mode)
        with contextlib.suppress(ImageCms.PyCMSError):  # a profile of another kind of colour is ignored, as viewers do
            converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode=mode)
            if converted is not None:
                return converted
    return image.convert(mode)


if __name__ == "__main__":
    main(*sys.argv[1:])
