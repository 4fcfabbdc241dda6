"""What the renderer, and any program that a hostile file might start in it, can no longer do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from heygemd.config.schema import Limits
from heygemd.media import ffmpeg, probe

CONFINED = """
import sys
from pathlib import Path
from heygemd.media.sandbox import confine, limit_file_size
missing = confine([Path(sys.argv[1])])
if missing:
    raise SystemExit(f"missing: {missing}")
limit_file_size(1 << 20)
"""


def inside(own: Path, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python code in a confined process that may change `own` only."""
    argv = [sys.executable, "-c", CONFINED + code, str(own), *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    done = inside(tmp_path / "own", "print('here')")
    if "missing" in done.stderr and not os.environ.get("CI"):
        pytest.skip(f"this kernel cannot: {done.stderr}")
    assert done.stdout == "here\n", done.stderr
    return tmp_path / "own"


def test_its_own_folder_is_its_own(own: Path) -> None:
    code = "import os; d = Path(sys.argv[1]); (d / 'a').write_text('x'); (d / 'b').mkdir(); os.link(d / 'a', d / 'c')"
    done = inside(own, code + "; os.rename(d / 'a', d / 'b' / 'a'); os.unlink(d / 'c'); print((d / 'b/a').read_text())")
    assert done.stdout == "x\n", done.stderr


@pytest.mark.parametrize(
    "attack",
    [
        "open(sys.argv[2], 'w')",
        "os.truncate(sys.argv[2], 0)",
        "os.unlink(sys.argv[2])",
        "os.mkdir(sys.argv[2] + '.d')",
        "os.symlink('/etc', sys.argv[2] + '.l')",
        "os.rename(sys.argv[2], sys.argv[1] + '/stolen')",
        "os.link(sys.argv[2], sys.argv[1] + '/linked')",
        "socket.create_connection(('127.0.0.1', int(sys.argv[3])), 5)",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "os.kill(int(sys.argv[4]), 0)",
        "open(sys.argv[1] + '/large', 'wb').write(bytes(2 << 20))",
        "resource.setrlimit(resource.RLIMIT_CORE, (1, 1))",
    ],
)
@pytest.mark.parametrize("by", ["itself", "a program it starts"])
def test_what_it_cannot_do(own: Path, tmp_path: Path, attack: str, by: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("kept")
    tried = f"import os, resource, socket, sys\ntry:\n    {attack}\nexcept (OSError, ValueError) as e: print('no', e)"
    if by != "itself":
        tried = f"import subprocess\nsubprocess.run([sys.executable, '-c', {tried!r}, *sys.argv[1:]])"
    done = inside(own, tried, secret, 9, os.getpid())
    assert done.stdout.startswith("no "), done
    assert "refused" not in done.stdout, "a connection was tried"
    assert secret.read_text() == "kept"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["own", "secret"]


FAKE_FFPROBE = """#!{python}
import json, socket, sys
def tried(attack):
    try:
        attack()
        return "done"
    except OSError:
        return "refused"
found = {{
    "write": tried(lambda: open("{secret}", "a")),
    "make": tried(lambda: open("{secret}.new", "w")),
    "connect": tried(lambda: socket.socket(socket.AF_INET)),
    "read": open(sys.argv[-1].removeprefix("file:")).read(),
    "argv": sys.argv,
}}
print(json.dumps({{"format": {{"format_name": json.dumps(found)}}}}))
"""


def test_ffprobe_can_read_the_file_that_it_is_given_and_change_nothing(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, media = tmp_path / "secret", tmp_path / "$(reboot) -vf.MP4"
    secret.write_text("kept")
    media.write_text("content")
    fake = tmp_path / "bin" / "ffprobe"
    fake.parent.mkdir()
    fake.write_text(FAKE_FFPROBE.format(python=sys.executable, secret=secret))
    fake.chmod(0o755)
    monkeypatch.setattr(ffmpeg, "_binary", lambda name: str(fake))
    with media.open() as file:
        found = json.loads(probe.probe_open(file.fileno(), ".mp4", Limits()).container)
    assert (found["write"], found["make"], found["connect"]) == ("refused", "refused", "refused")
    assert found["read"] == "content"
    assert found["argv"][-1].endswith("/media.mp4") and "reboot" not in str(found["argv"])
    assert (secret.read_text(), list(tmp_path.glob("secret*"))) == ("kept", [secret])


def test_rights_cannot_be_gained_by_a_setuid_program(own: Path) -> None:
    status = inside(own, "print(Path('/proc/self/status').read_text())").stdout
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


def test_librosas_compiled_code_can_be_cached_where_librosa_is_installed(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another place than this environment's own packages: a virtual environment may see the system's."""
    package = tmp_path / "elsewhere" / "librosa"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    done = inside(own, "(Path(sys.argv[2]) / 'cache').write_text('x'); print('cached')", package)
    assert done.stdout == "cached\n", done.stderr
