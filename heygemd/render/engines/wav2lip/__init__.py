"""The Wav2Lip engine: the public network, with the defects of its reference program corrected."""

from .engine import Wav2LipEngine

__all__ = ["Wav2LipEngine"]
