"""The service's user with its own group, and the group of staff, who share folders with it."""

from __future__ import annotations

import grp
import pwd

SERVICE_USER = "heygemd"
"""The user that the unit runs as; its own group has the same name and no other member."""
STAFF_GROUP = "heygemd-share"


def service_ids() -> tuple[int, int] | None:
    """Return the ids of the service's user and of its own group; None where there is no such user."""
    try:
        found = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return None
    return found.pw_uid, found.pw_gid


def outsiders() -> list[str]:
    """Return who else is in the service's own group: they could read its configuration."""
    ids = service_ids()
    if ids is None:
        return []
    try:
        return [name for name in grp.getgrgid(ids[1]).gr_mem if name != SERVICE_USER]
    except KeyError:
        return []
