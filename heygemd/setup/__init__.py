"""What an administrator runs once: the share and the systemd units."""
