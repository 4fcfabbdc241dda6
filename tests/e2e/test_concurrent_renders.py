"""Two renderers at once on one machine: both work, and a killed daemon counts against neither video."""

import signal

import pytest

from .harness import living, wait_for, workers

pytestmark = pytest.mark.slow


def test_two_videos_at_once_survive_the_daemons_end(site, media):
    site.configure(work={"workers": 2}, attempts={"daemon_crash_limit": 1})
    site.drop("long", voice__wav=media.long_voice, anna__mp4=media.face, ben__mp4=media.face)
    process = site.start()
    wait_for(lambda: len(workers(process)) == 2, "two renderers")
    both = workers(process)
    wait_for(lambda: sum(v["running"] for v in site.records()[0]["videos"]) == 2, "two records")

    def shown():
        current = site.status()["current"] or {"videos": []}
        return [v["name"] for v in current["videos"] if v["state"] == "running"]

    wait_for(lambda: shown() == ["anna.mp4", "ben.mp4"], "both on the page")
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not living(both), "their end")
    site.start()
    folder = site.finished("long")
    assert {path.name for path in folder.glob("*.mp4")} == {"anna.mp4", "ben.mp4"}
    assert [v["attempts"] for v in site.records()[0]["videos"]] == [2, 2]
    site.ledger.check()
