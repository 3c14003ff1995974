"""Judges what the guest of scripts/lib/vm brought out: vm_check.py FOLDER."""

import json
import math
import subprocess
import sys
import wave
from pathlib import Path

folder = Path(sys.argv[1])
faults = []


def check(holds, what):
    print(("holds: " if holds else "FAILS: ") + what)
    if not holds:
        faults.append(what)


def lines(name):
    for line in (folder / name).read_text().splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def last(name, event):
    found = [line for line in lines(name) if line.get("event") == event]
    return found[-1] if found else {}


def colours(name):
    """The mean colour of each eighth of a picture, from left to right."""
    command = ["ffmpeg", "-v", "error", "-i", folder / name, "-vf", "scale=8:1:flags=area", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return [tuple(raw[i : i + 3]) for i in range(0, 24, 3)]


def tone(samples, rate, hz):
    """The share of the energy that is a tone of that pitch (Goertzel)."""
    sine = sum(s * math.sin(2 * math.pi * hz * n / rate) for n, s in enumerate(samples))
    cosine = sum(s * math.cos(2 * math.pi * hz * n / rate) for n, s in enumerate(samples))
    energy = sum(s * s for s in samples)
    return 2 * (sine**2 + cosine**2) / len(samples) / energy if energy else 0.0


def many_colours(name):
    """vivid's picture has bars of all colours."""
    bars = colours(name)
    return all(max(bar[c] for bar in bars) - min(bar[c] for bar in bars) > 100 for c in range(3))


devices = next(lines("devices.json"), {})
cameras = devices.get("cameras", [])
check([camera["name"] for camera in cameras] == ["vivid"], f"the camera is listed: {[c['name'] for c in cameras]}")
pixels = sorted({entry["pixels"] for camera in cameras for entry in camera["formats"]})
check("yuyv" in pixels, f"with its formats: {', '.join(pixels)}")
ids = {device["id"] for kind in ("microphones", "speakers") for device in devices.get(kind, [])}
check(any("Loopback" in device for device in ids), "the sound card is listed")
for kind in ("microphones", "speakers"):
    card = next((d for d in devices.get(kind, []) if d["id"].startswith("alsa:hw:CARD=")), {})
    check(any(f["channels"] == 2 and f["min_rate"] <= 48000 <= f["max_rate"] for f in card.get("formats", [])),
          f"the card's channels and rates are listed: {str(card)[:300]}")

picture = last("camera.json", "result")
check(picture.get("pictures", 0) > 1, f"the camera brings pictures: {picture}")
check((folder / "camera.png").exists() and many_colours("camera.png"), "its picture has the driver's colour bars")

for name in ("alice.jsonl", "bob.jsonl"):
    events = [line["event"] for line in lines(name)]
    check("first_audio" in events, f"{name}: the other is heard")
seen = last("bob.jsonl", "first_video")
check(seen.get("width", 0) > 0, f"bob sees the camera: {seen.get('width')}x{seen.get('height')}")
check((folder / "bob.png").exists() and many_colours("bob.png"), "and its colour bars, after VP8")

for device in ("camera", "microphone"):
    said = (folder / f"taken-{device}.txt").read_text().strip()
    check("another program has taken it" in said, f"during the call another program is told why it gets no {device}: {said}")

with wave.open(str(folder / "bob.wav")) as heard:
    rate, frames = heard.getframerate(), heard.getnframes()
    data = memoryview(heard.readframes(frames)).cast("h")
# The best tenth of a second: under emulation sound has gaps.
part = rate // 10
share = max((tone(data[at : at + part], rate, 440.0) for at in range(0, max(1, len(data) - part), part)), default=0.0)
check(share > 0.8, f"bob hears the tone in the card's microphone: {share:.2f} of a tenth of a second")
ear = last("heard.jsonl", "result") or max(
    (line for line in lines("heard.jsonl") if line.get("event") == "level"), key=lambda line: line["dbov"], default={}
)
level = ear.get("loudest_dbov", ear.get("dbov", -127))
check(level > -30, f"and what alice hears comes out of the card: {level} dBov")
sys.exit(1 if faults else 0)
