"""NVIDIA's GPUs, from files like the driver's."""

from __future__ import annotations

from pathlib import Path

import pytest

from heygemd.daemon.gpus import gpu_environments, gpu_names


@pytest.fixture
def driver_folder(tmp_path: Path) -> Path:
    for bus in ("0000:01:00.0", "0000:41:00.0"):
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "information").write_text("Model: \t\t NVIDIA H200\nIRQ:   \t\t 132\n")
    return tmp_path


def test_names_come_from_the_driver(driver_folder: Path, tmp_path: Path) -> None:
    assert gpu_names(driver_folder) == ("NVIDIA H200", "NVIDIA H200")
    assert gpu_names(tmp_path / "none") == ()


def test_each_slot_gets_one_gpu(driver_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_environments(tmp_path / "none") == [{}]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in gpu_environments(driver_folder)] == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1, 3")
    assert [each["CUDA_VISIBLE_DEVICES"] for each in gpu_environments(driver_folder)] == ["MIG-1", "3"]
