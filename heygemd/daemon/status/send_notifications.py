"""`heygemd notify`: sends what is in the outbox through apprise (mail, WeCom, DingTalk, Feishu, Slack, webhooks …).

systemd starts it when the outbox is not empty; it ends when it is. Several notifications become one message, which
limits the rate.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loguru import logger

from ...config.schema import NOTIFY_FIELDS, Config
from ...i18n import catalog
from ...storage import atomic

UNDELIVERED, SENT = "undelivered", "notifications-sent.json"
GATHER_S, HOUR_S = 3.0, 3600.0
"""Notifications written within this time are sent together."""
RETRY_S = (30.0, 120.0, 600.0, 1800.0, 3600.0)
GIVE_UP_S = 24 * HOUR_S
SHOWN = 30

Item = dict[str, Any]
Wait = Callable[[float], None]


def deliver(config: Config, wait: Wait = time.sleep) -> bool:
    """Send until the outbox is empty; return whether everything could be sent.

    What could not be sent for a day is moved to state/undelivered: not lost, but not tried forever.
    """
    outbox, failures, lost = config.paths.outbox, 0, 0
    while _waiting(outbox):
        wait(GATHER_S if not failures else RETRY_S[min(failures, len(RETRY_S)) - 1])
        wait(_until_allowed(config))
        items = {path: _read(path) for path in _waiting(outbox)}
        readable = [item for item in items.values() if item is not None]
        if readable and _send(config, *compose(config, readable)):
            failures = 0
            _record_sent(config)
            for path in [path for path, item in items.items() if item is not None]:
                path.unlink(missing_ok=True)
        elif readable:
            failures += 1
        given_up = [path for path, item in items.items() if path.exists() and _give_up(config, item)]
        lost += _move_to(given_up, config.paths.state / UNDELIVERED)
    return not lost


def compose(config: Config, items: list[Item]) -> tuple[str, str]:
    """Return title and body for some notifications, in the first of the configured languages."""
    language = config.pages.languages[0]
    lines = [_line(config, item, language) for item in items[:SHOWN]]
    if len(items) > SHOWN:
        lines.append(f"… +{len(items) - SHOWN}")
    title = (
        lines[0].split("\n")[0] if len(items) == 1 else catalog.text("notify_several", {"count": len(items)}, language)
    )
    return f"heygemd ({socket.gethostname()}): {title}", "\n\n".join(lines)


def _line(config: Config, item: Item, language: str) -> str:
    """Return one notification, by the configured template or by the default text."""
    problems = [catalog.text_with_file_name(p["code"], p["fields"], language) for p in item.get("problems", ())]
    fields = {**item, "why": "\n".join(problems), "share": str(config.paths.share), "host": socket.gethostname()}
    own = config.notify.templates.get(item["event"])
    if own is not None:
        return own.format_map({name: fields.get(name, "") for name in NOTIFY_FIELDS})
    event = item["event"] if item.get("total", 1) else "rejected"
    said = catalog.text("notify_rejected" if event == "rejected" else f"notify_{event}", fields, language)
    return "\n".join([said, *problems])


def _send(config: Config, title: str, body: str) -> bool:
    import apprise  # imported here: it takes half a second

    post = apprise.Apprise()
    for url in config.notify.urls:
        if not post.add(url.get_secret_value()):
            logger.error("invalid notification address: {}", url)
    sent = bool(post.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT))
    (logger.info if sent else logger.warning)("{}: {}", "sent" if sent else "could not be sent", title)
    return sent


def _waiting(outbox: Path) -> list[Path]:
    return sorted(path for path in outbox.glob("*.json") if not path.name.startswith("."))


def _read(path: Path) -> Item | None:
    try:
        item: Item = json.loads(atomic.read(path))
        return item if {"event", "time"} <= item.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _give_up(config: Config, item: Item | None) -> bool:
    """Return whether a notification is unreadable, has no address to go to, or is too old."""
    return item is None or not config.notify.urls or time.time() - item["time"] > GIVE_UP_S


def _move_to(paths: list[Path], folder: Path) -> int:
    for path in paths:
        atomic.make_folder(folder)
        atomic.rename(path, folder / path.name)
        logger.error("gave up sending a notification: {}", folder / path.name)
    return len(paths)


def _history(config: Config) -> list[float]:
    """Return when messages were sent during the last hour."""
    try:
        times = json.loads(atomic.read(config.paths.state / SENT))
    except (OSError, ValueError):
        return []
    return [t for t in times if 0 <= time.time() - t < HOUR_S]


def _until_allowed(config: Config) -> float:
    """Return the seconds until another message may be sent."""
    sent = _history(config)
    if len(sent) < config.notify.max_per_hour:
        return 0
    return max(0.0, sent[-config.notify.max_per_hour] + HOUR_S - time.time())


def _record_sent(config: Config) -> None:
    sent = [*_history(config), time.time()]
    atomic.write(config.paths.state / SENT, json.dumps(sent).encode())
