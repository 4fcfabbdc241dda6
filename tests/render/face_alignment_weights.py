"""Made weights for face-alignment's networks, in the package's files. They say nothing of accuracy: S3FD and BlazeFace
are made to see one face of a known size in every picture, FAN guesses.
"""

from __future__ import annotations

from pathlib import Path

import torch
from face_alignment.detection.blazeface.net_blazeface import BlazeFace as BackBlazeFace
from face_alignment.detection.sfd.net_s3fd import s3fd
from face_alignment.models import FAN

from heygemd.weights import requirements


def write(folder: Path) -> Path:
    """Write the three files (about 190 MB); return the folder."""
    torch.manual_seed(5)
    nets = {requirements.DETECTOR_FILES["s3fd"]: _s3fd(), requirements.DETECTOR_FILES["blazeface"]: _blazeface()}
    for name, net in {**nets, requirements.FAN_FILE: FAN(4)}.items():
        torch.save(net.state_dict(), folder / name)
    return folder


def _s3fd() -> s3fd:
    net = s3fd()
    for name, layer in net.named_modules():
        if "mbox" in name:
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
            if name == "conv7_2_mbox_loc":  # e times as large as its anchor, so that neighbours are the same face
                layer.bias.data[2:] = 5
            elif name.endswith("conf"):  # only the coarsest layer sees faces, everywhere
                layer.bias.data[-1] = 5 if name.startswith("conv7_2") else -5
    return net


def _blazeface() -> BackBlazeFace:
    """Sees one face that fills the picture but for an eighth on each side."""
    net = BackBlazeFace(back_model=True)
    for name, layer in net.named_modules():
        if name.startswith(("classifier", "regressor")):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    net.classifier_8.bias.data[:] = net.classifier_16.bias.data[:] = -50
    net.classifier_16.bias.data[0] = 50
    net.regressor_16.bias.data[2:4] = 0.75 * 256
    return net
