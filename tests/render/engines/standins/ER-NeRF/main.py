"""Stands in for ER-NeRF: renders the person that it was trained on, at 25 fps."""

import sys
from pathlib import Path

import standin

if __name__ == "__main__":
    assert Path(sys.argv[1]) == Path("data/anna") and Path("voice.npy").read_bytes() == b"features"
    standin.bar("")
    standin.fail_quietly()
    results = Path(sys.argv[sys.argv.index("--workspace") + 1], "results")
    results.mkdir(parents=True)
    length = str(standin.seconds("voice.wav"))
    person = f"color=gray:size=160x120:rate=25,{standin.RED}"
    standin.ffmpeg("-f", "lavfi", "-t", length, "-i", person, results / "ngp_ep0028.mp4")
