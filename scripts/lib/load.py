"""Our SFU beside Janus under the same load: `trill load session` on each, and a table. Run by scripts/load."""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

# name: (title, publishers, subscribers, packets a second of each publisher)
LOADS = {
    "call": ("1 to 1", 1, 1, 120),
    "ten": ("1 to 10", 1, 10, 120),
    "hundred": ("1 to 100", 1, 100, 120),
    "four": ("4 to 100", 4, 100, 120),
    "eight": ("8 to 100", 8, 100, 120),
}
BYTES = 900
SERVERS = ("trill", "janus", "janus-loops")
NAMES = {"trill": "Trill", "janus": "Janus", "janus-loops": "Janus, 2 event loops"}
PATIENCE = 20
# Of the network that scripts/load makes: Janus takes no part in calls over the loopback interface.
HOST = "192.0.2.1"


class Failure(Exception):
    """A server that has no figures, and why."""


def main():
    parser = argparse.ArgumentParser(prog="scripts/load")
    parser.add_argument("--trill", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="+", choices=LOADS, metavar="NAME", help=f"of {', '.join(LOADS)}")
    parser.add_argument("--server", nargs="+", choices=SERVERS, default=SERVERS, help="only these")
    parser.add_argument("--seconds", type=int, default=10, help="measured in each run, 1 to 600")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("load-out"))
    args = parser.parse_args()
    if not 1 <= args.seconds <= 600:
        parser.error("--seconds: from 1 to 600")
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    trill, out = args.trill.resolve(), args.out.resolve()
    results, failed = dict(about=about(trill, args), loads={}), 0
    for name in args.only or LOADS:
        title, publishers, subscribers, rate = LOADS[name]
        load = ["--publishers", publishers, "--subscribers", subscribers, "--rate", rate, "--bytes", BYTES, "--duration", f"{args.seconds}s"]
        found = results["loads"][name] = dict(title=title)
        for server in args.server:
            folder = out / f"{name}-{server}"
            folder.mkdir()
            try:
                with started(server, trill, folder) as options:
                    found[server] = run(trill, [*load, *options], folder)
            except Failure as failure:
                failed += 1
                found[server] = dict(failed=str(failure))
            found[server]["load"] = round(os.getloadavg()[0], 1)
            print(row(title, server, found[server]), flush=True)
    (out / "load.json").write_text(json.dumps(results, indent=1))
    (out / "load.md").write_text(markdown(results))
    print(f"\n{markdown(results)}\nin {args.out}/: load.json, load.md")
    return 1 if failed else 0


@contextlib.contextmanager
def started(server, trill, folder):
    """Runs a server of its own for each load, and gives what `trill load session` has to know of it."""
    start = start_trill if server == "trill" else start_janus
    process, options = start(trill, folder, server)
    try:
        yield [*options, "--pid", process.pid]
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def start_trill(trill, folder, _):
    environment = dict(os.environ, TRILL_LIMITS__PARTICIPANTS="1000", TRILL_LIMITS__ADDRESS_LOGINS_PER_SECOND="0")
    command = [trill, "serve", "--dev", "--json", "--http", f"{HOST}:0", "--udp", f"{HOST}:0", "--database", folder / "calls.db"]
    with open(folder / "server.log", "w") as log:
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    for line in process.stdout:
        said = json.loads(line)
        if said.get("event") == "listening":
            return process, ["--dev", "--not-loopback", "--server", f"http://{said['http']}"]
    raise Failure(f"trill serve did not start; see {folder}/server.log")


