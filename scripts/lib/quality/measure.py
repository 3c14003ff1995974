"""Measures a traced session: what was heard and seen against what was said and shown, on one clock."""

import json
import pathlib
import wave

import numpy as np
from pesq import PesqError, pesq

import media

RATE = 48_000
# PESQ (ITU-T P.862.2) is defined for wide-band speech of this rate, in pieces of about this length.
PESQ_RATE, PESQ_SECONDS = 16_000, 8.0
# The delay is that of pieces of speech so long, searched for up to so late.
PIECE, LATEST = 1.0, 3.0
# A piece that is less like what was said tells no delay.
ALIKE = 0.5
# A picture that stands for longer counts as frozen, for as long as it stands, in seconds.
FREEZE = 0.2
SILENCE = 200


def measure(folder, speech, clip, window):
    """`window`: from when to when, in seconds of the clock that the trace is on."""
    trace = json.loads((folder / "trace.json").read_text())
    result = dict(audio=audio(folder, trace, speech, window), video=video(folder, trace, clip, window))
    return result


class Sound:
    """Samples with when they came to be: a list of (microseconds, samples before)."""

    def __init__(self, samples, marks, looped=False):
        self.samples, self.looped = samples.astype(np.float64), looped
        self.times = np.array([at for at, _ in marks]) / 1e6
        self.positions = np.array([position for _, position in marks])

    def at(self, time, seconds):
        """That long from this time on; what is not there is silence."""
        begin, count = self.position(time), int(seconds * RATE)
        if self.looped:
            return self.samples[(begin + np.arange(count)) % len(self.samples)]
        out = np.zeros(count)
        inside = self.samples[max(0, begin) : max(0, begin + count)]
        at = max(0, -begin)
        out[at : at + len(inside)] = inside[: count - at]
        return out

    def position(self, time):
        """The sample of a time: by the median of the marks around it, since each of them is late by chance."""
        away = np.abs(self.times - time)
        near = away <= max(1.0, away.min())
        return int(round((time - np.median(self.times[near] - self.positions[near] / RATE)) * RATE))


def delays_between(said, heard, window):
    """Of each piece of speech that is found again, in milliseconds."""
    delays = []
    for time in np.arange(window[0], window[1] - PIECE - 0.5, PIECE / 2):
        piece = said.at(time, PIECE)
        if np.sqrt((piece**2).mean()) < SILENCE:
            continue
        lag, alike = find(piece, heard.at(time, PIECE + LATEST))
        if alike >= ALIKE:
            delays.append(lag / RATE * 1000)
    return delays


def read_wav(path):
    with wave.open(str(path)) as w:
        return np.frombuffer(w.readframes(w.getnframes()), "<i2").astype(np.float64)


def audio(folder, trace, speech_path, window):
    said = Sound(read_wav(speech_path), trace["said"], looped=True)
    heard = Sound(np.fromfile(folder / "heard.s16", "<i2"), trace["heard"])
    delays = delays_between(said, heard, window)
    delay = (np.median(delays) if delays else 0.0) / 1000
    # A browser page has sound go through itself as well, before and after what is measured: that is taken off.
    own = 0.0
    if marks := trace.get("page"):
        page = Sound(np.fromfile(folder / "page.s16", "<i2"), marks)
        own = float(np.median(delays_between(said, page, (marks[0][0] / 1e6 + 1, marks[-1][0] / 1e6))))
    result = dict(pesq=None, delay_ms=None, delay_p95_ms=None, page_ms=round(own, 1), pieces_found=len(delays))
    if delays:
        median, late = np.median(delays) - own, np.percentile(delays, 95) - own
        result.update(delay_ms=round(float(median), 1), delay_p95_ms=round(float(late), 1))
    length = min(PESQ_SECONDS, window[1] - window[0])
    count = max(1, int(np.ceil((window[1] - window[0]) / length)))
    begins = np.linspace(window[0], window[1] - length, count)
    scores = [score(said.at(at - delay, length), heard.at(at, length)) for at in begins]
    return dict(result, pesq=round(float(np.mean(scores)), 2), pesq_pieces=[round(s, 2) for s in scores])


