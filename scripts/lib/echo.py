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
before = pesq(RATE, voice, samples("microphone.wav"), "wb")
after = pesq(RATE, voice, samples("sent.wav"), "wb")
print(f"figure: double talk, echo of 90 ms at -6 dB: PESQ {before:.2f} before and {after:.2f} after processing")
