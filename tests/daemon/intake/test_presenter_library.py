from pathlib import Path

import pytest

from heygemd.daemon.intake import presenter_library
from heygemd.errors import InputError, NotReady
from heygemd.storage import share_layout


@pytest.fixture
def made(tmp_path: Path) -> Path:
    share_layout.create(tmp_path)
    for name in ("Anna.mp4", "Ben Müller.mov", ".DS_Store"):
        (tmp_path / "templates" / name).write_bytes(b"x" * 10)
    (tmp_path / "secret.mp4").write_bytes(b"x")
    return tmp_path


def test_names_are_found_whatever_their_case_and_ending(made: Path) -> None:
    found = presenter_library.find(made, ["anna", "BEN MÜLLER.mov", "Anna.mp4"])
    assert [entry.name for entry in found] == ["../../templates/Anna.mp4", "../../templates/Ben Müller.mov"]
    assert found[0].size == 10


@pytest.mark.parametrize("wish", ["carl", "../secret", "../secret.mp4", "/etc/passwd", ".DS_Store", ""])
def test_a_name_never_becomes_a_path(made: Path, wish: str) -> None:
    with pytest.raises(InputError) as caught:
        presenter_library.find(made, [wish])
    assert caught.value.fields["known"] == ["Anna", "Ben Müller"]


def test_links_are_refused(made: Path) -> None:
    (made / "templates" / "link.mp4").symlink_to(made / "secret.mp4")
    with pytest.raises(NotReady):
        presenter_library.find(made, ["link"])


def test_a_list_may_have_comments_and_a_byte_order_mark() -> None:
    assert presenter_library.listed("\ufeffanna\r\n\r\n # later: ben\n 王芳 \n".encode()) == ["anna", "王芳"]
