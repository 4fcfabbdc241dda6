"""The Wav2Lip engine: the public network, its defects in use mended."""

from .engine import Wav2LipEngine

__all__ = ["Wav2LipEngine"]
