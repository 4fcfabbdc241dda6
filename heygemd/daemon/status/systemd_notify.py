"""systemd's notify socket: ready, a status line, and the watchdog, which only the main loop pings."""

from __future__ import annotations

import sdnotify

from ...errors import printable


class SystemdNotify:
    """Sends nothing if the service was not started by systemd."""

    def __init__(self) -> None:
        """Reads NOTIFY_SOCKET from the environment."""
        self._socket = sdnotify.SystemdNotifier()
        self._last = ""

    def ready(self) -> None:
        """Report that configuration and records are loaded; the share may still be missing."""
        self._socket.notify("READY=1")

    def status(self, line: str) -> None:
        """Show one line in `systemctl status`, if it changed."""
        if line != self._last:
            self._last = line
            # The library encodes as Latin-1 and hides the error: this makes it send the bytes of UTF-8.
            self._socket.notify(f"STATUS={printable(line)}".encode().decode("latin-1"))

    def alive(self) -> None:
        """Ping the watchdog; call it only at the end of a pass of the main loop."""
        self._socket.notify("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket; nothing is sent afterwards."""
        if self._socket.socket is not None:
            self._socket.socket.close()
            self._socket.socket = None

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._socket.notify("STOPPING=1")
