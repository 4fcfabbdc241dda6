"""The package: units pass systemd's own checks, the wheel contains all data files, both entry points work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from heygemd import package_data
from heygemd.weights import registry

CHECKOUT = Path(__file__).parents[1]
EXPOSURE_LIMIT = 15
"""1.5, in tenths as systemd-analyze expects it."""


def analyze(*argv: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        assert not os.environ.get("CI"), "CI installs systemd"
        pytest.skip("needs systemd-analyze")
    return subprocess.run(["systemd-analyze", *argv], capture_output=True, text=True)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with /bin/true in place of the program that an administrator installs."""
    text = (package_data.units() / "heygemd.service").read_text()
    path = tmp_path / "heygemd.service"
    path.write_text(text.replace("/opt/heygemd/bin/heygemd", "/bin/true"))
    return path


def test_unit_is_clean(unit: Path) -> None:
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_unit_is_confined(unit: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE_LIMIT}", "--no-pager", str(unit))
    assert done.returncode == 0, done.stdout[-500:]


def test_drop_in_goes_with_the_unit(unit: Path) -> None:
    drop_in = unit.parent / "heygemd.service.d" / "share.conf"
    drop_in.parent.mkdir()
    shutil.copy(package_data.units() / "share.conf", drop_in)
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_unit_waits_for_no_mount_and_explains_its_exit_status() -> None:
    text = (package_data.units() / "heygemd.service").read_text()
    assert not re.search(r"(?m)^RequiresMountsFor=", text)
    assert re.search(r"(?m)^RestartPreventExitStatus=78$", text)
    assert re.search(r"(?m)^ReadWritePaths=-/srv/heygemd$", text)


def test_wheel_carries_every_resource_from_where_the_code_looks() -> None:
    project = tomli.loads((CHECKOUT / "pyproject.toml").read_text())
    carried = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert carried == {
        "systemd": "heygemd/systemd",
        "config.example.toml": "heygemd/config.example.toml",
        "models/manifest.toml": "heygemd/models-manifest.toml",
    }
    for source in carried:
        assert (CHECKOUT / source).exists()
    assert package_data.example_config()
    assert registry.known_models()


@pytest.mark.slow
def test_wheel_reads_its_resources_away_from_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "dist"), str(CHECKOUT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "site", "zip")
    code = (
        "import heygemd; from heygemd import package_data; from heygemd.weights import registry\n"
        "assert 'site' in heygemd.__file__, heygemd.__file__\n"
        "assert package_data.example_config() and registry.known_models()\n"
        "assert (package_data.units() / 'heygemd.service').exists()\n"
        "assert (package_data.PACKAGE / 'demo' / 'voice.m4a').exists()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("start", [["-m", "heygemd"], ["-c", "from heygemd.cli.main import main; main()"]])
def test_both_entry_points(start: list[str]) -> None:
    done = subprocess.run([sys.executable, *start, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "doctor" in done.stdout


def test_versions_agree() -> None:
    import importlib.metadata

    import heygemd

    try:
        installed = importlib.metadata.version("heygemd")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("heygemd is not installed here")
    assert installed == heygemd.__version__
