"""Stands in for DINet: frames beside the video, landmarks from OpenFace, 25 fps, results named after the video."""

import argparse
import time
from pathlib import Path

import standin

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--mouth_region_size", type=int)
    for option in ("source_video_path", "source_openface_landmark_path", "driving_audio_path", "res_video_dir"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--pretrained_clip_DINet_path", required=True)
    given = parser.parse_args()
    assert Path(given.source_openface_landmark_path).read_text() == "landmarks"
    standin.seconds(given.driving_audio_path)
    Path(given.source_video_path.replace(".mp4", "")).mkdir()
    for frame in range(50):
        print(f"synthesizing {frame}/50 frame", flush=True)
        time.sleep(0.004)
    standin.fail_quietly()
    stem = "x" if standin.FAULT == "renamed" else Path(given.source_video_path).stem
    silent = Path(given.res_video_dir, f"{stem}_facial_dubbing.mp4")
    standin.paint(given.source_video_path, silent, "-r", "25")
    standin.ffmpeg("-i", silent, "-i", given.driving_audio_path, silent.with_name(f"{silent.stem}_add_audio.mp4"))
