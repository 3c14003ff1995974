"""One traced session through a bad network: the server, the proxy, and both participants."""

import json
import os
import pathlib
import queue
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).parent

# Where clients are told to send media: the proxy, on the server's port and another of loopback's addresses.
FRONT = "127.0.0.2"
# Until sound and picture flow, in seconds.
PATIENCE = 40
# From the first packet until the measurement begins: connections are made, bitrates and buffers find their level.
SETTLE = 5.0
VIDEO_KBPS = 1500


class Failure(Exception):
    """A run that has no figures, and why."""


class Program:
    """A process that tells JSON lines, which are kept with the time at which they came."""

    def __init__(self, command, log, env=None):
        self.name, self.log = pathlib.Path(command[0]).name, log
        with open(log, "w") as errors:
            self.process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                env=dict(os.environ, **env or {}),
            )  # fmt: skip
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            try:
                self.lines.put((time.time(), json.loads(line)))
            except json.JSONDecodeError:
                pass
        self.lines.put((time.time(), dict(event="exited")))

    def wait_for(self, event, seconds):
        """(when, line)"""
        end = time.monotonic() + seconds
        while True:
            try:
                when, line = self.lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise Failure(f"{self.name} did not tell {event!r} within {seconds} s; see {self.log}") from None
            if line.get("event") == event:
                return when, line
            if line.get("event") == "exited":
                raise Failure(f"{self.name} ended before it told {event!r}; see {self.log}")

    def finish(self, seconds):
        """Tells it to end, by the end of its input, and waits."""
        self.process.stdin.close()
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not end within {seconds} s; see {self.log}") from None
        if status != 0:
            raise Failure(f"{self.name} ended with status {status}; see {self.log}")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()


class Server:
    """`trill serve --dev`, which tells clients to send media to the proxy."""

    def __init__(self, trill, folder):
        self.trill = trill
        command = [trill, "serve", "--dev", "--json", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0"]
        self.program = Program([*command, "--database", folder / "calls.db"], folder / "server.log", dict(TRILL_ADVERTISED_IPS=f'["{FRONT}"]'))
        _, line = self.program.wait_for("listening", 20)
        self.http, self.udp = line["http"], line["udp"]

    def token(self, room, who):
        command = [self.trill, "token", "session", room, who, "--dev"]
        return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout.strip()

    def stop(self):
        self.program.stop()


def cpu_seconds(pid):
    """What a process and all that it started have used."""
    children, used = {}, {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(") ", 1)[1].split()
        except OSError:
            continue
        process = int(stat.parent.name)
        children.setdefault(int(fields[1]), []).append(process)
        # Its own and that of the children that it waited for, in user and in system mode.
        used[process] = sum(map(int, fields[11:15]))
    tree, total = [pid], 0
    while tree:
        process = tree.pop()
        tree += children.get(process, ())
        total += used.get(process, 0)
    return total / os.sysconf("SC_CLK_TCK")


def run(server, participants, network, seed, speech, clip, seconds, folder, *more):
    """Runs `participants` (a command) through `network` (a file) and gives the window to measure, on the trace's clock,
    what the proxy counted, and what CPU the participants took. `more` goes to the participants."""
    port = server.udp.rsplit(":", 1)[1]
    impair = Program(
        [server.trill, "impair", "--json", "--seed", seed, "--file", network, "--listen", f"{FRONT}:{port}", "--upstream", server.udp],
        folder / "impair.log",
    )  # fmt: skip
    programs = [impair]
    try:
        impair.wait_for("listening", 10)
        room = folder.name
        tokens = [server.token(room, who) for who in ("sender", "receiver")]
        both = Program([*participants, f"http://{server.http}", *tokens, speech, clip, VIDEO_KBPS, folder, *more], folder / "participants.log")
        programs.append(both)
        first_packet, _ = impair.wait_for("client", PATIENCE)
        both.wait_for("media", PATIENCE)
        begin = first_packet + SETTLE
        late = time.time() - begin
        if late > 0:
            # Said with the figures: the network's changes come earlier in what is measured.
            begin += late
        time.sleep(max(0.0, begin - time.time()))
        used, since = cpu_seconds(both.process.pid), time.monotonic()
        time.sleep(begin + seconds - time.time())
        cpu_percent = 100 * (cpu_seconds(both.process.pid) - used) / (time.monotonic() - since)
        time.sleep(0.5)
        both.finish(30)
        impair.stop()
        _, stopped = impair.wait_for("stopped", 5)
    finally:
        for program in reversed(programs):
            program.stop()
    zero = json.loads((folder / "trace.json").read_text())["unix_us"] / 1e6
    window = (begin - zero, begin - zero + seconds)
    return window, dict(proxy=stopped["statistics"], late_ms=round(max(0.0, late) * 1000), cpu_percent=round(cpu_percent, 1))
