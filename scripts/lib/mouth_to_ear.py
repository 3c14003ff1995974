"""Mouth to ear, and CPU, of a call between two telephones: mouth_to_ear.py TRILL SECONDS."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

TRILL, SECONDS = str(Path(sys.argv[1]).resolve()), float(sys.argv[2])
RATE = 48_000
BOUND = 30
started = []


def start(command, environment, **more):
    usual = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=environment, **usual | more)
    started.append(process)
    return process


def end(process, signal="terminate"):
    getattr(process, signal)()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Telephone:
    """A process of ours that prints JSON lines."""

    def __init__(self, arguments, environment):
        self.process = start([TRILL, *arguments, "--json"], environment, stdout=subprocess.PIPE, text=True)
        self.events, self.changed = [], threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.events.append(json.loads(line))
                self.changed.notify_all()

    def wait_for(self, event):
        def there():
            return next((line for line in self.events if line.get("event") == event), None)

        with self.changed:
            if not self.changed.wait_for(there, BOUND):
                sys.exit(f"{event} did not come within {BOUND} s")
            return there()

    def cpu(self):
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def chirps(seconds):
    """Every 0.9 s or so one of 60 ms from 300 to 3000 Hz, and when each begins, in samples."""
    t = np.arange(int(0.06 * RATE)) / RATE
    chirp = 9000 * np.hanning(len(t)) * np.sin(2 * np.pi * (300 * t + (3000 - 300) / 0.12 * t**2))
    sound = np.zeros(int(seconds * RATE))
    # Not in step with frames of 20 ms.
    for begin in range(RATE // 2, len(sound) - RATE, RATE * 9 // 10 + 137):
        sound[begin : begin + len(chirp)] += chirp
    return sound.astype(np.int16), chirp


def found(sound, chirp):
    """Where chirps begin: peaks of the correlation with one, normalised."""
    size = len(sound) + len(chirp)
    product = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(chirp, size)), size)[: len(sound)]
    energy = np.convolve(sound.astype(float) ** 2, np.ones(len(chirp)), "full")[len(chirp) - 1 :]
    likeness = product / np.sqrt(np.maximum(energy, 1e4) * np.sum(chirp**2))
    peaks, at = [], 0
    for at in np.argsort(-likeness):
        if likeness[at] < 0.6:
            break
        if all(abs(at - other) > RATE // 2 for other in peaks):
            peaks.append(int(at))
    return sorted(peaks)


def run(folder, environment, raw):
    """A call; delays in ms, and the caller's CPU as a share of one core."""
    sound, chirp = chirps(SECONDS + 20)
    stereo = np.zeros((len(sound), 2), np.int16)
    stereo[:, 0] = sound
    (folder / "chirps.raw").write_bytes(stereo.tobytes())
    pulse = lambda sink, source: environment | {"PULSE_SINK": sink, "PULSE_SOURCE": source}
    options = ["--dev", *(["--raw-mic"] if raw else [])]
    server = Telephone(
        ["serve", "--dev", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--database", str(folder / f"{raw}.db")], environment
    )
    url = "http://" + server.wait_for("listening")["http"]
    bob = Telephone(["answer", *options, "--as", "bob", "--server", url], pulse("right", "left"))
    bob.wait_for("logged_in")
    alice = Telephone(["call", "bob", *options, "--as", "alice", "--server", url], pulse("away", "left"))
    play = ["pacat", "--playback", "--device=air", "--format=s16le", f"--rate={RATE}", "--channels=2"]
    with open(folder / "chirps.raw", "rb") as chirping:
        player = start(play, environment, stdin=chirping)
    for side in (alice, bob):
        side.wait_for("first_audio")
    # Until the buffers have found their length.
    time.sleep(5)
    path = folder / "heard.raw"
    with open(path, "wb") as heard:
        recorder = start(
            ["parec", "--device=air.monitor", "--format=s16le", f"--rate={RATE}", "--channels=2", "--latency-msec=50"],
            environment, stdout=heard,
        )
    began, cpu = time.monotonic(), alice.cpu()
    time.sleep(SECONDS)
    share = (alice.cpu() - cpu) / (time.monotonic() - began)
    for process in (recorder, player, alice.process, bob.process, server.process):
        end(process)
    heard = np.frombuffer(path.read_bytes()[: path.stat().st_size // 4 * 4], np.int16).reshape(-1, 2)
    said, came = found(heard[:, 0], chirp), found(heard[:, 1], chirp)
    delays = []
    for begin in said:
        after = [at - begin for at in came if 0 < at - begin < RATE // 2]
        if after:
            delays.append(1000 * after[0] / RATE)
    if len(delays) < 5:
        sys.exit(f"only {len(delays)} of {len(said)} chirps were heard")
    return sorted(delays), len(said), share


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PULSE_", "TRILL_"))}
        environment |= {"HOME": name, "XDG_RUNTIME_DIR": name, "XDG_CONFIG_HOME": name, "PULSE_SERVER": f"unix:{name}/pulse/native"}
        # One sink with two channels, so that one recording has both ends: what is said at the left, what is heard at the right.
        modules = [
            "module-native-protocol-unix auth-anonymous=1",
            f"module-null-sink sink_name=air rate={RATE} channels=2",
            f"module-null-sink sink_name=away rate={RATE} channels=1",
            "module-remap-sink sink_name=right master=air channels=1 channel_map=mono master_channel_map=front-right remix=no",
            "module-remap-source source_name=left master=air.monitor channels=1 channel_map=mono master_channel_map=front-left remix=no",
        ]
        loads = [part for module in modules for part in ("-L", module)]
        start(["pulseaudio", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "-n", *loads], environment)
        waited = time.monotonic()
        while subprocess.run(["pactl", "set-default-sink", "away"], env=environment, capture_output=True).returncode:
            if time.monotonic() - waited > BOUND:
                sys.exit("PulseAudio does not answer")
            time.sleep(0.1)
        for raw, what in ((True, "without voice processing"), (False, "with voice processing")):
            delays, said, share = run(folder, environment, raw)
            load = os.getloadavg()[0]
            print(
                f"figure: mouth to ear on devices, {what}: median {np.median(delays):.0f} ms, {delays[0]:.0f} to {delays[-1]:.0f}, "
                f"{len(delays)} of {said} chirps heard; the caller uses {100 * share:.1f} % of a core (load average {load:.1f})",
                flush=True,
            )


try:
    main()
finally:
    for process in reversed(started):
        if process.poll() is None:
            end(process, "kill")
