"""The mesh engine: speech to lip shape, lips re-posed on the presenter's own face."""

from .engine import MeshEngine

__all__ = ["MeshEngine"]
