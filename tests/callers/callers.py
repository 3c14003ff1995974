"""The example callers of C, C++, Kotlin and Swift call each other through a server on loopback, and a browser page joins them.

    callers.py TRILL FOLDER        FOLDER has what scripts/lib/callers built

Each call is one that a user would make: it rings, the other accepts, each hears and sees the other, one hangs up, both are told,
and the call is in the log. Ends with a line "N passed, N failed".
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TRILL, FOLDER = sys.argv[1:3]
# Generous: several encoders in software share the machine.
PATIENCE = 40


class Program:
    """A program that tells what happens in lines, and obeys lines."""

    def __init__(self, name, command, env=None):
        self.name, self.lines, self.changed = name, [], threading.Condition()
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(env or {})}, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def expect(self, what, pattern, matches=None):
        """The first line like that, from the start on."""
        matches = matches or re.compile(pattern).search
        deadline = time.monotonic() + PATIENCE
        with self.changed:
            while not (found := next(filter(matches, self.lines), None)):
                if not self.changed.wait(deadline - time.monotonic()):
                    told = "\n".join(f"    {line}" for line in self.lines)
                    raise AssertionError(f"{self.name} did not tell of {what}; it told:\n{told}")
        return found

    def close(self):
        self.process.kill()
        self.process.wait()


class Caller(Program):
    """The callers of C, Kotlin and Swift, which are told what to do in lines."""

    COMMANDS = {
        "c": [f"{FOLDER}/native_caller"],
        "kotlin": ["java", f"-Djna.library.path={os.path.dirname(TRILL)}", "-jar",
                   f"{ROOT}/bindings/kotlin/caller/target/trill-caller.jar"],
        "swift": ["bash", f"{ROOT}/scripts/lib/swift", f"{FOLDER}/../swift/build/debug/trill-caller"],
    }

    def __init__(self, language, server, callee=None):
        self.callee = callee
        super().__init__(language, self.COMMANDS[language] + [server.url, server.token("user", language)])
        self.expect("its login", f"logged in as {language}")

    def call(self):
        self.say(f"video {self.callee}")

    def accept(self, caller):
        self.expect("the call", f"{caller} calls")
        self.say("accept")

    def hang_up(self):
        self.say("h")


class CppCaller(Program):
    """C++'s caller, which is told on its command line: it calls as soon as it is there, or accepts."""

    def __init__(self, server, callee=None):
        todo = ["call", callee, str(PATIENCE)] if callee else ["answer"]
        super().__init__("cpp", [f"{FOLDER}/cpp_caller", server.url, server.token("user", "cpp"), *todo])
        self.expect("its login", "logged in as cpp")

    def call(self):
        pass

    def accept(self, caller):
        self.expect("the call", f"{caller} calls")


class Page(Program):
    """livekit-client in headless Chromium, as in tests/interop."""

    def __init__(self, server, room):
        modules = os.path.join(os.path.dirname(FOLDER), "interop/node/node_modules")
        super().__init__(
            "page", ["node", f"{ROOT}/tests/interop/peer.mjs", server.url.replace("http", "ws"),
                     server.token("session", room, "page"), "--tone", "880"], {"MODULES": modules})

    def expect_media_of(self, who):
        self.event(f"the tone of {who}", lambda e: e["event"] == "audio" and e["participant"] == who
                   and abs(e["hz"] - 440) < 14 and e["level"] > -30)
        self.event(f"the pictures of {who}", lambda e: e["event"] == "video" and e["participant"] == who
                   and e["frames"] >= 5)

    def event(self, what, matches):
        self.expect(what, None, lambda line: line.startswith("{") and matches(json.loads(line)))

    def close(self):
        # The end of its input makes it leave, and end its browser.
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            super().close()


class Server:
    def __init__(self, folder):
        self.process = subprocess.Popen(
            [TRILL, "serve", "--dev", "--json", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0",
             "--database", f"{folder}/calls.db"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = "http://" + json.loads(self.process.stdout.readline())["http"]

    def token(self, *what):
        return subprocess.run([TRILL, "token", *what, "--dev"], check=True, capture_output=True, text=True).stdout.strip()

    def newest_call(self, uid):
        logs = [TRILL, "logs", "--dev", "--server", self.url, "--as", uid, "--limit", "1", "--json"]
        return json.loads(subprocess.run(logs, check=True, capture_output=True, text=True).stdout)["calls"][0]

    def close(self):
        self.process.kill()
        self.process.wait()


def call(caller, callee, with_page):
    with tempfile.TemporaryDirectory() as folder:
        opened = [server := Server(folder)]
        try:
            opened.append(other := CppCaller(server) if callee == "cpp" else Caller(callee, server))
            opened.append(one := CppCaller(server, callee) if caller == "cpp" else Caller(caller, server, callee))
            one.call()
            other.accept(caller)
            one.expect("the answer", f"{callee} accepted")
            for program, peer in ((one, callee), (other, caller)):
                program.expect(f"{peer}'s voice", f"^{peer} (is|can be) heard")
                program.expect(f"{peer}'s pictures", f"^{peer} (is|can be) seen")
            if with_page:
                opened.append(page := Page(server, server.newest_call(caller)["sessionId"]))
                for who in (caller, callee):
                    page.expect_media_of(who)
                for program in (one, other):
                    program.expect("the page's voice", "^page (is|can be) heard")
                    program.expect("the page's pictures", "^page (is|can be) seen")
            # C++'s caller would hang up by itself, but later.
            (other if caller == "cpp" else one).hang_up()
            for program in (one, other):
                program.expect("the end", "(is over|^over)")
            if with_page:
                page.event("the end", lambda e: e["event"] in ("disconnected", "left"))
            logged = server.newest_call(callee)
            assert logged["endReason"] == "hung_up", f"the log says {logged}"
        finally:
            for program in reversed(opened):
                program.close()


def main():
    passed = failed = 0
    for caller, callee, with_page in (
        ("kotlin", "swift", True),
        ("c", "cpp", True),
        ("swift", "c", False),
        ("c", "kotlin", False),
        ("kotlin", "cpp", False),
        ("cpp", "swift", False),
    ):
        name, begin = f"{caller} calls {callee}{', and a page joins' if with_page else ''}", time.monotonic()
        try:
            call(caller, callee, with_page)
            passed += 1
            print(f"ok    {name} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Exception as error:
            failed += 1
            print(f"FAIL  {name}: {error}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed != 0


sys.exit(main())
