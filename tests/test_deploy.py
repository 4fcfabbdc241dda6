"""The examples in docs/deploy pass their linters and match the package. They are not built or applied."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli
import yaml

from heygemd import package_data
from heygemd.config.schema import Config
from tests.test_packaging import analyze

CHECKOUT = Path(__file__).parents[1]
DEPLOY = CHECKOUT / "docs" / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
BIN = Path(sys.executable).parent


def run(*command: str | Path) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def documents() -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all((DEPLOY / "rayjob.yaml").read_text())}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="hadolint is made for x86-64 only")
def test_the_dockerfile_passes_its_linter() -> None:
    run(BIN / "hadolint", DEPLOY / "Dockerfile")


def test_all_yaml_passes_its_linter() -> None:
    run(sys.executable, "-m", "yamllint", "--strict", "-c", DEPLOY / "yamllint.yaml", DEPLOY)


def test_kubernetes_knows_the_kinds() -> None:
    """All Kubernetes objects are validated; of the RayJob, whose schema is KubeRay's, only the pod templates."""
    import kubernetes_validate as kubernetes

    version = kubernetes.latest_version()
    found = list(yaml.safe_load_all((DEPLOY / "rayjob.yaml").read_text()))
    cluster = next(each for each in found if each["kind"] == "RayJob")["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **group["template"]} for group in groups]
    for each in [*(each for each in found if each["kind"] != "RayJob"), *pods]:
        kubernetes.validate(each, version, strict=True)


def test_the_settings_in_it_are_read() -> None:
    inside = Config.model_validate(tomli.loads(documents()["ConfigMap"]["data"]["config.toml"]))
    assert inside.work.executor == "ray"
    assert Config.model_validate(tomli.loads((DEPLOY / "config.toml").read_text())).work.workers == "per-gpu"


def test_private_folders_are_not_the_volumes_themselves() -> None:
    """Kubernetes gives a volume's own folder to root and fsGroup: a daemon with its records there does not start."""
    paths = Config.model_validate(tomli.loads(documents()["ConfigMap"]["data"]["config.toml"])).paths
    head = documents()["RayJob"]["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    mounted = {Path(mount["mountPath"]) for mount in head["containers"][0]["volumeMounts"]}
    assert not mounted & set(paths.private)
    assert all(mounted & set(folder.parents) for folder in (paths.state, paths.cache))


def test_a_worker_has_room_for_a_video() -> None:
    ray = Config.model_validate(tomli.loads(documents()["ConfigMap"]["data"]["config.toml"])).work.ray
    (group,) = documents()["RayJob"]["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    has = container["resources"]["limits"]
    assert float(has["nvidia.com/gpu"]) >= ray.num_gpus
    assert float(has["cpu"]) >= ray.num_cpus
    assert float(has["memory"].removesuffix("Gi")) >= ray.memory_gib
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {str(ray.node_cache)}


def test_what_is_copied_is_there_and_all_that_the_build_needs() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.M)
    names = [name for line in copied for name in line.split()]
    assert all((CHECKOUT / name).exists() for name in names)
    project = tomli.loads((CHECKOUT / "pyproject.toml").read_text())
    wanted = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wanted["packages"], *wanted["force-include"], project["project"]["readme"], "pyproject.toml"} <= set(names)
    assert "ray" in project["project"]["optional-dependencies"]


def test_versions_agree() -> None:
    (torch,) = re.findall(r'"(torch[^"]+)"', DOCKERFILE)
    project = tomli.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert torch in project["dependencies"]
    (version,) = re.findall(r'RAY_VERSION="([^"]+)"', DOCKERFILE)
    assert documents()["RayJob"]["spec"]["rayClusterSpec"]["rayVersion"] == version


def test_the_image_of_compose_is_built_from_it() -> None:
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["heygemd"]
    build = service["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    inside = [volume.split(":")[1] for volume in service["volumes"]]
    paths = Config().paths
    assert {str(paths.share), str(paths.state), str(paths.cache), str(paths.log)} < set(inside)


def test_systemd_knows_the_units(tmp_path: Path) -> None:
    node = (DEPLOY / "heygemd-node.service").read_text()
    (tmp_path / "heygemd-node.service").write_text(node.replace("/opt/heygemd/bin/ray", "/bin/true"))
    daemon = (package_data.units() / "heygemd.service").read_text()
    (tmp_path / "heygemd.service").write_text(daemon.replace("/opt/heygemd/bin/heygemd", "/bin/true"))
    (tmp_path / "heygemd.service.d").mkdir()
    (tmp_path / "heygemd.service.d" / "ray.conf").write_text((DEPLOY / "ray.conf").read_text())
    done = analyze("verify", "--man=no", str(tmp_path / "heygemd-node.service"), str(tmp_path / "heygemd.service"))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
