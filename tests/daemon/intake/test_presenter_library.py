import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from heygemd.daemon.intake import presenter_library
from heygemd.daemon.intake.presenter_library import Wish
from heygemd.errors import InputError, NotReady
from heygemd.i18n import catalog
from heygemd.storage import share_layout
from heygemd.storage.share_fs import Entry


def find(share: Path, *names: str) -> list[Entry]:
    return presenter_library.find(share, [Wish(name, "presenters.txt", 1) for name in names])


@pytest.fixture
def made(tmp_path: Path) -> Path:
    share_layout.create(tmp_path)
    for name in ("Anna.mp4", "Ben Müller.mov", ".DS_Store"):
        (tmp_path / "templates" / name).write_bytes(b"x" * 10)
    (tmp_path / "secret.mp4").write_bytes(b"x")
    return tmp_path


def test_names_are_found_whatever_their_case_and_ending(made: Path) -> None:
    found = find(made, "anna", "BEN MÜLLER.mov", "Anna.mp4")
    assert [entry.name for entry in found] == ["../../templates/Anna.mp4", "../../templates/Ben Müller.mov"]
    assert found[0].size == 10


@pytest.mark.parametrize("wish", ["carl", "../secret", "../secret.mp4", "/etc/passwd", ".DS_Store", ""])
def test_a_name_never_becomes_a_path(made: Path, wish: str) -> None:
    with pytest.raises(InputError) as caught:
        find(made, wish)
    assert caught.value.fields["known"] == ["Anna", "Ben Müller"]


def test_without_any_template_none_is_said_to_be_available(tmp_path: Path) -> None:
    share_layout.create(tmp_path)
    with pytest.raises(InputError, match="no_presenters") as caught:
        find(tmp_path, "anna")
    text = catalog.text(caught.value.code, caught.value.fields, "en")
    assert text.startswith('There is no presenter "anna" (presenters.txt, line 1): the folder templates contains no ')


def test_only_whole_visible_video_files_are_offered(made: Path, media: SimpleNamespace) -> None:
    templates = made / "templates"
    face = media.face.read_bytes()
    for name in ("Anna.mp4", "Ben Müller.mov"):
        (templates / name).write_bytes(face)
    (templates / "half.mp4").write_bytes(face[: len(face) // 2])
    for name in ("cut.mp4.part", "._Anna.mp4", "Anna.jpg", "notes.txt", "voice.m4a", "Thumbs.db"):
        (templates / name).write_bytes(face)
    for name in ("@eaDir", "2026.mp4"):
        (templates / name).mkdir()
        (templates / name / "inner.mp4").write_bytes(face)
    (templates / "link.mp4").symlink_to(made / "secret.mp4")
    for name in ("link", "2026", "inner", "cut.mp4", "notes", "voice", "@eaDir"):
        with pytest.raises(InputError) as caught:
            find(made, name)
        assert caught.value.fields["known"] == ["Anna", "Ben Müller"]


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc"), Path.touch])
def test_something_else_of_the_name_templates_is_named_and_waited_for(made: Path, make: Callable[[Path], None]) -> None:
    (made / "templates").rename(made / "away")
    make(made / "templates")
    with pytest.raises(NotReady) as caught:
        find(made, "anna")
    assert (caught.value.code, caught.value.fields["name"]) == ("name_taken", "templates")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_templates_that_cannot_be_read_are_not_called_empty() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        share = Path(name)
        share_layout.create(share)
        share.chmod(0o755)
        (share / "templates").chmod(0o700)
        os.seteuid(65534)
        try:
            with pytest.raises(NotReady) as caught:
                presenter_library.names(share)
        finally:
            os.seteuid(0)
    assert (caught.value.code, caught.value.fields["name"]) == ("no_permission", "templates")


def test_a_list_may_have_comments_and_several_names_in_a_line(made: Path) -> None:
    wishes = presenter_library.listed("anna\r\n\r\n # later: ben\n 王芳 \n".encode(), "presenters.txt")
    assert wishes == [Wish("anna", "presenters.txt", 1), Wish("王芳", "presenters.txt", 4)]
    (made / "templates" / "王芳, 李雷.mp4").write_bytes(b"x")
    assert len(find(made, "Anna，ben müller", "王芳, 李雷")) == 3
    with pytest.raises(InputError) as caught:
        find(made, "Anna、Carl")
    text = catalog.text(caught.value.code, caught.value.fields, "zh")
    assert "没有主播“Carl”（presenters.txt 第 1 行）" in text
