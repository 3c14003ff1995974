"""PESQ before and after processing in double talk: echo.py FOLDER."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from pesq import pesq

folder = Path(sys.argv[1])
RATE = 16_000


def samples(name):
    command = ["ffmpeg", "-v", "error", "-i", folder / name, "-ar", str(RATE), "-f", "s16le", "-"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.int16)


voice = samples("voice.wav")
scores = [pesq(RATE, voice, samples(f"{name}.wav"), "wb") for name in ("alone", "microphone", "sent")]
print(
    "figure: double talk, echo of 90 ms at -6 dB: PESQ of the voice {:.2f} when it talks alone; while both talk "
    "{:.2f} before processing, {:.2f} after".format(*scores)
)
if scores[2] < 1.8:
    sys.exit(f"PESQ {scores[2]:.2f} after processing: it was 1.98, and is to be 1.8 at least")
