"""The example callers of C, C++, Kotlin and Swift call each other and a browser page through a server on loopback.

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
import urllib.request

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

    def expect_media_of(self, who):
        self.expect(f"the voice of {who}", f"^{who} (is|can be) heard")
        self.expect(f"the pictures of {who}", f"^{who} (is|can be) seen")

    def expect_end(self):
        self.expect("the end", "(is over|^over)")

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

    def __init__(self, language, server):
        super().__init__(language, self.COMMANDS[language] + [server.url, server.token("user", language)])
        self.expect("its login", f"logged in as {language}")

    def call(self, how, who):
        self.say(f"{how} {who}")

    def accept(self, caller):
        self.expect("the call", f"{caller} calls")
        self.say("accept")

    def hang_up(self):
        self.say("h")


class CppCaller(Program):
    """C++'s caller, which is told on its command line: it calls as soon as it is there, or accepts."""

    def __init__(self, server, callee=None):
        # Against others it talks until they hang up; a page does not. Then it hangs up so long after it has heard and
        # seen: by then the page is to have as well, and Chromium counts pictures only once a second.
        todo = ["call", callee, "10" if callee == "page" else str(PATIENCE)] if callee else ["answer"]
        super().__init__("cpp", [f"{FOLDER}/cpp_caller", server.url, server.token("user", "cpp"), *todo])
        self.expect("its login", "logged in as cpp")

    def call(self, how, who):
        pass

    def hang_up(self):
        pass

    def accept(self, caller):
        self.expect("the call", f"{caller} calls")


class Page(Program):
    """livekit-client in headless Chromium, as in tests/interop: a device that accepts the first call."""

    def __init__(self, server):
        modules = os.path.join(os.path.dirname(FOLDER), "interop/node/node_modules")
        super().__init__(
            "page", ["node", f"{ROOT}/tests/interop/peer.mjs", server.url, server.token("user", "page"), "--answer",
                     "--tone", "880"], {"MODULES": modules})
        self.event("its login", lambda e: e["event"] == "logged_in")

    def accept(self, caller):
        pass

    def expect_media_of(self, who):
        self.event(f"the tone of {who}", lambda e: e["event"] == "audio" and e["participant"] == who
                   and abs(e["hz"] - 440) < 14 and e["level"] > -30)
        self.event(f"the pictures of {who}", lambda e: e["event"] == "video" and e["participant"] == who
                   and e["frames"] >= 5)

    def expect_end(self):
        self.event("the end", lambda e: e["event"] in ("call_ended", "ended", "disconnected"))

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

    def make_group(self, guid, members):
        token = self.token("admin", "test")
        for path, body in [(f"groups/{guid}", {"name": guid})] + [
                part for uid in members
                for part in ((f"users/{uid}", {"name": uid}), (f"groups/{guid}/members/{uid}", None))]:
            request = urllib.request.Request(
                f"{self.url}/v1/{path}", method="PUT", data=json.dumps(body).encode() if body else b"",
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
            urllib.request.urlopen(request).close()

    def newest_call(self, uid):
        logs = [TRILL, "logs", "--dev", "--server", self.url, "--as", uid, "--limit", "1", "--json"]
        return json.loads(subprocess.run(logs, check=True, capture_output=True, text=True).stdout)["calls"][0]

    def close(self):
        self.process.kill()
        self.process.wait()


def hear_and_see(programs):
    """Each hears and sees each other."""
    for program in programs:
        for other in programs:
            if program is not other:
                program.expect_media_of(other.name)


def call(opened, server, caller, callee):
    opened.append(other := callee_of(callee, server))
    opened.append(one := CppCaller(server, callee) if caller == "cpp" else Caller(caller, server))
    one.call("video", callee)
    other.accept(caller)
    one.expect("the answer", f"{callee} accepted")
    hear_and_see([one, other])
    # C++'s caller would hang up by itself, but later; a page has no button for it.
    (other if caller == "cpp" and callee != "page" else one).hang_up()
    for program in (one, other):
        program.expect_end()
    logged = server.newest_call(caller)
    assert logged["endReason"] == "hung_up", f"the log says {logged}"


def group_call(opened, server, caller, callee):
    server.make_group("team", [caller, callee, "page"])
    opened.append(other := Caller(callee, server))
    opened.append(page := Page(server))
    opened.append(one := Caller(caller, server))
    one.call("group", "team")
    other.accept(caller)
    hear_and_see([one, other, page])
    # One leaves, and the others go on; then all leave.
    one.hang_up()
    other.expect("that one left", f"{caller} is gone")
    page.event("that one left", lambda e: e["event"] == "participant_left" and e["participant"] == caller)
    other.hang_up()
    other.expect_end()
    page.event("that the other left", lambda e: e["event"] == "participant_left" and e["participant"] == callee)


def callee_of(name, server):
    return {"cpp": CppCaller, "page": Page}.get(name, lambda server: Caller(name, server))(server)


def main():
    passed = failed = 0
    for how, caller, callee in (
        (group_call, "kotlin", "swift"),
        (call, "kotlin", "swift"),
        (call, "swift", "c"),
        (call, "c", "kotlin"),
        (call, "c", "cpp"),
        (call, "kotlin", "cpp"),
        (call, "cpp", "swift"),
        (call, "c", "page"),
        (call, "cpp", "page"),
    ):
        name = f"{caller} calls {callee}" if how is call else f"{caller} calls a group of {callee} and a page"
        begin, opened = time.monotonic(), []
        with tempfile.TemporaryDirectory() as folder:
            opened.append(server := Server(folder))
            try:
                how(opened, server, caller, callee)
                passed += 1
                print(f"ok    {name} ({time.monotonic() - begin:.1f} s)", flush=True)
            except Exception as error:
                failed += 1
                print(f"FAIL  {name}: {error}", flush=True)
            finally:
                for program in reversed(opened):
                    program.close()
    print(f"{passed} passed, {failed} failed")
    return failed != 0


sys.exit(main())
