"""The architecture, read from the source: layers, circles, light start, who may start programs and touch the share."""

from __future__ import annotations

import ast
import functools
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "heygemd"
ROOT = PACKAGE.name

LEAVES = "errors exit_codes fault_points groups package_data path_checks"
LAYERS = {
    # Used by both processes.
    "errors": "",
    "fault_points": "",
    "groups": "",
    "path_checks": "",
    "package_data": "",
    "exit_codes": "errors",
    "i18n": "errors",
    "config": f"i18n {LEAVES}",
    "protocol": "config",
    "job": "protocol",
    "logging_setup": "config",
    "storage.atomic": "errors",
    "storage": f"storage.atomic {LEAVES}",
    "renderer_process": "protocol storage.atomic media",
    "media": "config",
    "weights": "config storage.atomic",
    # The daemon.
    "daemon.gpus": "errors",
    "daemon.queue_state": "job",
    "daemon.job_store": "job logging_setup storage",
    "daemon.daemon_lock": "storage",
    "daemon.intake": "daemon.queue_state daemon.job_store media weights",
    "daemon.pages": "i18n",
    "daemon.publish": "daemon.intake daemon.pages",
    "daemon.executors": "daemon.gpus job renderer_process",
    "daemon.status": "daemon.gpus daemon.publish",
    "daemon.jobs": "daemon.executors daemon.publish",
    "daemon.admin": "daemon.jobs daemon.status",
    "daemon.service": "daemon.jobs daemon.status daemon.daemon_lock",
    "daemon": "",
    "ray_backend": "renderer_process",
    # The renderer.
    "render.cache": "media weights",
    "render.oom": "media weights",
    "render.progress": "media weights protocol",
    "render.stages": "media weights",
    "render.easing": "",
    "render.scene": "media weights render.easing",
    "render.layers": "render.scene",
    "render.face": "render.scene render.cache render.oom",
    "render.audio": "render.layers render.cache render.oom",
    "render.subtitles": "render.scene protocol",
    "render.video": "render.face render.audio render.subtitles render.progress render.stages protocol",
    "render.sync": "render.video",
    "render.engines": "render.sync",
    "render.engines.mesh": "render.engines",
    "render.engines.wav2lip": "render.engines",
    "render.analysis": "render.engines",
    "render.frame_router": "render.engines",
    "render.pipeline": "render.analysis render.frame_router render.engines.mesh",
    "render.measure_sync": "render.pipeline",
    "render.worker": "render.measure_sync render.engines.wav2lip",
    "render": "",
    "testing": "render.pipeline",
    "training": "render.worker",
    # The command line and what an administrator runs.
    "setup": "config storage",
    "doctor": "setup daemon.status media weights",
    "terminal": "daemon.status",
    "demo": "terminal daemon.service media",
    "cli": "demo doctor setup terminal daemon.admin daemon.service daemon.daemon_lock renderer_process",
    "__main__": "cli",
    "__init__": "",
}
"""For each layer, the layers below it. A layer may import these, and whatever they may import.

A layer is a folder, a module at the top, or a module directly in `daemon` or `render`.
"""

HEAVY = {"numpy", "cv2", "ai_edge_litert", "torch", "librosa", "scipy", "face_alignment", "skimage", "numba", "ray"}
CHOSEN = {"watchdog", "torch", "cv2", "face_alignment", "librosa", "ffmpeg", "loguru", "sdnotify", "tomli"}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name within it; a package's own module is `<package>.__init__`."""
    return {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in sorted(PACKAGE.rglob("*.py"))}


