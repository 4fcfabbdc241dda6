"""The settings of where videos are rendered, and how many at once."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from .engine_settings import Positive, Section

Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]


class Ray(Section):
    """The executor ray.

    address                         of the cluster, as Ray knows it; "auto": the one that this machine is part of
    num_gpus, num_cpus, memory_gib  what a video is given; shares of a GPU are allowed, memory_gib = 0 asks for none
    exchange                        how files travel: "objects" (Ray's object store) or "shared" (paths.cache is a
                                    folder that every node has mounted at the same place)
    node_cache                      on each node's own disk: inputs by content, face tracks, attempts under way
    max_losses                      nodes that one attempt may lose before it counts as failed
    silent_s                        without a word from a node before it counts as lost
    """

    address: str = "auto"
    num_gpus: Amount = 1
    num_cpus: Positive = 2
    memory_gib: Amount = 4
    exchange: Literal["objects", "shared"] = "objects"
    node_cache: Path = Path("/var/cache/heygemd-node")
    max_losses: Annotated[int, Field(ge=0)] = 3
    silent_s: Positive = 90


class Work(Section):
    """Where videos are rendered, and how many at once."""

    executor: Literal["local", "ray"] = "local"
    workers: Count | Literal["per-gpu"] = 1
    ray: Ray = Ray()

    @field_validator("executor")
    @classmethod
    def _is_installed(cls, value: str) -> str:
        if value == "ray" and find_spec("ray") is None:
            raise ValueError("the package ray is not installed: pip install 'heygemd[ray]'")
        return value
