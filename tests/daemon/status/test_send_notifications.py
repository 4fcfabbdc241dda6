"""Notifications: noticed by the daemon's part without network, sent to a real HTTP and a real mail server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from heygemd.config import loader
from heygemd.config.schema import Config, Notify, Paths
from heygemd.daemon.status import send_notifications
from heygemd.daemon.status.notifications import Notifier
from heygemd.errors import ConfigError, InfrastructureError
from heygemd.job import Job, Media, Problem, Video

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # apprise and aiosmtpd's own
EVERYTHING = ("done", "failed", "paused", "recovered", "digest")
MORNING = time.mktime((2026, 3, 1, 9, 0, 0, 0, 0, -1))


class Hook(HTTPServer):
    """A webhook that remembers what it was sent; `refusals`: how often it first says no."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.received: list[dict[str, Any]] = []
        self.refusals = 0

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server_port}/secret-token"


class Answer(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        refused = self.server.refusals > 0
        self.server.refusals -= refused
        if not refused:
            self.server.received.append(data)
        self.send_response(503 if refused else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def settings(folder: Path, *urls: str, **more: Any) -> Config:
    state = folder / "state"
    state.mkdir(exist_ok=True)
    return Config(paths=Paths(share=folder / "share", state=state), notify=Notify(urls=urls, on=EVERYTHING, **more))


def job(number: int = 1, failed: bool = False, finished: float = MORNING) -> Job:
    problem = Problem(code="no_face") if failed else None
    media = Media(name="anna.mp4", size=1, mtime_ns=1)
    video = Video(source=media, output="anna.mp4", state="failed" if failed else "done", problem=problem)
    return Job(
        id=str(number), name=f"job {number}", folder="j", destination="done/j", arrived=1, voice=media, videos=[video],
        phase="finished", finished=finished,
    )  # fmt: skip


def outbox(settings: Config) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted((settings.paths.state / "outbox").glob("*.json"))]


def test_what_is_worth_telling_is_noticed_once(tmp_path: Path) -> None:
    chosen = settings(tmp_path, "json://localhost")
    notifier = Notifier(chosen, [job(0)])
    full = InfrastructureError("share_full")
    notifier.update([job(0), job(1), job(2, failed=True)], None, MORNING)
    for seconds in (0, 30, 90, 120):
        notifier.update([], full, MORNING + seconds)
    notifier.update([], None, MORNING + 200)
    notifier.update([], None, MORNING + 300)
    assert [item["event"] for item in outbox(chosen)] == ["done", "failed", "digest", "paused", "recovered"]


def test_a_trouble_that_is_soon_over_is_not_told(tmp_path: Path) -> None:
    chosen = settings(tmp_path, "json://localhost")
    notifier = Notifier(chosen, [])
    notifier.update([], InfrastructureError("share_full"), MORNING - 7200)
    notifier.update([], None, MORNING - 7190)
    assert outbox(chosen) == []


def test_without_addresses_nothing_is_written(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    Notifier(chosen, []).update([job()], None, MORNING)
    assert list(chosen.paths.state.iterdir()) == []


def test_a_webhook_is_told_what_failed_and_why(tmp_path: Path, hook: Hook) -> None:
    chosen = settings(tmp_path, hook.url)
    Notifier(chosen, []).update([job(7, failed=True)], None, MORNING - 7200)
    assert send_notifications.deliver(chosen, lambda _: None)
    (message,) = hook.received
    assert '"job 7" needs attention: 0 of 1 videos' in message["title"]
    assert "anna.mp4: No face was found" in message["message"]
    assert outbox(chosen) == []


@pytest.mark.parametrize(("abandoned", "place"), [(False, "j"), (True, "processing/j")])
def test_only_a_folder_that_could_not_be_moved_is_said_to_be_in_processing(
    tmp_path: Path, abandoned: bool, place: str
) -> None:
    """Otherwise one without a destination was taken away."""
    chosen = settings(tmp_path, "json://localhost")
    gone = job(8).model_copy(update={"destination": "", "abandoned": abandoned, "problem": Problem(code="removed")})
    Notifier(chosen, []).update([gone], None, MORNING - 7200)
    assert [item["folder"] for item in outbox(chosen)] == [place]


def test_a_folder_that_was_rejected_is_not_counted_in_videos(tmp_path: Path, hook: Hook) -> None:
    chosen = settings(tmp_path, hook.url)
    problem = Problem(code="shortcut", fields={"name": "anna.lnk"})
    rejected = job(8).model_copy(update={"videos": [], "problem": problem, "destination": "failed/job 8"})
    Notifier(chosen, []).update([rejected], None, MORNING - 7200)
    send_notifications.deliver(chosen, lambda _: None)
    assert hook.received[0]["title"].endswith('"job 8" could not be processed (failed/job 8).')
    assert '"anna.lnk" is only a shortcut' in hook.received[0]["message"]


def test_mail_arrives(tmp_path: Path) -> None:
    letters: list[str] = []

    class Box:
        async def handle_DATA(  # noqa: N802
            self, server: Any, session: Any, envelope: Any
        ) -> str:
            letters.append(envelope.content.decode())
            return "250 OK"

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    mail = Controller(Box(), hostname="127.0.0.1", port=port)
    mail.start()
    try:
        chosen = settings(tmp_path, f"mailto://127.0.0.1:{port}?from=heygemd@example.com&to=admin@example.com")
        Notifier(chosen, []).update([job(3)], None, MORNING - 7200)
        assert send_notifications.deliver(chosen, lambda _: None)
    finally:
        mail.stop()
    assert "admin@example.com" in letters[0]


def test_a_server_that_says_no_is_tried_again_later(tmp_path: Path, hook: Hook) -> None:
    hook.refusals = 2
    waits: list[float] = []
    chosen = settings(tmp_path, hook.url)
    Notifier(chosen, []).update([job()], None, MORNING - 7200)
    assert send_notifications.deliver(chosen, waits.append)
    assert len(hook.received) == 1
    assert [w for w in waits if w in send_notifications.RETRY_S] == [30.0, 120.0]


def test_many_news_become_one_message_within_the_limit(tmp_path: Path, hook: Hook) -> None:
    chosen = settings(tmp_path, hook.url, max_per_hour=1)
    waits: list[float] = []
    notifier = Notifier(chosen, [])
    notifier.update([job(1)], None, MORNING - 7200)
    send_notifications.deliver(chosen, waits.append)
    notifier.update([job(n) for n in range(2, 40)], None, MORNING - 7200)
    send_notifications.deliver(chosen, waits.append)
    assert len(hook.received) == 2
    assert "38 notifications" in hook.received[1]["title"]
    assert max(waits) == pytest.approx(3600, abs=60)


def test_what_nobody_takes_for_a_day_is_put_aside(tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    hook.refusals = 99
    chosen = settings(tmp_path, hook.url)
    Notifier(chosen, []).update([job()], None, MORNING - 7200)
    (chosen.paths.state / "outbox" / "0.json").write_text("{half")
    now = time.time()
    monkeypatch.setattr(send_notifications.time, "time", lambda: now + send_notifications.GIVE_UP_S + 1)
    assert not send_notifications.deliver(chosen, lambda _: None)
    assert len(list((chosen.paths.state / "undelivered").iterdir())) == 2


def test_words_of_ones_own(tmp_path: Path, hook: Hook) -> None:
    chosen = settings(tmp_path, hook.url, templates={"done": "{job} -> {folder}"})
    Notifier(chosen, []).update([job(5)], None, MORNING - 7200)
    send_notifications.deliver(chosen, lambda _: None)
    assert hook.received[0]["message"].strip() == "job 5 -> done/j"


def test_a_template_cannot_name_what_there_is_not(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[notify]\ntemplates = { done = "{nobody}" }\n')
    with pytest.raises(ConfigError) as caught:
        loader.load(path)
    assert "unknown nobody" in str(caught.value.fields["mistakes"])


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[notify]\nurls = ["mailtos://me:pa55w0rd@example.com"]\n')
    command = [sys.executable, "-m", "heygemd", "config", "--config", str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "notify" in shown
    assert "pa55w0rd" not in shown


def test_secrets_are_not_shown_in_a_mistake_either(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[notify]\nurls = "mailtos://me:pa55w0rd@example.com"\n')
    with pytest.raises(ConfigError) as caught:
        loader.load(path)
    assert "notify.urls" in str(caught.value.fields["mistakes"])
    assert "pa55w0rd" not in str(caught.value.fields["mistakes"])


def test_the_daemon_never_imports_what_has_network() -> None:
    code = "import heygemd.daemon.service, sys; print('apprise' in sys.modules, 'requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
