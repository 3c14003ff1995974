"""The demo: Alice calls Bob on this machine, and what each heard and saw is measured.

Run by scripts/demo. Exits with 0 only when every check holds.
"""

import argparse
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).parent

# What the call must reach. The network is loopback: these are well below what is normal there.
MIN_PESQ = 3.0
MIN_CORRELATION = 0.8
MIN_PSNR_DB = 28.0
MIN_FPS = 20.0
MAX_ACCEPT_TO_AUDIO_MS = 1000
# 60 and the codecs' own buffers.
MAX_ENGINE_MB = 70


class Program:
    """A trill process whose JSON lines go into one queue with everyone else's."""

    def __init__(self, name, command, lines, env=None):
        self.name = name
        self.log = open(OUT / f"{name}.log", "w")
        self.process = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=self.log, text=True, env=env
        )
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()

    def _read(self, lines):
        for line in self.process.stdout:
            self.log.write(line)
            try:
                lines.put((self.name, json.loads(line)))
            except json.JSONDecodeError:
                pass
        self.log.flush()
        lines.put((self.name, {"event": "exited", "status": self.process.wait()}))

    def resident_mb(self):
        try:
            status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return None
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()


class Call:
    """The lines as they come, printed as a story, and remembered."""

    # What is told of the call, in the words of a person.
    STORY = {
        "login.logged_in": "logged in",
        "call.incoming_received": "rings",
        "call.outgoing_ringing": "hears it ring",
        "accepting": "accepts",
        "call.outgoing_accepted": "was accepted",
        "session.joined": "joined the session",
        "session.first_audio": "hears the first audio",
        "session.first_video": "sees the first frame",
        "hanging_up": "hangs up",
        "call.ended": "the call ended",
    }

    def __init__(self, lines):
        self.lines = lines
        self.seen = {}
        self.start = None
        self.last = None
        self.latest_statistics = {}

    def wait_for(self, who, event, seconds):
        end = time.monotonic() + seconds
        while (who, event) not in self.seen:
            try:
                self._take(*self.lines.get(timeout=max(0.01, end - time.monotonic())))
            except queue.Empty:
                raise SystemExit(f"demo: {who}: no {event!r} within {seconds} s; see the logs in {OUT}")
        return self.seen[who, event]

    def _take(self, who, line):
        event = name_of(line)
        if event == "statistics":
            self.latest_statistics[who] = line
            return
        if event == "exited" and line["status"] != 0:
            raise SystemExit(f"demo: {who} ended with status {line['status']}; see {OUT}/{who}.log")
        first = (who, event) not in self.seen
        self.seen.setdefault((who, event), line)
        if event in self.STORY and first:
            at = line["at_ms"]
            self.start = self.start or at
            step = f"+{at - self.last:>5} ms" if self.last is not None else " " * 9
            self.last = at
            print(f"  {(at - self.start) / 1000:8.3f} s  {step}  {who:<5}  {self.STORY[event]}", flush=True)

    def between(self, a, b):
        return self.seen[b]["at_ms"] - self.seen[a]["at_ms"]


def name_of(line):
    """`event`, with the plane it came from in front when it is one of the engine's."""
    return f"{line['plane']}.{line['event']}" if "plane" in line else line.get("event")


def trill_json(arguments, env):
    done = subprocess.run([str(part) for part in arguments], capture_output=True, text=True, env=env)
    if done.returncode != 0:
        raise SystemExit(f"demo: {' '.join(map(str, arguments[:3]))}: {done.stderr.strip()}")
    return done.stdout


def main():
    global OUT
    parser = argparse.ArgumentParser()
    parser.add_argument("--trill", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("demo-out"))
    parser.add_argument("--seconds", type=int, default=12)
    args = parser.parse_args()
    OUT, trill = args.out, args.trill.resolve()
    if args.seconds < 5:
        parser.error("--seconds: the measurements need at least 5")
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)

    media = trill.parent.parent / "demo-media"
    if not (media / "bob.y4m").exists():
        print("making speech and pictures")
        subprocess.run([sys.executable, HERE / "make_media.py", media], check=True)

    lines = queue.Queue()
    programs = []
    try:
        results = run_call(trill, media, args.seconds, lines, programs)
    finally:
        for program in reversed(programs):
            program.stop()
    sys.exit(report(media, results))


