"""Measures what one side of a call heard and saw against what the other side said and showed.

    measure.py --said a.wav --heard b.wav --shown a.y4m --seen b.y4m

Prints one JSON object with `speech` and `picture`. The sources are taken as looped.
"""

import argparse
import json
import wave

import numpy as np
from pesq import PesqError, pesq

RATE = 16_000


def read_wav(path):
    """Mono float samples at 16 kHz."""
    with wave.open(path, "rb") as w:
        if w.getsampwidth() != 2:
            raise SystemExit(f"{path}: only 16-bit WAV is measured")
        samples = np.frombuffer(w.readframes(w.getnframes()), "<i2").astype(np.float64)
        samples = samples.reshape(-1, w.getnchannels()).mean(1)
        return resample(samples, w.getframerate())


def resample(samples, rate):
    """By the spectrum: exact for the whole file at once."""
    count = int(round(len(samples) * RATE / rate))
    spectrum = np.fft.rfft(samples)
    wanted = np.zeros(count // 2 + 1, complex)
    shared = min(len(spectrum), len(wanted))
    wanted[:shared] = spectrum[:shared]
    return np.fft.irfft(wanted, count) * count / len(samples)


def speech(said_path, heard_path, seconds=8.0):
    said, heard = read_wav(said_path), read_wav(heard_path)
    loud = np.flatnonzero(np.abs(heard) > 500)
    result = dict(seconds=round(len(heard) / RATE, 2), pesq=None, correlation=0.0, starts_at_s=None)
    if len(loud) == 0:
        return result
    start = loud[0]
    result["starts_at_s"] = round(start / RATE, 3)
    # Past the first moments, in which the jitter buffer settles.
    part = heard[start + RATE // 2 : start + RATE // 2 + int(seconds * RATE)]
    if len(part) < RATE * 2:
        return result
    loops = -(-(len(said) + len(part)) // len(said))
    looped = np.tile(said, loops)
    size = 1 << int(np.ceil(np.log2(len(looped) + len(part))))
    product = np.fft.irfft(np.fft.rfft(looped, size) * np.conj(np.fft.rfft(part, size)), size)[: len(said)]
    at = int(np.argmax(product))
    reference = looped[at : at + len(part)]
    result["correlation"], result["shifts_ms"] = windowed(looped, part, at)
    try:
        result["pesq"] = round(float(pesq(RATE, reference / 32768, part / 32768, "wb")), 3)
    except PesqError as error:
        result["pesq_error"] = str(error)
    return result


def windowed(reference, part, at, window=RATE, slack=int(0.5 * RATE)):
    """The median correlation of one-second windows, each aligned by itself, and by how much their alignment moved.

    A jitter buffer may lengthen and shorten pauses; what it may not do is change what is between them.
    """
    values, shifts, last = [], [], None
    for start in range(0, len(part) - window + 1, window):
        piece = part[start : start + window]
        if np.sqrt((piece**2).mean()) < 100:
            continue
        low = max(0, at + start - slack)
        area = reference[low : at + start + window + slack]
        dots = by_fft(area, piece)
        best = int(np.argmax(dots))
        energy = np.sqrt((area[best : best + window] ** 2).sum() * (piece**2).sum())
        values.append(dots[best] / energy if energy > 0 else 0.0)
        offset = low + best - start
        if last is not None and abs(offset - last) > RATE // 1000:
            shifts.append(round((offset - last) * 1000 / RATE))
        last = offset
    return (round(float(np.median(values)), 4) if values else 0.0), shifts


def by_fft(area, piece):
    size = 1 << int(np.ceil(np.log2(len(area) + len(piece))))
    return np.fft.irfft(np.fft.rfft(area, size) * np.conj(np.fft.rfft(piece, size)), size)[: len(area) - len(piece) + 1]


def read_y4m(path):
    """(fps, luma planes)"""
    with open(path, "rb") as f:
        header = f.readline().decode().split()
        tags = {word[0]: word[1:] for word in header[1:]}
        width, height = int(tags["W"]), int(tags["H"])
        top, bottom = tags["F"].split(":")
        luma, chroma = width * height, 2 * ((width + 1) // 2) * ((height + 1) // 2)
        frames = []
        while f.readline().startswith(b"FRAME"):
            data = f.read(luma + chroma)
            if len(data) < luma + chroma:
                break
            frames.append(np.frombuffer(data, np.uint8, luma).reshape(height, width))
        return int(top) / int(bottom), frames


def thumbnail(frame, rows=18, columns=32):
    height, width = frame.shape[0] // rows * rows, frame.shape[1] // columns * columns
    small = frame[:height, :width].reshape(rows, height // rows, columns, width // columns).mean((1, 3))
    return small.ravel()


def picture(shown_path, seen_path):
    fps, shown = read_y4m(shown_path)
    _, seen = read_y4m(seen_path)
    result = dict(frames=len(seen), psnr_db=None, same_size=None, forward_steps=0.0, distinct=0)
    if not seen:
        return result
    result["size"] = f"{seen[-1].shape[1]}x{seen[-1].shape[0]}"
    result["same_size"] = seen[-1].shape == shown[0].shape
    small = np.stack([thumbnail(f) for f in shown])
    picks, psnrs = [], []
    for frame in seen:
        errors = ((small - thumbnail(frame)) ** 2).mean(1)
        best = int(np.argmin(errors))
        picks.append(best)
        if frame.shape == shown[0].shape:
            mse = ((frame.astype(np.float64) - shown[best]) ** 2).mean()
            psnrs.append(10 * np.log10(255**2 / max(mse, 1e-9)))
    result["distinct"] = len(set(picks))
    if psnrs:
        result["psnr_db"] = round(float(np.mean(psnrs)), 2)
        result["psnr_worst_db"] = round(float(np.min(psnrs)), 2)
    if len(picks) > 1:
        steps = np.diff(picks) % len(shown)
        result["forward_steps"] = round(float(((steps >= 0) & (steps < len(shown) // 2)).mean()), 4)
    return result


def main():
    parser = argparse.ArgumentParser()
    for name in ("said", "heard", "shown", "seen"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    print(json.dumps(dict(speech=speech(args.said, args.heard), picture=picture(args.shown, args.seen))))


if __name__ == "__main__":
    main()