MODULES = modules()


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Return the absolute names that a module imports anywhere: at its top, under TYPE_CHECKING, inside functions."""
    package = [ROOT, *module.split(".")[:-1]]
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found |= {name, *(f"{name}.{alias.name}" for alias in node.names)}
    return frozenset(found)


@functools.cache
def imported(module: str) -> frozenset[str]:
    """Return the modules of the package that a module imports.

    `from ..x import y` counts as x.y where that is a module, otherwise as x.
    """
    inside = {name.removeprefix(f"{ROOT}.") for name in imports(module) if name.startswith(f"{ROOT}.")}
    own = {name for name in inside if name in MODULES}
    packages = {f"{name}.__init__" for name in inside if f"{name}.__init__" in MODULES}
    # `from ..engines import base` names the package too, but takes nothing out of it.
    used = {name for name in packages if not any(other.startswith(name.removesuffix("__init__")) for other in inside)}
    return frozenset((own | used) - {module})


def layer(module: str) -> str:
    """Return the layer of a module: the longest of LAYERS that its name begins with."""
    parts = module.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name in LAYERS), "")


@functools.cache
def allowed(name: str) -> frozenset[str]:
    """Return the layers that a layer may import, itself among them."""
    return frozenset({name}).union(*(allowed(lower) for lower in LAYERS[name].split()))


def test_every_layer_exists_and_every_folder_has_one() -> None:
    places = {*MODULES, *(name.rpartition(".")[0] for name in MODULES)}
    assert set(LAYERS) <= places
    assert [
        module for module in MODULES if layer(module) in ("", "daemon", "render") and "__init__" not in module
    ] == []


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards(module: str) -> None:
    here = layer(module)
    wrong = sorted(name for name in imported(module) if layer(name) not in allowed(here))
    assert wrong == [], f"{here} may not import {', '.join(wrong)}"


@pytest.mark.parametrize("package", sorted({name.rpartition(".")[0] for name in MODULES}))
def test_no_circle(package: str) -> None:
    """Between the members of a package: its modules, and its sub-packages each taken as one."""
    prefix = f"{package}." if package else ""

    def member(module: str) -> str:
        return module.removeprefix(prefix).partition(".")[0]

    graph: dict[str, set[str]] = {}
    for module in MODULES:
        if module.startswith(prefix):
            used = {member(name) for name in imported(module) if name.startswith(prefix)}
            graph.setdefault(member(module), set()).update(used - {member(module)})
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"{package or ROOT}: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize(("one", "other"), [("daemon", "render"), ("render", "daemon"), ("ray_backend", "daemon")])
def test_the_two_processes_never_import_each_other(one: str, other: str) -> None:
    """Not even through a third module."""
    seen: set[str] = set()
    waiting = [module for module in MODULES if module.startswith(f"{one}.")]
    while waiting:
        module = waiting.pop()
        seen.add(module)
        waiting += imported(module) - seen
    assert sorted(module for module in seen if module.startswith(f"{other}.")) == []


def test_no_module_takes_the_name_of_a_standard_module() -> None:
    names = {part for module in MODULES for part in module.split(".") if not part.startswith("__")}
    assert names & (set(sys.stdlib_module_names) | HEAVY) == set()


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that are loaded after running `code` in a new interpreter."""
    code += "\nimport sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["heygemd.daemon.service", "heygemd.cli.main", "heygemd.doctor.checks", "heygemd.cli.render_one"]
)
def test_what_is_not_the_renderer_is_light(module: str) -> None:
    assert loaded_by(f"import {module}") & HEAVY == set()


def test_the_renderer_starts_without_what_takes_seconds() -> None:
    slow = {"librosa", "numba", "skimage", "face_alignment"}
    assert loaded_by("import heygemd.render.pipeline") & slow == set()


def test_help_needs_neither_daemon_nor_pydantic() -> None:
    assert loaded_by("import heygemd.cli.main") & {"pydantic", "watchdog", "loguru", "jinja2"} == set()


@pytest.mark.parametrize("name", sorted(CHOSEN))
def test_chosen_packages_are_used_by_shipped_code(name: str) -> None:
    users = [module for module in MODULES if any(used.split(".")[0] == name for used in imports(module))]
    assert [module for module in users if layer(module) != "training"], f"nothing that ships imports {name}"


