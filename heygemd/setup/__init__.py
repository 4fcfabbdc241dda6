"""Set-up steps that an administrator runs once: the share and the systemd units."""