def start_janus(_, folder, server):
    """Janus as Debian packages it, with what is not needed left out."""
    port = free_port()
    loops = "event_loops = 2" if server == "janus-loops" else ""
    config = folder / "janus"
    config.mkdir()
    (config / "janus.jcfg").write_text(
        f"""general: {{ configs_folder = "{config}" debug_level = 5 {loops} }}
        nat: {{ ice_enforce_list = "{HOST}" }}
        plugins: {{ disable = "{others('plugins', 'videoroom')}" }}
        transports: {{ disable = "{others('transports', 'websockets')}" }}
        loggers: {{ disable = "{others('loggers', '')}" }}
        """
    )
    (config / "janus.transport.websockets.jcfg").write_text(f'general: {{ ws = true ws_port = {port} ws_ip = "{HOST}" wss = false }}\n')
    (config / "janus.plugin.videoroom.jcfg").write_text("general: { }\n")
    with open(folder / "server.log", "w") as log:
        process = subprocess.Popen(["janus", "--configs-folder", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            return process, ["--janus", "--not-loopback", "--server", f"ws://{HOST}:{port}"]
        time.sleep(0.1)
    process.kill()
    raise Failure(f"janus did not start; see {folder}/server.log")


def others(kind, wanted):
    """All of Janus's modules of a kind but one, as its configuration names them."""
    [folder] = pathlib.Path("/usr/lib").glob(f"*/janus/{kind}")
    return ",".join(sorted(file.name for file in folder.glob("*.so") if not wanted or wanted not in file.name))


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def run(trill, options, folder):
    command = [str(part) for part in [trill, "load", "session", "--json", *options]]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRILL_")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    (folder / "load.log").write_text(f"{command}\n{done.stdout}\n{done.stderr}")
    if done.returncode != 0:
        raise Failure(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"ended with {done.returncode}")
    return json.loads(done.stdout)


COLUMNS = [
    ("packets out a second", lambda of: f"{of['packets_forwarded'] / of['measured_s']:,.0f}"),
    ("CPU a packet", lambda of: f"{of['server']['cpu_us_per_packet']:.1f} µs"),
    ("CPU, of a core", lambda of: f"{of['server']['cpu_percent']:.0f} %"),
    ("added delay p50 / p99", lambda of: f"{of['added_delay_ms']['p50']:.2f} / {of['added_delay_ms']['p99']:.2f} ms"),
    ("lost", lambda of: f"{of['loss_percent']:.2f} %"),
    ("memory a subscriber", lambda of: f"{of['server']['memory_per_subscriber'] / 1000:.0f} KB"),
    ("the receivers' CPU", lambda of: f"{of['load_cpu_percent']:.0f} %"),
]


def row(title, server, found):
    if "failed" in found:
        return f"{title:<10} {NAMES[server]:<22} failed: {found['failed']}"
    return f"{title:<10} {NAMES[server]:<22} " + ", ".join(f"{name} {read(found)}" for name, read in COLUMNS)


def markdown(results):
    of = results["about"]
    lines = ["| publishers to subscribers | server | " + " | ".join(name for name, _ in COLUMNS) + " |", "| --- | --- |" + " ---: |" * len(COLUMNS)]
    loads = []
    for found in results["loads"].values():
        for server in SERVERS:
            if one := found.get(server):
                loads.append(one["load"])
                cells = ["failed"] + ["-"] * (len(COLUMNS) - 1) if "failed" in one else [read(one) for _, read in COLUMNS]
                lines.append(f"| {found['title']} | {NAMES[server]} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"`{of['command']}` on {of['date']}: {of['trill']}; {of['janus']}; {of['cpus']} cores of {of['cpu']}, load average "
        f"{min(loads)} to {max(loads)}; {of['seconds']} s measured in each run.",
        "",
    ]
    return "\n".join(lines)


def about(trill, args):
    def first_line(*command):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        return (done.stdout or done.stderr).strip().splitlines()[0]

    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    return dict(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        command=" ".join(["scripts/load", *(os.environ.get("LOAD_ARGS") or "").split()]),
        trill=first_line(trill, "--version"),
        janus=first_line("janus", "--version").replace("version: 1102 (", "").replace(")", ""),
        cpus=os.cpu_count(),
        cpu=model,
        seconds=args.seconds,
    )


if __name__ == "__main__":
    sys.exit(main())
