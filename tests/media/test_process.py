"""ffmpeg is confined, drained, dies with its parent, and is started from one place only."""

import os
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.errors import DeadlineExceeded, EngineError, InfrastructureError, InputError
from heygemd.media import ffmpeg, process

PACKAGE = Path(ffmpeg.__file__).parents[1]


@pytest.mark.parametrize("whole", [True, False])
def test_messages_name_no_addresses(tmp_path, whole):
    broken = tmp_path / "a.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypisom" + bytes(50))
    argv = ["ffprobe", "-v", "error", str(broken)]
    if whole:
        with pytest.raises(InputError) as caught:
            process.run(argv, 60)
        said = caught.value.detail
    else:
        with process.Reader(argv) as reader:
            said = reader.wait().tail
    assert "[mov,mp4,m4a,3gp,3g2,mj2]" in said and "0x" not in said


def test_every_input_is_guarded(tmp_path: Path) -> None:
    argv = ffmpeg.command(ffmpeg.to_pipe(ffmpeg.media(tmp_path / "a.mp4").video, format="rawvideo"))
    at = argv.index("-i")
    for option in ("-protocol_whitelist", "-format_whitelist", "-max_pixels", "-max_streams", "-probesize"):
        assert option in argv[:at]
    assert argv[argv.index("-protocol_whitelist") + 1] == "file"
    assert argv[at + 1].startswith("file:/")
    assert "-nostdin" in argv
    piped = ffmpeg.command(ffmpeg.to_pipe(ffmpeg.raw_video(2, 2, Fraction(25)), format="rawvideo"))
    assert piped[piped.index("-protocol_whitelist") + 1] == "pipe"


def test_nothing_else_starts_ffmpeg_or_opens_media() -> None:
    """A missed call site would be the hole that the whitelists close."""
    forbidden = re.compile(
        r"VideoCapture|VideoWriter|librosa\.load|audioread|soundfile|torchaudio|import av\b"
        r"|ffmpeg\.(run|run_async|probe)\b"
        r"|[\"']ff(mpeg|probe)[\"']\s*,\s*[\"']-|^import ffmpeg|imageio"
    )
    for module in PACKAGE.rglob("*.py"):
        # training runs on recordings of the person who trains, never on what staff drop
        allowed = module.relative_to(PACKAGE).parts[0] == "training" or module == PACKAGE / "media" / "ffmpeg.py"
        hits = [line for line in module.read_text("utf-8").splitlines() if forbidden.search(line)]
        assert allowed or not hits, (module, hits)


def test_the_door_is_light() -> None:
    heavy = "[m for m in ('numpy', 'cv2', 'torch') if m in sys.modules]"
    code = f"import sys, heygemd.media.probe, heygemd.media.completeness; print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


