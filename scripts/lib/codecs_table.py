"""Our codec wrappers beside the codecs' own programs. Run by scripts/codecs.

What counts is the time in user mode, which other programs on the machine and the reading of files disturb little; of several
rounds in turn, the best of each.
"""

import argparse
import datetime
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import wave

import numpy as np

import make_media

KBPS = 1500
BPS, LOSS = 32_000, 5
SPEECH_SECONDS = 120
# What the wrapper may cost on top.
BAR = 0.05


def main():
    parser = argparse.ArgumentParser(prog="scripts/codecs")
    parser.add_argument("--ours", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--opus-demo", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--media", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5, help="1 to 100")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("codecs-out"))
    args = parser.parse_args()
    if not 1 <= args.rounds <= 100:
        parser.error("--rounds: from 1 to 100")
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    clip, speech = media(args.media)
    ours, demo, out = args.ours.resolve(), args.opus_demo.resolve(), args.out
    # As src/codec/vp8.rs sets it; 720p is encoded at speed -8.
    vpxenc = ["vpxenc", "--codec=vp8", "--ivf", "--quiet", "--rt", "--passes=1", "--threads=1", "--lag-in-frames=0", "--end-usage=cbr",
              f"--target-bitrate={KBPS}", "--min-q=2", "--max-q=56", "--undershoot-pct=100", "--overshoot-pct=15", "--buf-sz=1000",
              "--buf-initial-sz=500", "--buf-optimal-sz=600", "--drop-frame=30", "--resize-allowed=0", "--kf-min-dist=0",
              "--kf-max-dist=3000", "--cpu-used=-8", "--static-thresh=1", "--noise-sensitivity=0", "--token-parts=0",
              "--max-intra-rate=900", "--error-resilient=0"]  # fmt: skip
    # As src/codec/opus.rs leaves it: libopus's own complexity is 9, and its bitrate constrained.
    opus = ["-cvbr", "-complexity", 9, "-framesize", 20]
    frames = make_media.FPS * make_media.SECONDS
    packets = SPEECH_SECONDS * 50
    jobs = {
        "VP8 encode, 720p": (
            frames, [ours, "vp8-encode", clip, out / "ours.ivf", KBPS], [*vpxenc, "-o", out / "theirs.ivf", clip]),
        "VP8 decode, 720p": (
            frames, [ours, "vp8-decode", out / "theirs.ivf"], ["vpxdec", "--codec=vp8", "--threads=1", "--noblit", out / "theirs.ivf"]),
        "Opus encode, 20 ms": (
            packets, [ours, "opus-encode", speech, out / "ours.bit", BPS, LOSS],
            [demo, "-e", "voip", 48000, 1, BPS, *opus, "-inbandfec", "-loss", LOSS, speech, out / "theirs.bit"]),
        "Opus decode, 20 ms": (
            packets, [ours, "opus-decode", out / "theirs.bit"], [demo, "-d", 48000, 1, out / "theirs.bit", os.devnull]),
    }  # fmt: skip
    best = {}
    for _ in range(args.rounds):
        # The encoders come first: the decoders read what they wrote.
        for name, (_, *commands) in jobs.items():
            for whose, command in zip(("ours", "theirs"), commands):
                took = user_time(command)
                best[name, whose] = min(took, best.get((name, whose), took))
    lines = ["| a frame | ours | bare | ours to bare |", "| --- | ---: | ---: | ---: |"]
    over = []
    for name, (count, *_) in jobs.items():
        mine, bare = best[name, "ours"], best[name, "theirs"]
        lines.append(f"| {name} | {each(mine / count)} | {each(bare / count)} | {mine / bare:.2f} |")
        if mine > bare * (1 + BAR):
            over.append(name)
    quality = [f"{kbps(out / name)} kbit/s at {psnr(out / name, clip)} dB" for name in ("ours.ivf", "theirs.ivf")]
    sizes = [f"{(out / name).stat().st_size * 8 / SPEECH_SECONDS / 1000 - 8 * 8 * 50 / 1000:.1f} kbit/s" for name in ("ours.bit", "theirs.bit")]
    lines += [
        "",
        f"VP8 of our encoder: {quality[0]}; of vpxenc: {quality[1]}. Opus: {sizes[0]}, {sizes[1]}.",
        f"`{' '.join(['scripts/codecs', *os.environ.get('CODECS_ARGS', '').split()])}` on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}: "
        f"{os.cpu_count()} cores of {model()}, load average {os.getloadavg()[0]:.1f}; user time, the best of {args.rounds} rounds.",
        "",
    ]
    text = "\n".join(lines)
    (out / "codecs.md").write_text(text)
    print(text)
    for name in over:
        print(f"codecs: {name} takes more than {BAR:.0%} longer than bare", file=sys.stderr)
    return 1 if over else 0


def media(folder):
    """A 720p clip, and speech as 48 kHz mono, once."""
    folder.mkdir(parents=True, exist_ok=True)
    clip, speech, alice = folder / "clip.y4m", folder / "speech.s16", make_media.PEOPLE["alice"]
    if not clip.exists():
        make_media.WIDTH, make_media.HEIGHT = 1280, 720
        make_media.picture(folder / "clip.part", alice["seed"], alice["tint"])
        (folder / "clip.part").rename(clip)
    if not speech.exists():
        spoken = folder / "spoken.wav"
        subprocess.run(["espeak-ng", "-v", alice["voice"], "-s", "150", "-w", spoken, alice["says"]], check=True)
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", spoken, "-ar", "48000", "-ac", "1", folder / "speech.wav"], check=True)
        with wave.open(str(folder / "speech.wav")) as read:
            samples = np.frombuffer(read.readframes(read.getnframes()), "<i2")
        np.resize(samples, SPEECH_SECONDS * 48_000).astype("<i2").tofile(speech)
    return clip, speech


def user_time(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def each(seconds):
    return f"{seconds * 1000:.2f} ms" if seconds > 0.001 else f"{seconds * 1e6:.1f} µs"


def kbps(ivf):
    return round(ivf.stat().st_size * 8 / make_media.SECONDS / 1000)


def psnr(ivf, clip):
    command = ["ffmpeg", "-hide_banner", "-i", str(ivf), "-i", str(clip), "-lavfi", "psnr", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    found = re.search(r"PSNR y:([0-9.]+)", said)
    return found.group(1) if found else "?"


def model():
    return next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")


if __name__ == "__main__":
    sys.exit(main())
