"""Smooth transitions between 0 and 1."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", bound="np.floating[Any]")


def smoothstep(x: NDArray[Float]) -> NDArray[Float]:
    """Return values of the same shape and type: 0 below 0, 1 above 1, Hermite's cubic between."""
    x = np.clip(x, 0, 1)
    eased: NDArray[Float] = x * x * (3 - 2 * x)
    return eased
