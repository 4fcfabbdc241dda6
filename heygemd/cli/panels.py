"""`heygemd --help`: the commands in groups, with whole summaries."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

DAEMON, JOBS, ONE_VIDEO, ADMINISTRATION = "Daemon", "Jobs", "One video", "Administration"
WHOLE = 1000
"""Characters after which a summary would be cut: never."""


class PanelGroup(TyperGroup):
    """A group whose help lists each command under its `rich_help_panel`, in plain text."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section per panel; `ctx` and `formatter` are click's."""
        commands = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        width = max(len(name) for name, _ in commands)
        for panel in (DAEMON, JOBS, ONE_VIDEO, ADMINISTRATION):
            rows = [
                (name.ljust(width), command.get_short_help_str(WHOLE))
                for name, command in commands
                if getattr(command, "rich_help_panel", None) == panel
            ]
            with formatter.section(panel):
                formatter.write_dl(rows)
