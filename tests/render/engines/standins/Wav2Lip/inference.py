"""Stands in for the original Wav2Lip: a result in temp/ and no last frames."""

import argparse

import standin

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("checkpoint_path", "face", "audio", "outfile"):
        parser.add_argument(f"--{option}", required=True)
    given = parser.parse_args()
    standin.seconds(given.audio)
    standin.bar("")
    standin.fail_quietly()
    standin.paint(given.face, "temp/result.avi", "-frames:v", "47", "-q:v", "1")
    standin.ffmpeg("-i", given.audio, "-i", "temp/result.avi", "-q:v", "1", given.outfile)
