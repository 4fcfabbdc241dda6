"""A renderer's request for two files, with everything it makes in one folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from heygemd.config.schema import Limits, Render
from heygemd.protocol import RenderRequest


def request(folder: Path, voice: Path, shown: Path, settings: Render, models: Path | None = None) -> RenderRequest:
    scratch = folder / f"scratch-{len(list(folder.iterdir()))}"
    scratch.mkdir()
    return RenderRequest(
        voice=voice,
        video=shown,
        voice_digest=hashlib.blake2b(voice.read_bytes()).hexdigest(),
        video_digest=hashlib.blake2b(shown.read_bytes()).hexdigest(),
        output=folder / "out.mp4",
        scratch=scratch,
        cache=folder / "cache",
        models=models or folder,
        settings=settings,
        limits=Limits(probe_timeout_s=120),  # many tests at once
    )
