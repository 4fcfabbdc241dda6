from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from heygemd.config.schema import Limits
from heygemd.errors import InputError, NotReady
from heygemd.media import completeness, photo
from heygemd.render.video import decode
from tests.photos import TURNED_BACK, jpeg, png, save

LIMITS = Limits()
CORNERS = np.zeros((40, 60, 3), np.uint8)
CORNERS[:20, :30], CORNERS[:20, 30:], CORNERS[20:, :30] = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def code_of(path: Path, limits: Limits = LIMITS) -> str:
    with pytest.raises(InputError) as caught:
        photo.probe_photo(path, limits)
    return caught.value.code


@pytest.mark.parametrize("orientation", TURNED_BACK)
def test_a_photo_is_upright_whatever_way_the_camera_was_held(tmp_path: Path, orientation: int) -> None:
    picture = decode.describe_photo(save(tmp_path / "a.jpg", jpeg(CORNERS, orientation)), LIMITS, tmp_path)
    assert (picture.width, picture.height, picture.expected_frames) == (60, 40, 1)
    images = decode.small_frames(picture)
    (seen,) = images
    for y, x in ((8, 12), (8, 48), (32, 12), (32, 48)):
        np.testing.assert_allclose(seen[y, x].astype(int), CORNERS[y, x], atol=12)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".bmp"])
def test_formats_are_known_by_content_and_odd_sides_become_even(tmp_path: Path, ending: str) -> None:
    data = cv2.imencode(ending, CORNERS[:39, :59])[1].tobytes()
    found = decode.describe_photo(save(tmp_path / "picture", data), LIMITS, tmp_path)
    assert (found.width, found.height) == (58, 38)
    assert completeness.examine(tmp_path / "picture").end == "whole"
    assert sum(1 for _ in decode.frames(found)) == 1


def test_pictures_and_clips_that_phones_put_behind_the_first_are_not_shown(tmp_path: Path) -> None:
    behind = save(tmp_path / "a.jpg", jpeg(CORNERS) + jpeg(CORNERS[:, ::-1]) + bytes(100_000))
    found = decode.describe_photo(behind, LIMITS, tmp_path)
    (seen,) = (frame.copy() for frame in decode.small_frames(found))
    np.testing.assert_allclose(seen[8, 12].astype(int), CORNERS[8, 12], atol=12)
    assert completeness.examine(behind).end == "open"  # only time shows that it is whole


def test_what_cannot_be_used_says_why(tmp_path: Path) -> None:
    large = save(tmp_path / "large.png", png(np.zeros((400, 500, 3), np.uint8)))
    with pytest.raises(InputError) as caught:
        photo.probe_photo(large, Limits(max_photo_pixels=100_000))
    assert (caught.value.code, caught.value.fields) == ("photo_too_large", {"megapixels": 0, "limit": 0})
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    assert code_of(save(tmp_path / "half.jpg", jpeg(noise)[:3000])) == "photo_unreadable"
    assert code_of(save(tmp_path / "film.jpg", b"\0\0\0\x18ftypisom" + bytes(500))) == "photo_unreadable"


def test_a_large_photo_becomes_a_video_that_players_show(tmp_path: Path) -> None:
    wide = np.zeros((3000, 4600, 3), np.uint8)
    found = decode.describe_photo(save(tmp_path / "wide.jpg", jpeg(wide)), LIMITS, tmp_path)
    assert found.width * found.height <= 3840 * 2160
    assert found.width / found.height == pytest.approx(4600 / 3000, rel=0.002)
    (remark,) = [each for each in decode.findings(found) if each.code == "photo_scaled"]
    assert remark.fields == {"width": found.width, "height": found.height, "megapixels": 14}


@pytest.mark.parametrize("ending", [".png", ".webp"])
def test_a_part_of_a_picture_is_waited_for(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    data = cv2.imencode(ending, noise)[1].tobytes()
    completeness.examine(save(tmp_path / "whole", data))
    with pytest.raises(NotReady, match="still_copying"):
        completeness.examine(save(tmp_path / "part", data[:-20]))


def red_and_green_exchanged() -> bytes:
    """Return a colour profile like sRGB, but in which the first channel is green and the second red."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, other in ((b"rXYZ", b"????"), (b"gXYZ", b"rXYZ"), (b"????", b"gXYZ"), (b"sRGB", b"mine")):
        profile = profile.replace(name, other)
    return profile.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))


def saved(path: Path, orientation: int = 1, **options: object) -> Path:
    """Write CORNERS with Pillow, in the format of the path's ending."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x112] = orientation
    picture = Image.fromarray(np.ascontiguousarray(TURNED_BACK[orientation](CORNERS)[..., ::-1]))
    picture.save(path, exif=exif.tobytes(), quality=100, **options)
    return path


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("ending", ["heic", "jpg", "png"])
def test_phones_pictures_are_shown_upright_and_in_their_colours(tmp_path: Path, ending: str, orientation: int) -> None:
    shown = saved(tmp_path / f"a.{ending}", orientation, icc_profile=red_and_green_exchanged())
    picture = decode.describe_photo(shown, LIMITS, tmp_path)
    assert (picture.width, picture.height, picture.stream.rotation) == (60, 40, 0)
    (seen,) = (frame.copy() for frame in decode.small_frames(picture))
    for y, x in ((8, 12), (8, 48), (32, 12), (32, 48)):
        np.testing.assert_allclose(seen[y, x].astype(int), CORNERS[y, x][[0, 2, 1]], atol=12)


def test_a_picture_in_srgb_or_with_a_senseless_profile_is_shown_as_it_is(tmp_path: Path) -> None:
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile in (("usual", usual), ("senseless", b"profile"), ("grey", usual.replace(b"RGB XYZ", b"GRAYXYZ"))):
        shown = saved(tmp_path / f"{name}.jpg", icc_profile=profile)
        assert decode.describe_photo(shown, LIMITS, tmp_path).path == shown, name


def test_a_heic_picture_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.heic")
    assert completeness.examine(whole).end == "whole"
    for limits, code in ((LIMITS, None), (Limits(max_photo_pixels=2000), "photo_too_large")):
        for use in (use_open, lambda path, limits: photo.displayable(path, tmp_path / "a.png", limits)):
            if code is None:
                use(whole, limits)
                continue
            with pytest.raises(InputError, match=code):
                use(whole, limits)
    for damaged in (whole.read_bytes()[:-100], b"\0\0\0\x18ftypheic" + bytes(500)):
        with pytest.raises(InputError, match="photo_unreadable"):
            use_open(save(tmp_path / "b.heic", damaged), LIMITS)


def use_open(path: Path, limits: Limits) -> None:
    with open(path, "rb") as file:
        photo.check_open(file.fileno(), limits)
