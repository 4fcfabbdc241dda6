"""`heygemd init`: creates a share with the right folders and permissions, and a configuration outside it."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from .. import package_data
from ..config import loader
from ..errors import ConfigError, InputError
from ..storage import share_fs, share_layout

SERVICE_USER = "heygemd"


def initialise(share: Path, config_path: Path | None, group: str | None) -> list[str]:
    """Create the share and write its configuration; return a line for each step taken. Safe to repeat.

    Raises ConfigError("config_inside_share" | "config_other_share") and InputError("group_unknown") before anything is
    changed, and the errors of `share_fs`.
    """
    share = share.absolute()
    path = (config_path or default_config()).absolute()
    if path.resolve().is_relative_to(share.resolve()):
        raise ConfigError("config_inside_share", path=str(path), share=str(share))
    existing = loader.load(path) if path.exists() else None
    if existing is not None and existing.paths.share != share:
        raise ConfigError("config_other_share", path=str(path), share=str(existing.paths.share))
    gid = _group_id(group)
    done = share_layout.create(share, gid)
    done += _give_to_service(share, gid)
    if existing is None:
        _write_config(path, share)
        done.append(f"wrote {path}")
    return done


def default_config() -> Path:
    """Return where the configuration goes: /etc for root, else the user's own folder."""
    if os.geteuid() == 0:
        return loader.DEFAULT_PATH
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "heygemd" / "config.toml"


def _write_config(path: Path, share: Path) -> None:
    paths = {"share": share}
    if os.geteuid() != 0:
        paths |= _user_folders()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as out:
        out.write(package_data.config_for(**paths))


def _user_folders() -> dict[str, Path]:
    """Return the folders of a user who may not write to /var."""
    state = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "heygemd"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "heygemd"
    return {"state": state, "cache": cache, "log": state / "log", "models": state / "models"}


def _group_id(name: str | None) -> int | None:
    """Return the id of the group that shares the folders: `name`, else the service's group if it exists."""
    try:
        return grp.getgrnam(name or SERVICE_USER).gr_gid
    except KeyError:
        if name is not None:
            raise InputError("group_unknown", name=name) from None
        return None


def _give_to_service(share: Path, gid: int | None) -> list[str]:
    """Make the service's user the owner (as root): it writes the status page and moves folders there."""
    share_fs.open_to_group(share, gid)
    if os.geteuid() != 0:
        return []
    try:
        uid = pwd.getpwnam(SERVICE_USER).pw_uid
    except KeyError:
        return [f"no user {SERVICE_USER} exists yet: run this again after systemd-sysusers, or set the owner yourself"]
    try:
        for path in (share, *(share / name for name in (*share_layout.FOLDERS, share_layout.MARKER))):
            os.chown(path, uid, -1)
            if path.is_dir():
                path.chmod(share_fs.FOLDER_MODE)
    except OSError as error:  # a network share, where the server or the mount decides
        return [f"{share} keeps its owner ({error.strerror}); `heygemd doctor` says whether that works"]
    return [f"gave {share} to the user {SERVICE_USER}"]
