"""PESQ of speech through two legs that lose packets, jitter or are narrow: speech_loss.py FOLDER."""

import sys
import wave
from pathlib import Path

import numpy as np
from pesq import pesq

folder = Path(sys.argv[1])
RATE = 48_000
PIECE = 8 * RATE
# Of loss on each leg in percent, so much is to be reached with RED, and it is to be so much better than without.
LEAST, BETTER = {10: 3.3, 20: 2.4}, 0.8
# Of jitter on each leg, as a standard deviation in ms.
LEAST_ON_JITTER = {30: 3.6, 100: 2.7}
# Of the rate of each leg in kbit/s, beside pictures that are a little too much for it now and then.
LEAST_BESIDE_PICTURES = {300: 3.3, 1000: 3.3}


def samples(name):
    with wave.open(str(folder / f"{name}.wav")) as w:
        return np.frombuffer(w.readframes(w.getnframes()), "<i2").astype(float)


def down(sound):
    """To 16 kHz, by the spectrum; full scale is 1."""
    spectrum = np.fft.rfft(sound)[: len(sound) // 6 + 1]
    return np.fft.irfft(spectrum, len(sound) // 3) / 3 / 32768


def score(said, heard, begin):
    size = 1 << (len(said) + len(heard)).bit_length()
    alike = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size)), size)
    late = int(np.argmax(alike[:RATE]))
    # Before, the right wait is looked for.
    begins = range(begin * RATE, len(said) - PIECE - late, PIECE // 2)
    pieces = [pesq(16_000, down(said[b : b + PIECE]), down(heard[b + late : b + late + PIECE]), "wb") for b in begins]
    return float(np.mean(pieces)), late / RATE * 1000


said = samples("said")
failures = []
print("| loss of each leg | PESQ without RED | with RED | heard after, without and with |")
print("| ---: | ---: | ---: | ---: |")
for loss in (0, 1, 5, 10, 20, 30):
    (without, before), (red, after) = (score(said, samples(f"{loss:02}-{name}"), 1) for name in ("without", "with"))
    print(f"| {loss} % | {without:.2f} | {red:.2f} | {before:.0f} / {after:.0f} ms |")
    if loss in LEAST and (red < LEAST[loss] or red < without + BETTER):
        failures.append(f"{loss} % loss: PESQ {red:.2f} with RED, which is to be {LEAST[loss]} and {without + BETTER:.2f}")
for what, unit, name, leasts in (
    ("jitter of each leg", "ms", "jitter", LEAST_ON_JITTER),
    ("each leg, with pictures", "kbit/s", "narrow", LEAST_BESIDE_PICTURES),
):
    print(f"\n| {what} | PESQ | heard after |")
    print("| ---: | ---: | ---: |")
    for value, least in leasts.items():
        quality, late = score(samples("said-long"), samples(f"{name}-{value}"), 5)
        print(f"| {value} {unit} | {quality:.2f} | {late:.0f} ms |")
        if quality < least:
            failures.append(f"{what}, {value} {unit}: PESQ {quality:.2f}, which is to be {least}")
if failures:
    sys.exit("\n".join(failures))
