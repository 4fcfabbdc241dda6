"""`heygemd init`: creates a share with the right folders and permissions, and a configuration outside it."""

from __future__ import annotations

import grp
import os
from pathlib import Path

from .. import package_data
from ..config import loader
from ..config.schema import Config
from ..errors import ConfigError, InfrastructureError, InputError, describe
from ..groups import SERVICE_USER, STAFF_GROUP, outsiders, service_ids
from ..storage import atomic, share_fs, share_layout, share_owner, share_paths
from . import systemd_units

CONFIG_MODE = 0o640


def initialise(share: Path, config_path: Path | None, group: str | None) -> list[str]:
    """Create the share and write its configuration; return a line for each step taken. Safe to repeat.

    As root it also closes what an earlier version left open: staff leave the service's own group for the share's, which
    gets their folders, and nobody else may enter the private folders or read the configuration. What lies in inbox/
    and templates/ is given to the share's group, which may write it.

    Raises ConfigError("config_inside_share" | "config_other_share") and InputError("group_unknown" | "group_private")
    before anything is changed, and the errors of `share_fs`.
    """
    share = share.absolute()
    path = (config_path or default_config()).absolute()
    if path.resolve().is_relative_to(share.resolve()):
        raise ConfigError("config_inside_share", path=str(path), share=str(share))
    existing = loader.load(path) if path.exists() else None
    if existing is not None and existing.paths.share != share:
        raise ConfigError("config_other_share", path=str(path), share=str(existing.paths.share))
    if group is not None:
        _group_id(group)
    done = _add_groups(group or STAFF_GROUP)
    gid = _group_id(group)
    done += share_layout.create(share, gid)
    share_paths.anchor(share)
    done += _give_to_service(share, gid)
    for name in ("inbox", share_layout.TEMPLATES):
        done += _open_to_group(share / name, gid)
    if existing is None:
        _write_config(path, share)
        done.append(f"wrote {path}")
    return done + _close_to_staff(path, existing or loader.load(path))


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


def _add_groups(staff: str) -> list[str]:
    """Add the group of staff where only the service's user exists (as root), and move staff to it."""
    ids = service_ids()
    if os.geteuid() != 0 or ids is None:
        return []
    done = []
    try:
        if not _exists(staff):
            systemd_units.add_users()
            done.append(f"added the group {staff}")
        for name in outsiders():
            systemd_units.move_to_group(name, staff, SERVICE_USER)
            done.append(f"moved {name} from the group {SERVICE_USER} to {staff}, from the next login on")
    except InfrastructureError as error:  # no systemd, or users come from elsewhere
        done.append(f"could not set up the group {staff}: {describe(error)}")
    return done


def _exists(group: str) -> bool:
    try:
        grp.getgrnam(group)
    except KeyError:
        return False
    return True


def _group_id(name: str | None) -> int | None:
    """Return the id of the group that shares the folders: `name`, else that of staff if it exists."""
    ids = service_ids()
    try:
        gid = grp.getgrnam(name or STAFF_GROUP).gr_gid
    except KeyError:
        if name is not None:
            raise InputError("group_unknown", name=name) from None
        return None
    if ids is not None and gid == ids[1]:
        raise InputError("group_private", name=name)
    return gid


def _give_to_service(share: Path, gid: int | None) -> list[str]:
    """Make the service's user the owner (as root): it writes the status page and moves folders there."""
    share_owner.open_to_group(share, gid)
    if os.geteuid() != 0:
        return []
    ids = service_ids()
    if ids is None:
        return [f"no user {SERVICE_USER} exists yet: run this again after systemd-sysusers, or set the owner yourself"]
    uid, private_gid = ids
    try:
        for name in ("", *share_layout.FOLDERS, share_layout.TEMPLATES, share_layout.MARKER):
            share_owner.give_to_user(share / name, uid)
        if gid is not None:
            share_fs.change_group(share, private_gid, gid)
    except OSError as error:  # a network share, where the server or the mount decides
        return [f"{share} keeps its owner ({error.strerror}); `heygemd doctor` says whether that works"]
    return [f"gave {share} to the user {SERVICE_USER}"]


def _open_to_group(folder: Path, gid: int | None) -> list[str]:
    """Let the service (as root) read and move what was dropped with permissions that keep it out."""
    if os.geteuid() != 0:
        return []
    try:
        share_fs.open_tree_to_group(folder, share_paths.lstat(folder).st_gid if gid is None else gid)
    except OSError as error:
        return [f"the files in {folder} keep their permissions ({error.strerror})"]
    return []


def _close_to_staff(config_path: Path, config: Config) -> list[str]:
    """Close the private folders and the configuration (as root): who reads it has the notifications' passwords."""
    ids = service_ids()
    if os.geteuid() != 0 or ids is None:
        return []
    folders = [folder for folder in config.paths.private if folder.exists() and atomic.close_to_others(folder)]
    done = [f"closed {folder} to other users" for folder in folders]
    facts = config_path.stat()
    if facts.st_mode & 0o037 or facts.st_gid != ids[1]:
        os.chown(config_path, 0, ids[1])
        config_path.chmod(CONFIG_MODE)
        done.append(f"let only root and {SERVICE_USER} read {config_path}")
    return done