def run_call(trill, media, seconds, lines, programs):
    call = Call(lines)
    serve = Program(
        "server",
        [trill, "serve", "--dev", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--database", OUT / "calls.db", "--json"],
        lines,
    )
    programs.append(serve)
    url = "http://" + call.wait_for("server", "listening", 20)["http"]
    print(f"server on {url}\n")
    idle_server_mb = serve.resident_mb()

    def person(name, *command):
        token = trill_json([trill, "token", "user", name, "--dev"], None).strip()
        env = dict(os.environ, TRILL_TOKEN=token, TRILL_SERVER=url)
        media_options = ["--mic", media / f"{name}.wav", "--camera", media / f"{name}.y4m"]
        media_options += ["--speaker", OUT / f"{name}-heard.wav", "--video-out", OUT / f"{name}-seen.y4m"]
        program = Program(name, [trill, *command, "--json", *media_options], lines, env)
        programs.append(program)
        return program, env

    bob, bob_env = person("bob", "answer", "--once")
    call.wait_for("bob", "login.logged_in", 20)
    alice, alice_env = person("alice", "call", "bob", "--video", "--duration", f"{seconds}s")
    for who in ("alice", "bob"):
        for event in ("session.first_audio", "session.first_video"):
            call.wait_for(who, event, 20)
    call.wait_for("alice", "hanging_up", seconds + 10)
    memory = {program.name: program.resident_mb() for program in programs}
    for who in ("alice", "bob"):
        call.wait_for(who, "call.ended", 10)
        call.wait_for(who, "exited", 10)
    logs = {
        who: json.loads(trill_json([trill, "logs", "--json"], env))["calls"]
        for who, env in (("alice", alice_env), ("bob", bob_env))
    }
    summary = {who: call.seen[who, "summary"] for who in ("alice", "bob")}
    return dict(call=call, memory=memory, idle_server_mb=idle_server_mb, logs=logs, summary=summary, seconds=seconds)


def report(media, results):
    call = results["call"]
    checks = []

    def check(text, holds):
        checks.append(holds)
        print(f"  {'ok  ' if holds else 'FAIL'}  {text}")

    measured = {}
    for who, other in (("alice", "bob"), ("bob", "alice")):
        print(f"\nwhat {who} heard and saw of {other}")
        done = subprocess.run(
            [sys.executable, HERE / "measure.py", "--said", media / f"{other}.wav", "--heard", OUT / f"{who}-heard.wav",
             "--shown", media / f"{other}.y4m", "--seen", OUT / f"{who}-seen.y4m"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        measured[who] = m = json.loads(done.stdout)
        speech, picture = m["speech"], m["picture"]
        fps = picture["frames"] / results["seconds"]
        check(f"speech PESQ {speech['pesq']} (at least {MIN_PESQ})", (speech["pesq"] or 0) >= MIN_PESQ)
        check(f"speech correlation {speech['correlation']} (at least {MIN_CORRELATION})", speech["correlation"] >= MIN_CORRELATION)
        check(f"picture PSNR {picture['psnr_db']} dB (at least {MIN_PSNR_DB})", (picture["psnr_db"] or 0) >= MIN_PSNR_DB)
        check(f"{picture['frames']} frames, {fps:.1f} a second (at least {MIN_FPS:.0f})", fps >= MIN_FPS)
        check(f"frames in order: {100 * picture['forward_steps']:.1f} %", picture["forward_steps"] >= 0.99)
        save_pictures(who)

    print("\nthe call")
    to_audio = {who: call.between(("bob", "accepting"), (who, "session.first_audio")) for who in ("alice", "bob")}
    for who, ms in to_audio.items():
        check(f"accept to {who}'s first audio: {ms} ms (at most {MAX_ACCEPT_TO_AUDIO_MS})", ms <= MAX_ACCEPT_TO_AUDIO_MS)
    for who, records in results["logs"].items():
        status = records[0]["status"] if records else "absent"
        check(f"one record in {who}'s call log, {status}", len(records) == 1 and status == "ended")

    memory = results["memory"]
    for who in ("alice", "bob"):
        check(f"{who}'s engine in the call: {memory[who]:.0f} MB resident (at most {MAX_ENGINE_MB})", memory[who] <= MAX_ENGINE_MB)
    print(f"\nserver: {results['idle_server_mb']:.0f} MB resident idle, {memory['server']:.0f} MB in the call (a debug build)")

    statistics = dict(
        measured=measured,
        accept_to_first_audio_ms=to_audio,
        resident_mb=memory,
        idle_server_mb=results["idle_server_mb"],
        summary=results["summary"],
        logs=results["logs"],
    )
    (OUT / "statistics.json").write_text(json.dumps(statistics, indent=2))
    print(f"\nin {OUT}/: " + ", ".join(sorted(p.name for p in OUT.iterdir() if not p.name.startswith("calls.db"))))
    good = all(checks)
    print(f"\n{'The call is good' if good else 'The call is NOT good'}: {sum(checks)} of {len(checks)} checks hold.")
    return 0 if good else 1


def save_pictures(who):
    """A contact sheet, and WebM in place of the large Y4M."""
    seen = OUT / f"{who}-seen.y4m"
    ffmpeg = ["ffmpeg", "-v", "error", "-y", "-i", seen]
    subprocess.run([*ffmpeg, "-vf", "fps=1,scale=320:-1,tile=4x3", "-frames:v", "1", OUT / f"{who}-seen.png"], check=True)
    encoder = ["-c:v", "libvpx", "-b:v", "3M", "-deadline", "realtime", "-cpu-used", "8"]
    subprocess.run([*ffmpeg, *encoder, OUT / f"{who}-seen.webm"], check=True)
    seen.unlink()


if __name__ == "__main__":
    main()
