"""What is shown of a running daemon: pages, status.json, metrics, notifications, systemd."""
