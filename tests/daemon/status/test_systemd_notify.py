import socket

from heygemd.daemon.status.systemd_notify import SystemdNotify


def test_a_status_in_any_script_arrives_as_utf8(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notifier = SystemdNotify()
        for line in ("春节促销: 0 of 1 done", "née", "caf\udce9"):
            notifier.status(line)
            assert listener.recv(4096).decode("utf-8") == f"STATUS={line}".replace("\udce9", "\\udce9")
        notifier.close()
