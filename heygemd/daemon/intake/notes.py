"""Notes for users: text files in the folders that they are about."""

from __future__ import annotations

from pathlib import Path

from loguru import logger

from ...errors import NotReady, ShareError, describe
from ...storage import share_fs
from ...storage.availability import ShareAvailability


async def put(share: ShareAvailability, path: Path, note: bytes | None) -> bool:
    """Write or remove a note; return whether that was possible: folders are processed without notes, too."""
    try:
        if note is None:
            await share.thread.call(share_fs.remove, path)
        else:
            await share.thread.call(share_fs.write, path, note, share.group, durable=False)
    except (NotReady, ShareError, OSError) as error:
        logger.bind(job=path.parent.name).debug("cannot write a note: {}", describe(error))
        return False
    return True
