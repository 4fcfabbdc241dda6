"""Stands in for LatentSync: everything on the command line, frames in temp/, a mask beside the result."""

import argparse
from pathlib import Path

import standin

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("unet_config_path", "inference_ckpt_path", "video_path", "audio_path", "video_out_path"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--inference_steps", type=int)
    parser.add_argument("--guidance_scale", type=float)
    parser.add_argument("--enable_deepcache", action="store_true")
    given = parser.parse_args()
    standin.seconds(given.audio_path)
    Path("temp/frame.png").write_bytes(b"png")
    standin.bar("Sample frames: 16: ")
    standin.bar("Doing inference...: ")
    standin.fail_quietly()
    standin.paint(given.video_path, given.video_out_path, "-r", "25")