def test_only_one_door_leads_to_ffmpeg() -> None:
    """Only `media` starts programs, except for the renderer, the Ray driver, systemctl and an engine's own program."""
    starters = {"subprocess", "os.system", "pty", "asyncio.subprocess"}
    may_start = {
        "media.ffmpeg", "media.process", "renderer_process", "daemon.executors.ray_cluster", "doctor.checks",
        "setup.systemd_units", "render.engines.command",
    }  # fmt: skip
    found = set()
    for module, path in MODULES.items():
        text = path.read_text("utf-8")
        if any(name.split(".")[0] in starters for name in imports(module)) or "create_subprocess" in text:
            found.add(module)
        assert "os.system(" not in text and "os.popen(" not in text, module
    assert {module for module in found if layer(module) != "training"} <= may_start


def test_ffmpeg_python_is_imported_by_one_module_only() -> None:
    assert {module for module in MODULES if "ffmpeg" in imports(module)} == {"media.ffmpeg"}


def test_libraries_that_open_files_themselves_are_never_asked_to() -> None:
    """OpenCV, librosa and soundfile would read a user's file without the whitelists."""
    forbidden = ("VideoCapture(", "librosa.load(", "audioread.", "soundfile.read(", "torchaudio.load(")
    for module, path in MODULES.items():
        text = path.read_text("utf-8")
        assert not [word for word in forbidden if word in text], module


FILE_FUNCTIONS = {
    "chmod", "exists", "glob", "hardlink_to", "is_dir", "is_file", "is_symlink", "iterdir", "lstat", "mkdir", "open",
    "read_bytes", "read_text", "rename", "rglob", "rmdir", "rmtree", "stat", "symlink_to", "touch", "unlink",
    "write_bytes", "write_text", "os.chown", "os.link", "os.listdir", "os.remove", "os.replace", "os.scandir",
    "os.symlink", "os.utime", "os.walk",
}  # fmt: skip
"""Methods of `pathlib.Path` and functions by which files are read or changed."""
LOCAL_ONLY = {
    "daemon.admin", "daemon.daemon_lock", "daemon.gpus", "daemon.job_store", "daemon.service", "daemon.jobs.attempt",
    "daemon.jobs.changed_folders",
    "daemon.jobs.recovery", "daemon.pages.html_page", "daemon.publish.preview_store", "daemon.publish.report",
    "daemon.jobs.publishing", "daemon.status.notifications",
    "daemon.status.send_notifications", "daemon.status.status_file",
}  # fmt: skip
"""Modules of the daemon with files of their own on this machine: records, scratch, log, outbox, the package's data."""


def file_calls(module: str) -> Iterator[str]:
    """Yield the calls by which a module touches files itself.

    Calls through `share_fs`, `share_paths`, `share_owner`, `transfer` or `atomic` are not among them, nor is what a
    function decorated with `share_paths.on_share` does, nor members of a zip archive.
    """
    waiting: list[ast.AST] = [ast.parse(MODULES[module].read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef) and "share_paths.on_share" in map(ast.unparse, node.decorator_list):
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            through_storage = name.startswith(("share_", "transfer.", "atomic.", "archive."))
            if FILE_FUNCTIONS & {name, name.rpartition(".")[2]} and not through_storage:
                yield name


def test_local_files_are_written_and_synced_in_one_place() -> None:
    assert {module for module, path in MODULES.items() if "fsync(" in path.read_text("utf-8")} == {"storage.atomic"}


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("daemon.")])
def test_the_daemon_touches_the_share_through_share_fs_only(module: str) -> None:
    assert set(MODULES) >= LOCAL_ONLY
    if module not in LOCAL_ONLY:
        assert list(file_calls(module)) == []


def test_only_media_names_ffmpeg_in_a_command() -> None:
    for module, path in MODULES.items():
        lists = (
            node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, (ast.List, ast.Tuple))
        )
        words = {item.value for node in lists for item in node.elts if isinstance(item, ast.Constant)}
        assert layer(module) == "media" or not words & {"ffmpeg", "ffprobe"}, module
