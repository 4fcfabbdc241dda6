"""Stands in for VideoReTalking: intermediate results named after the video in temp/, six bars."""

import argparse
from pathlib import Path

import standin

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("face", "audio", "outfile"):
        parser.add_argument(f"--{option}", required=True)
    given = parser.parse_args()
    standin.seconds(given.audio)
    base = Path(given.face).name
    saved = Path("temp", f"{base}_landmarks.txt")
    assert not saved.exists(), "landmarks of another video"
    saved.write_text("landmarks")
    for step in ("[Step 2] 3DMM Extraction In Video:", "[Step 5] Reference Enhancement", "[Step 6] Lip Synthesis:"):
        standin.bar(f"{step}:")
    standin.fail_quietly()
    standin.paint(given.face, "temp/result.mp4")
    Path("temp/result.mp4").rename(given.outfile)
    print("outfile:", given.outfile)
