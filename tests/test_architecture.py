"""The shape that design promises: layers, light start, sizes, one door to ffmpeg, every chosen package in real use."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "heygemd"
MODULE_LINES, FUNCTION_LINES, FUNCTION_P90 = 300, 50, 25
HEAVY = ("numpy", "cv2", "torch", "librosa", "scipy", "face_alignment", "skimage", "numba", "ray")

TOP = {
    "cli",
    "cli_jobs",
    "cli_models",
    "cli_service",
    "servicing",
    "tables",
    "notify",
    "doctor",
    "doctor_share",
    "onevideo",
    "initialise",
    "demo",
    "__main__",
    "screen",
}
"""The command line and what only it uses: may import anything but the renderer's inside."""
LEAVES = {
    "errors", "config", "engine_settings", "upkeep_settings", "work_settings", "job", "protocol", "messages", "log",
    "files", "mounts", "transfer", "faults", "resources", "modelstore", "weightfile", "installed", "findings", "exits",
    "media",
}  # fmt: skip
LAYERS = {
    "daemon": LEAVES | {"daemon"}, "render": LEAVES | {"render"}, "training": LEAVES | {"render", "training"},
    "cluster": LEAVES | {"daemon", "cluster"},
}  # fmt: skip
CHOSEN = {"watchdog", "torch", "cv2", "face_alignment", "librosa", "ffmpeg", "loguru", "sdnotify", "tomli"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def zone(path: Path) -> str:
    """The top-level part of the package that a module belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every import in a module, absolute, wherever in the file; for `from x import y` both x and x.y."""
    package = path.relative_to(PACKAGE.parent).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield name, node.lineno
            yield from ((f"{name}.{alias.name}", node.lineno) for alias in node.names)


def zones_used(path: Path) -> set[str]:
    """The parts of the package that a module imports."""
    own = {p.name.removesuffix(".py") for p in PACKAGE.iterdir()}
    parts = (name.split(".") for name, _ in imports(path) if name.startswith("heygemd."))
    return {part[1] for part in parts if part[1] in own}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    here = zone(path)
    if here in TOP:
        allowed = TOP | LEAVES | {"daemon"}
    elif here in LEAVES or here == "__init__":
        allowed = LEAVES
    else:
        allowed = LAYERS[here]
    assert zones_used(path) <= allowed, f"{here} may not import {zones_used(path) - allowed}"


def fresh(code: str) -> set[str]:
    """The top-level modules that are loaded after running `code` in a new interpreter."""
    code += "\nimport sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["heygemd.daemon.service", "heygemd.cli.main", "heygemd.doctor.checks", "heygemd.cli.render_one"]
)
def test_what_is_not_the_renderer_is_light(module: str) -> None:
    assert fresh(f"import {module}") & set(HEAVY) == set()


def test_the_renderer_starts_without_what_takes_seconds() -> None:
    assert fresh("import heygemd.render.pipeline") & {"librosa", "numba", "skimage", "face_alignment"} == set()


def test_help_needs_neither_daemon_nor_pydantic() -> None:
    assert fresh("import heygemd.cli.main") & {"pydantic", "watchdog", "loguru", "jinja2"} == set()


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    assert path.read_text("utf-8").count("\n") <= MODULE_LINES
    long = [name for name, lines in functions(path) if lines > FUNCTION_LINES]
    assert long == []


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_most_functions_are_short() -> None:
    lines = sorted(size for path in modules() for _, size in functions(path))
    assert lines[int(0.9 * (len(lines) - 1))] <= FUNCTION_P90


@pytest.mark.parametrize("name", sorted(CHOSEN))
def test_chosen_packages_are_used_by_shipped_code(name: str) -> None:
    users = [path for path in modules() if any(used.split(".")[0] == name for used, _ in imports(path))]
    shipped = [path for path in users if zone(path) != "training"]
    assert shipped, f"nothing that ships imports {name}"


def test_only_one_door_leads_to_ffmpeg() -> None:
    """Programs start at ffmpeg's door, supervisor, the bridge's keeper, doctor, engine command, the installer."""
    starters = {"subprocess", "os.system", "pty", "asyncio.subprocess"}
    allowed = {
        "media/ffmpeg.py", "media/process.py", "daemon/supervisor.py", "daemon/cluster.py", "doctor.py", "servicing.py",
        "render/engines/command.py",
    }  # fmt: skip
    found = set()
    for path in modules():
        where = path.relative_to(PACKAGE).as_posix()
        text = path.read_text("utf-8")
        if any(name.split(".")[0] in starters for name, _ in imports(path)) or "create_subprocess" in text:
            found.add(where)
        assert "os.system(" not in text and "os.popen(" not in text, where
    assert {where for where in found if not where.startswith("training/")} <= allowed


def test_ffmpeg_python_is_spoken_in_one_module_only() -> None:
    speakers = {p.relative_to(PACKAGE).as_posix() for p in modules() if any(n == "ffmpeg" for n, _ in imports(p))}
    assert speakers == {"media/ffmpeg.py"}


def test_libraries_that_open_files_themselves_are_never_asked_to() -> None:
    """OpenCV, librosa and soundfile would read a user's file without the whitelists."""
    forbidden = ("VideoCapture(", "librosa.load(", "audioread.", "soundfile.read(", "torchaudio.load(")
    for path in modules():
        text = path.read_text("utf-8")
        assert not [word for word in forbidden if word in text], path
