"""The quality matrix: each network, once with our engine and once with Chromium. Run by scripts/quality."""

import argparse
import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import media
import plots
import table
from conditions import CONDITIONS, toml
from measure import measure
from rates import rates
from session import Failure, Server, run

HERE = pathlib.Path(__file__).parent
ENGINES = ("trill", "chromium")
SEED = 7
# What --check asks of our engine; a quiet machine gives more than 4.
MIN_CLEAN_PESQ = 3.5


def main():
    parser = argparse.ArgumentParser(prog="scripts/quality")
    parser.add_argument("--trill", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--traced", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--modules", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--media", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="+", choices=CONDITIONS, metavar="NAME", help=f"of {', '.join(CONDITIONS)}")
    parser.add_argument("--engine", choices=ENGINES, help="only this one")
    parser.add_argument("--seconds", type=int, default=20, help="measured in each run, at least 4")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("quality-out"))
    parser.add_argument("--check", action="store_true", help="fail when a figure is missing, or our speech on the clean network is bad")
    parser.add_argument("--keep", action="store_true", help="keep what was heard and seen: 140 MB for each run")
    args = parser.parse_args()
    if args.seconds < 4:
        parser.error("--seconds: the measurements need at least 4")
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    out = args.out.resolve()
    speech, clip = media.make(args.media.resolve())
    commands = dict(
        trill=[args.traced.resolve()],
        chromium=["node", HERE / "chromium.mjs"],
    )
    os.environ["MODULES"] = str(args.modules.resolve())
    engines = [args.engine] if args.engine else ENGINES
    began = time.monotonic()
    results = dict(about=about(args), conditions={})
    server = Server(args.trill.resolve(), out)
    failed = 0
    try:
        for name in args.only or CONDITIONS:
            title, schedule = CONDITIONS[name]
            network = out / f"{name}.toml"
            network.write_text(toml(schedule))
            results["conditions"][name] = dict(title=title, network=schedule)
            for engine in engines:
                folder = out / f"{name}-{engine}"
                folder.mkdir()
                try:
                    window, said = run(server, commands[engine], network, args.seed, speech, clip, args.seconds, folder)
                    found = dict(measure(folder, speech, clip, window), **rates(folder, window, engine), **said)
                    found["load"] = round(os.getloadavg()[0], 1)
                except Failure as failure:
                    failed += 1
                    found = dict(failed=str(failure))
                results["conditions"][name][engine] = found
                print(f"{title:<34} {engine:<9} {table.line(found)}", flush=True)
                if not args.keep:
                    for big in ("seen.luma", "heard.s16", "page.s16"):
                        (folder / big).unlink(missing_ok=True)
    finally:
        server.stop()
    results["about"]["took_s"] = round(time.monotonic() - began)
    (out / "quality.json").write_text(json.dumps(results, indent=1))
    (out / "quality.md").write_text(table.markdown(results))
    plots.write(results, out)
    print(f"\n{table.markdown(results)}\nin {args.out}/: quality.json, quality.md, plots (*.svg)")
    if args.check:
        failed += complain(results)
    return 1 if failed else 0


def complain(results):
    """Prints what is not as it should be, and gives how much that is."""
    complaints = []
    for of in results["conditions"].values():
        for engine in ENGINES:
            found = of.get(engine, dict(failed="not run"))
            missing = [column[0] for column in table.COLUMNS if table.figure(found, column) in ("-", "failed")]
            complaints += [f"{of['title']}, {engine}: no figure for {name}" for name in missing]
    clean = results["conditions"].get("clean", {}).get("trill", {})
    if "audio" in clean and clean["audio"]["pesq"] < MIN_CLEAN_PESQ:
        complaints.append(f"clean, trill: speech {clean['audio']['pesq']}, where {MIN_CLEAN_PESQ} is the least")
    for complaint in complaints:
        print(f"quality: {complaint}", file=sys.stderr)
    return len(complaints)


def about(args):
    def said(*command):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        return done.stdout.strip()

    packages = json.loads((args.modules / "livekit-client/package.json").read_text())
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    return dict(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        command=" ".join(["scripts/quality", *(os.environ.get("QUALITY_ARGS") or "").split()]),
        trill=said(args.trill, "--version"),
        chromium=" ".join(said("chromium", "--version").split()[:2]),
        livekit_client=packages["version"],
        cpus=os.cpu_count(),
        cpu=model,
        load_before=round(os.getloadavg()[0], 1),
        seconds=args.seconds,
        seed=args.seed,
    )


if __name__ == "__main__":
    sys.exit(main())