def find(piece, area):
    """Where in the area it is, and how alike (0 to 1)."""
    size = 1 << int(np.ceil(np.log2(len(area) + len(piece))))
    places = len(area) - len(piece) + 1
    dots = np.fft.irfft(np.fft.rfft(area, size) * np.conj(np.fft.rfft(piece, size)), size)[:places]
    energy = np.concatenate(([0], np.cumsum(area**2)))
    energy = energy[len(piece) : len(piece) + places] - energy[:places]
    alike = dots / np.sqrt(np.maximum(energy, 1) * max((piece**2).sum(), 1))
    best = int(np.argmax(alike))
    return best, float(alike[best])


def score(reference, degraded):
    """PESQ-WB as MOS-LQO, 1.04 to 4.64; nothing heard is the worst."""
    down = [resample(part) / 32768 for part in (reference, degraded)]
    try:
        return float(pesq(PESQ_RATE, *down, "wb"))
    except (PesqError, ValueError):
        return 1.0


def resample(samples):
    """48 to 16 kHz, by the spectrum."""
    spectrum = np.fft.rfft(samples)[: len(samples) // 6 + 1]
    return np.fft.irfft(spectrum, len(samples) // 3) / 3


def video(folder, trace, clip_path, window):
    clip = read_luma(clip_path)
    shown = {}
    for at, number in trace["shown"]:
        shown.setdefault(number % media.COUNT, []).append(at / 1e6)
    times, psnrs, delays, sizes = [], [], [], []
    with open(folder / "seen.luma", "rb") as file:
        for at, width, height in trace["seen"]:
            luma = file.read(width * height)
            if len(luma) < width * height:
                break
            if not window[0] <= at / 1e6 <= window[1]:
                continue
            picture = np.frombuffer(luma, np.uint8).reshape(height, width)
            times.append(at / 1e6)
            sizes.append(f"{width}x{height}")
            number = media.number_of(picture)
            if number is None:
                continue
            before = [then for then in shown.get(number, ()) if then <= at / 1e6]
            if before:
                delays.append((at / 1e6 - before[-1]) * 1000)
            psnrs.append(psnr(clip[number], picture))
    seconds = window[1] - window[0]
    gaps = np.diff([window[0], *times, window[1]])
    frozen = float(gaps[gaps > FREEZE].sum())
    result = dict(
        fps=round(len(times) / seconds, 1),
        frozen_percent=round(100 * frozen / seconds, 1),
        longest_gap_ms=round(float(gaps.max()) * 1000),
        unread=len(times) - len(psnrs),
        psnr_db=round(float(np.mean(psnrs)), 1) if psnrs else None,
        delay_ms=round(float(np.median(delays)), 1) if delays else None,
        delay_p95_ms=round(float(np.percentile(delays, 95)), 1) if delays else None,
        sizes={size: sizes.count(size) for size in sorted(set(sizes))},
        pictures_each_second=[sum(n <= at - window[0] < n + 1 for at in times) for n in range(round(seconds))],
    )
    return result


def read_luma(path):
    with open(path, "rb") as file:
        file.readline()
        pictures = []
        while file.readline().startswith(b"FRAME"):
            data = file.read(media.WIDTH * media.HEIGHT * 3 // 2)
            pictures.append(np.frombuffer(data, np.uint8, media.WIDTH * media.HEIGHT).reshape(media.HEIGHT, media.WIDTH))
        return pictures


def psnr(shown, seen):
    """Of luma without the strip, at the size at which it was shown: a smaller picture is stretched, as on a screen."""
    if seen.shape != shown.shape:
        seen = stretch(seen, shown.shape)
    error = (shown[media.STRIP :].astype(np.float32) - seen[media.STRIP :]) ** 2
    return 10 * np.log10(255**2 / max(float(error.mean()), 1e-9))


def stretch(picture, shape):
    """Bilinear."""
    out = picture.astype(np.float32)
    for axis in (0, 1):
        size, wanted = out.shape[axis], shape[axis]
        at = np.clip((np.arange(wanted) + 0.5) * size / wanted - 0.5, 0, size - 1)
        low = np.minimum(at.astype(int), size - 2)
        part = (at - low).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        out = np.take(out, low, axis) * (1 - part) + np.take(out, low + 1, axis) * part
    return out
