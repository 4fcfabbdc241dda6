"""A node's own disk, and whether it would render the same."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from heygemd.errors import InfrastructureError
from heygemd.ray_backend import environment_check
from heygemd.ray_backend.input_cache import InputCache


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=20).hexdigest()


def test_a_content_is_kept_under_its_digest_and_shown_under_any_name(tmp_path: Path) -> None:
    inputs = InputCache(tmp_path, 100)
    inputs.put(digest(b"ab"), [b"a", b"b"])
    assert inputs.has(digest(b"ab"))
    inputs.link(digest(b"ab"), tmp_path / "voice.wav")
    assert (tmp_path / "voice.wav").read_bytes() == b"ab"


def test_another_content_than_promised_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    inputs = InputCache(tmp_path, 100)
    with pytest.raises(InfrastructureError):
        inputs.put(digest(b"ab"), [b"xy"])
    assert not list((tmp_path / "inputs").iterdir())


def test_what_was_not_used_for_longest_goes_first_and_an_attempt_keeps_its_input(tmp_path: Path) -> None:
    inputs = InputCache(tmp_path, 6)
    for age, content in ((300, b"old"), (200, b"new")):
        inputs.put(digest(content), [content])
        moment = (tmp_path / "inputs" / digest(content)).stat().st_mtime - age
        os.utime(tmp_path / "inputs" / digest(content), (moment, moment))
    inputs.link(digest(b"old"), tmp_path / "used")  # now the newest
    inputs.put(digest(b"one"), [b"one"])
    assert [inputs.has(digest(content)) for content in (b"old", b"new", b"one")] == [True, False, True]
    inputs.keep_bytes = 0
    inputs.put(digest(b"two"), [b"two"])
    assert not inputs.has(digest(b"old"))
    assert (tmp_path / "used").read_bytes() == b"old"


def test_the_folder_of_a_process_that_was_killed_goes_with_the_next_attempt(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from heygemd.ray_backend.input_cache import InputCache\n"
        "with InputCache(Path(sys.argv[1]), 1).attempt() as folder: os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path])
    assert len(list((tmp_path / "attempts").iterdir())) == 1
    inputs = InputCache(tmp_path, 1)
    with inputs.attempt(), inputs.attempt():
        assert len(list((tmp_path / "attempts").iterdir())) == 2
    assert not list((tmp_path / "attempts").iterdir())


def test_other_weights_are_told_by_name(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "wav2lip.pth").write_bytes(b"weights")
    assert environment_check.differing(environment_check.fingerprint(here), environment_check.fingerprint(there)) == []
    (there / "wav2lip.pth").write_bytes(b"Weights")
    (here / "s3fd.pth").write_bytes(b"more")
    assert environment_check.differing(environment_check.fingerprint(here), environment_check.fingerprint(there)) == [
        "models/s3fd.pth",
        "models/wav2lip.pth",
    ]
