"""Stands in for MuseTalk 1.5: tasks in a YAML file, a result named after both inputs, errors caught and printed."""

import argparse
import re
from pathlib import Path

import standin

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("inference_config", "result_dir", "unet_model_path", "unet_config", "version"):
        parser.add_argument(f"--{option}", required=True)
    given = parser.parse_args()
    task = dict(re.findall(r"^  (\w+): (.+)$", Path(given.inference_config).read_text(), re.MULTILINE))
    video, audio = task["video_path"], task["audio_path"]
    standin.seconds(audio)
    frames = Path(given.result_dir, given.version, Path(video).stem)
    frames.mkdir(parents=True)
    print("Extracting landmarks... time-consuming operation")
    standin.bar("")
    standin.bar("")
    standin.fail_quietly()
    name = f"{Path(video).stem}_{Path(audio).stem}.mp4"
    standin.paint(video, frames.parent / f"temp_{name}")
    (frames.parent / f"temp_{name}").rename(frames.parent / name)
