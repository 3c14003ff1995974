"""What a call of 720p30 costs, for our engine and for Chromium. Run by scripts/cost.

Two runs of each: one that records, for the delays, and one in which all is decoded and dropped, for the CPU: what the recording
takes is no part of either engine.
"""

import argparse
import datetime
import json
import os
import pathlib
import shutil
import sys

import media
from conditions import toml
from main import ENGINES, HERE, SEED, about
from measure import measure
from session import Failure, Server, run

WIDTH, HEIGHT = 1280, 720
# Nothing between the ends but loopback and the proxy, which lets everything through at once.
NETWORK = dict(steps=[dict(at_ms=0)])
NAMES = dict(trill="Trill", chromium="Chromium")


def main():
    parser = argparse.ArgumentParser(prog="scripts/cost")
    for name in ("trill", "traced", "modules", "media"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, default=20, help="measured in each run, 4 to 600")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("cost-out"))
    args = parser.parse_args()
    if not 4 <= args.seconds <= 600:
        parser.error("--seconds: from 4 to 600")
    args.seed = SEED
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    out = args.out.resolve()
    media.use(WIDTH, HEIGHT)
    speech, clip = media.make(args.media.resolve())
    commands = dict(trill=[args.traced.resolve()], chromium=["node", HERE / "chromium.mjs"])
    os.environ["MODULES"] = str(args.modules.resolve())
    network = out / "network.toml"
    network.write_text(toml(NETWORK))
    server, results, failed = Server(args.trill.resolve(), out), {}, 0
    try:
        for engine in ENGINES:
            try:
                results[engine] = one(server, commands[engine], network, speech, clip, args.seconds, out, engine)
            except Failure as failure:
                failed += 1
                results[engine] = dict(failed=str(failure))
            print(NAMES[engine], json.dumps(results[engine]), flush=True)
    finally:
        server.stop()
    text = markdown(results, about(args))
    (out / "cost.json").write_text(json.dumps(results, indent=1))
    (out / "cost.md").write_text(text)
    print(f"\n{text}\nin {args.out}/: cost.json, cost.md")
    return 1 if failed else 0


def one(server, command, network, speech, clip, seconds, out, engine):
    bare, recorded = out / f"{engine}-bare", out / f"{engine}-recorded"
    bare.mkdir()
    recorded.mkdir()
    (begin, end), said = run(server, command, network, SEED, speech, clip, seconds, bare, "unrecorded")
    trace = json.loads((bare / "trace.json").read_text())
    seen = [picture for picture in trace["seen"] if begin <= picture[0] / 1e6 <= end]
    window, _ = run(server, command, network, SEED, speech, clip, seconds, recorded)
    found = measure(recorded, speech, clip, window)
    for big in ("seen.luma", "heard.s16", "page.s16"):
        (recorded / big).unlink(missing_ok=True)
    return dict(
        cpu_percent=said["cpu_percent"],
        fps=round(len(seen) / (end - begin), 1),
        sizes=sorted({f"{width}x{height}" for _, width, height in seen}),
        mouth_to_ear_ms=found["audio"]["delay_ms"],
        glass_to_glass_ms=found["video"]["delay_ms"],
        pesq=found["audio"]["pesq"],
        psnr_db=found["video"]["psnr_db"],
        load=round(os.getloadavg()[0], 1),
    )


def markdown(results, of):
    ours, theirs = (results[engine].get("cpu_percent") for engine in ENGINES)
    lines = [
        "| engine | CPU of both ends, of a core | pictures a second | sizes | mouth to ear | glass to glass | speech, PESQ | picture |",
        "| --- |" + " ---: |" * 7,
    ]
    for engine in ENGINES:
        one = results[engine]
        if "failed" in one:
            lines.append(f"| {NAMES[engine]} | failed |" + " - |" * 6)
            continue
        lines.append(
            f"| {NAMES[engine]} | {one['cpu_percent']} % | {one['fps']} | {', '.join(one['sizes'])} | {one['mouth_to_ear_ms']} ms | "
            f"{one['glass_to_glass_ms']} ms | {one['pesq']} | {one['psnr_db']} dB |"
        )
    ratio = f"Ours to Chromium's CPU: {ours / theirs:.2f}. " if ours and theirs else ""
    loads = [one["load"] for one in results.values() if "load" in one]
    lines += [
        "",
        f"{ratio}`{' '.join(['scripts/cost', *os.environ.get('COST_ARGS', '').split()])}` on {of['date']}: {of['trill']}; "
        f"{of['chromium']} with livekit-client {of['livekit_client']}; {of['cpus']} cores of {of['cpu']}, load average "
        f"{' and '.join(map(str, loads))}; {of['seconds']} s measured in each run.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
