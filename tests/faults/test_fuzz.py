"""Fuzzing, bounded in time. HEYGEMD_FUZZ_FILES and HEYGEMD_FUZZ_S choose how much; `make faults` does the most."""

import json
import os
import random
import struct
import subprocess
import sys

import pytest

from heygemd.config.schema import Render
from heygemd.daemon import job_store
from heygemd.daemon.intake import manifest
from heygemd.job import Job, Media, Video
from heygemd.protocol import Failed, Preview, Progress
from tests.media_factory import audio, video

FILES = int(os.environ.get("HEYGEMD_FUZZ_FILES", "60"))
SECONDS = int(os.environ.get("HEYGEMD_FUZZ_S", "10"))
SEED = int(os.environ.get("HEYGEMD_FUZZ_SEED", random.randrange(1 << 32)))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.endurance,
    pytest.mark.fault("FUZZ"),
    pytest.mark.timeout(FILES * 20 + SECONDS + 300),
]


def run(module, *arguments):
    argv = [sys.executable, "-m", f"tests.faults.{module}", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(argv, capture_output=True, text=True, env=environment)


def test_no_mutated_file_crashes_or_hangs_anything(tmp_path, record_property):
    done = run("fuzz_media", tmp_path, SEED, FILES)
    assert done.returncode == 0, f"seed {SEED}: {done.stderr[-3000:]}"
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == [], f"seed {SEED}: " + "\n".join(found["wrong"])
    met = ", ".join(f"{count} {word}" for word, count in found["outcomes"])
    record_property("summary", f"fuzz: seed {SEED}, {FILES} mutated files, no crash, no hang: {met}")
    record_property("times", FILES)


def seeds(folder):
    """Return the seed corpus: valid examples for each target."""
    job = Job(id="x", name="n", arrived=1.0, folder="n", voice=Media(name="v.wav", size=5, mtime_ns=1), videos=[
        Video(source=Media(name="a.mov", size=6, mtime_ns=1), output="a.mp4", state="done")])  # fmt: skip
    records = job_store.Store(folder)
    records.save(job)
    record = (records.folder / "x.json").read_bytes()
    kept = manifest.compose(job, Render(), {"a.mp4": 60})
    said = [Progress(phase="render", done=1, total=2, percent=1.0), Failed(kind="input", code="no_face")]
    shown = Preview(moments_s=(0.5,), strip="AAAA", thumbnail="AAAA", curve_hz=10, lips=(0.1, None), voice=(0.2, 0.3))
    wav = audio(folder / "a.wav", 0.01).read_bytes()
    boxes = struct.pack(">I4s4xI4s", 12, b"ftyp", 8, b"moov")
    media = [video(folder / f"v.{e}", 0.05, "16x16").read_bytes() for e in ("mp4", "mkv", "avi")]
    return {
        "examine": [wav, wav.replace(b"RIFF", b"RF64"), boxes, *media],
        "settings": [b'engine = "mesh"\npriority = 3\n', b"[a.b]\nx = [{y = 1979-05-27T07:32:00Z}]\n"],
        "record": [record],
        "earlier_manifest": [kept],
        "preview": [shown.model_dump_json().encode()],
        "presenters": ["# who\nanna\n李雷.mov\n".encode()],
        "event": [event.model_dump_json().encode() for event in said],
    }


@pytest.mark.parametrize(
    "target", ["examine", "settings", "record", "earlier_manifest", "event", "preview", "presenters"]
)
def test_parsers_of_untrusted_bytes_handle_all_of_them(tmp_path, target, record_property):
    if not os.environ.get("CI"):
        pytest.importorskip("atheris", reason="atheris has no wheel for this Python")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds(tmp_path)[target]):
        (corpus / str(number)).write_bytes(seed)
    limits = [f"-max_total_time={SECONDS}", "-max_len=200000", "-timeout=30", "-rss_limit_mb=2000"]
    done = run("fuzz_parsers", target, corpus, f"-artifact_prefix={tmp_path}/", *limits)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    runs = [line for line in done.stderr.splitlines() if "Done" in line]
    record_property("summary", f"fuzz: {target}: {runs[-1] if runs else '?'}")
