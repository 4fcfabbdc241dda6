"""Vertices of MediaPipe's 468-point face mesh by name.

"Right" and "left" are the person's own; upper and lower lips run from the person's right corner to the left one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263
"""Outer corners of the eyes; their distance is the unit of length in the mean face's frame."""
FOREHEAD_TOP, CHIN = 10, 152
RIGID = np.array([
    10, 151, 9, 8, 168, 6, 197, 195, 33, 133, 362, 263, 109, 338, 67, 297,
    103, 332, 54, 284, 21, 251, 162, 389, 127, 356, 70, 300, 122, 351, 196, 419,
])  # fmt: skip
"""Brow, forehead, temples, eye corners and bridge of the nose: speech does not move them."""
LOWER_FACE_OUTLINE = np.array([
    127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152,
    377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356,
])  # fmt: skip
"""The face's outline from temple over the chin to temple."""
BROW_AND_BRIDGE = np.array([6, 197, 9, 151, 108, 337, 8])

MOUTH_CORNERS = (61, 291)
OUTER_LIPS = np.array([61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146])
"""Border between lips and skin, once round."""
INNER_UPPER_LIP = np.array([78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308])
INNER_LOWER_LIP = np.array([78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308])
"""Inner edges of the lips. They share the corners, and entry k of one lies opposite entry k of the other."""
INNER_LIPS = np.concatenate([INNER_UPPER_LIP, INNER_LOWER_LIP[-2:0:-1]])
"""Inner edge of both lips, once round."""
INNER_UPPER_LIP_MIDDLE, INNER_LOWER_LIP_MIDDLE = 13, 14
OUTER_UPPER_LIP_MIDDLE, OUTER_LOWER_LIP_MIDDLE = [37, 0, 267], [84, 17, 314]
LOWER_LIP_PAIRS = np.array([(17, 14), (84, 87), (314, 317), (181, 178), (405, 402)])
"""Outer and inner vertex of the lower lip: its red lies halfway between."""
BELOW_LOWER_LIP = np.array([18, 200, 83, 313, 182, 406, 199])
OUTER_LIP_PAIRS = np.array([(0, 17), (37, 84), (267, 314), (39, 181), (269, 405), (40, 91), (270, 321)])
"""Upper and lower outer edge of the lips: a line between them crosses the place where the lips meet."""


class EyePoints(NamedTuple):
    """An eye: its corners, and the edges of its lids from the outer corner to the inner one, without the corners."""

    outer: int
    inner: int
    upper: tuple[int, ...]
    lower: tuple[int, ...]


RIGHT_EYE = EyePoints(RIGHT_EYE_OUTER, 133, (246, 161, 160, 159, 158, 157, 173), (7, 163, 144, 145, 153, 154, 155))
LEFT_EYE = EyePoints(LEFT_EYE_OUTER, 362, (466, 388, 387, 386, 385, 384, 398), (249, 390, 373, 374, 380, 381, 382))
