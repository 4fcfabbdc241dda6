"""Talking to systemd over its notify socket: ready, a status line, the watchdog from the main loop only."""

from __future__ import annotations

import sdnotify

from ...errors import printable


class Notifier:
    """Says nothing when no systemd listens."""

    def __init__(self) -> None:
        """Reads NOTIFY_SOCKET from the environment."""
        self._socket = sdnotify.SystemdNotifier()
        self._last = ""

    def ready(self) -> None:
        """Say that settings and records are loaded; the share may still be away."""
        self._socket.notify("READY=1")

    def status(self, line: str) -> None:
        """Show one line in `systemctl status`, when it changed."""
        if line != self._last:
            self._last = line
            # The library encodes as Latin-1 and swallows the error: these are the bytes of UTF-8.
            self._socket.notify(f"STATUS={printable(line)}".encode().decode("latin-1"))

    def alive(self) -> None:
        """Ping the watchdog; call it only at the end of a pass of the main loop."""
        self._socket.notify("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket; nothing is said afterwards."""
        if self._socket.socket is not None:
            self._socket.socket.close()
            self._socket.socket = None

    def stopping(self) -> None:
        """Say that a stop was begun."""
        self._socket.notify("STOPPING=1")
