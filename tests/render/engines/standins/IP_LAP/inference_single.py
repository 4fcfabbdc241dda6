"""Stands in for IP-LAP: its sketch beside the result, in one picture of twice the width."""

import argparse
from pathlib import Path

import standin

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("input", "audio", "output_dir"):
        parser.add_argument(f"--{option}", required=True)
    given = parser.parse_args()
    standin.seconds(given.audio)
    temporary = Path(f"tempfile_of_{given.output_dir.split('/')[-1]}")
    temporary.mkdir()
    standin.bar("")
    standin.fail_quietly()
    both = f"split[a][b];[a]drawbox=t=fill:color=blue[c];[b]{standin.RED}[d];[c][d]hstack"
    standin.paint(given.input, temporary / "result.mp4", filters=both)
    Path(given.output_dir).mkdir(exist_ok=True)
    (temporary / "result.mp4").rename(Path(given.output_dir, f"{Path(given.input).stem}result_N_25_Nl_15.mp4"))