def test_limits_reach_the_process(tmp_path: Path) -> None:
    argv = ffmpeg.command(ffmpeg.to_pipe(ffmpeg.raw_video(16, 16, Fraction(25)), format="null"), max_bytes=12345)
    with process.Writer(argv) as writer:
        writer.write(memoryview(bytes(16 * 16 * 3 // 2)))
        limits = ""
        for _ in range(200):  # prlimit, setpriv and nice replace one another before ffmpeg is there
            if Path(f"/proc/{writer.pid}/comm").read_text() == "ffmpeg\n":
                limits = Path(f"/proc/{writer.pid}/limits").read_text()
                break
            time.sleep(0.02)
    assert re.search(r"Max file size\s+12345", limits)
    assert re.search(r"Max open files\s+256", limits)
    assert re.search(r"Max cpu time\s+600", limits)


NICE = """
import os
from heygemd.media import ffmpeg
for _ in range(2):
    argv = ffmpeg.limited([], 1)
    print(os.nice(0) + int(argv[argv.index("-n") + 1]), os.nice(0) == ffmpeg.NICE, os.sched_getscheduler(0))
    ffmpeg.be_nice()
"""


def test_ffmpeg_is_no_nicer_than_who_feeds_it() -> None:
    argv = ["nice", "-n", str(max(0, 3 - os.nice(0))), sys.executable, "-c", NICE]
    assert subprocess.run(argv, check=True, capture_output=True, text=True).stdout == (
        f"5 False {os.SCHED_OTHER}\n5 True {os.SCHED_BATCH}\n"
    )


PARENT = """
import sys, time
from fractions import Fraction
from heygemd.media import ffmpeg, process
writer = process.Writer(ffmpeg.command(ffmpeg.to_pipe(ffmpeg.raw_video(16, 16, Fraction(25)), format="null")))
writer.write(memoryview(bytes(384)))
print(writer.pid, flush=True)
time.sleep(600)
"""


def test_ffmpeg_dies_with_a_killed_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        while Path(f"/proc/{child}/comm").read_text().strip() != "ffmpeg":  # its wrappers run first
            time.sleep(0.01)
        os.kill(child, signal.SIGSTOP)  # a stopped ffmpeg cannot leave by itself when its pipe closes
        parent.kill()
    for _ in range(250):
        status = Path(f"/proc/{child}/stat")
        if not status.exists() or status.read_text().split()[2] == "Z":
            return
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    pytest.fail("ffmpeg outlived its parent")


def test_the_last_words_of_stderr_travel_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"\0" * 5000)
    argv = ffmpeg.command(ffmpeg.to_pipe(ffmpeg.media(tmp_path / "x.mp4").video, format="rawvideo"))
    with pytest.raises(InputError) as caught:
        process.run(argv, 20)
    assert caught.value.code == "media_unreadable" and "x.mp4" in caught.value.detail


def test_a_flood_on_stderr_does_not_block() -> None:
    with process.Reader(["sh", "-c", "yes broken | head -c 3000000 >&2; printf done"]) as reader:
        buffer = memoryview(bytearray(100))
        assert reader.read_into(buffer) == 4
        ended = reader.wait()
    assert ended.lines > 100_000 and ended.tail.splitlines()[-2] == "broken"


def test_a_pipe_that_never_ends_is_given_up(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe.mp4"
    os.mkfifo(fifo)
    with pytest.raises(DeadlineExceeded):
        process.run(ffmpeg.probe_command(fifo, "-show_format"), 0.5)


def test_what_is_written_arrives_and_death_is_an_error(tmp_path: Path) -> None:
    data = os.urandom(5_000_000)
    with process.Writer(["sh", "-c", f"cat > {tmp_path}/copy"]) as writer:
        writer.write(memoryview(data))
        writer.finish()
    assert (tmp_path / "copy").read_bytes() == data
    with process.Reader(["cat", str(tmp_path / "copy")]) as reader:
        buffer = bytearray(len(data) + 1)
        assert reader.read_into(memoryview(buffer)) == len(data)
        assert buffer[:-1] == data and reader.wait().status == 0
    broken = ["sh", "-c", "head -c 1000 > /dev/null; echo no more >&2; exit 3"]
    with process.Writer(broken) as writer, pytest.raises(EngineError) as caught:
        writer.write(memoryview(data))
    assert caught.value.code == "encode_failed" and caught.value.detail == "no more"


def test_a_process_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STALL_S", 0.3)
    buffer = memoryview(bytearray(1000))
    with process.Reader(["sh", "-c", "sleep 60"]) as reader, pytest.raises(DeadlineExceeded, match="ffmpeg_stalled"):
        reader.read_into(buffer)
    endless = memoryview(bytes(10_000_000))
    with process.Writer(["sh", "-c", "sleep 60"]) as writer, pytest.raises(DeadlineExceeded, match="ffmpeg_stalled"):
        writer.write(endless)
    dripping = ["sh", "-c", "for k in 1 2 3 4 5 6 7 8; do printf x; sleep 0.1; done"]
    with process.Reader(dripping) as reader:
        assert reader.read_into(buffer) == 8


def test_bad_ends_have_types() -> None:
    def error(status: int, tail: str = "", reading: bool = True) -> Exception:
        return process.error_from(process.ProcessEnd(status, 1, tail), reading=reading)

    assert isinstance(error(-signal.SIGSEGV), EngineError)
    assert isinstance(error(-signal.SIGXCPU), DeadlineExceeded)
    assert isinstance(error(1, "x: No space left on device", reading=False), InfrastructureError)
    assert isinstance(error(1, "Invalid data found"), InputError)
    assert isinstance(error(1, "Error", reading=False), EngineError)


def test_a_missing_ffmpeg_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ffmpeg._binary.cache_clear()
    with pytest.raises(InfrastructureError) as caught:
        ffmpeg.probe_command(tmp_path / "x.mp4")
    assert caught.value.code == "ffmpeg_missing"


def test_a_wrapper_that_fails_is_not_blamed_on_the_file():
    ended = process.ProcessEnd(127, 1, "setpriv: apply capabilities: Operation not permitted")
    assert process.error_from(ended, reading=True).code == "ffmpeg_missing"
