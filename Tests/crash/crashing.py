"""A coordinator that may be killed at any moment, and what must hold afterwards.

Every invitation is one entry of the coordinator's audit log. A client that has a token in its hands was answered, so
the entry must be in the log for ever; a head that was once published must remain a beginning of the log.
"""

import base64
import hashlib
import http.client
import json
import os
import pathlib
import signal
import ssl
import subprocess
import sys
import threading
import time

READY_SECONDS_MAX = 5.0
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def program():
    """The binary under test: CONSILIUM, or the debug build. A node or coordinator is known by this name, keep it."""
    path = os.environ.get("CONSILIUM") or str(ROOT / ".build/debug/consilium")
    if not os.access(path, os.X_OK):
        sys.exit(f"{path} is not there: swift build --product consilium, or set CONSILIUM")
    return path


class Broken(Exception):
    """Something that must never happen has happened."""


class Coordinator:
    """The coordinator of one directory, as a process."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.program = program()
        self.process = None

    def create(self):
        subprocess.run(
            [self.program, "coordinator", "init", "--dir", self.directory, "--name", "crash",
             "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0"],
            check=True, stdout=subprocess.DEVNULL)

    def start(self, wrapper=()):
        """Starts it and returns the seconds until it is ready; None if it ended before (under a fault)."""
        endpoint = pathlib.Path(self.directory, "endpoint.json")
        endpoint.unlink(missing_ok=True)  # a killed process leaves one behind
        with open(self.directory + ".log", "ab") as log:
            begin = time.monotonic()
            self.process = subprocess.Popen(
                [*wrapper, self.program, "coordinator", "serve", "--dir", self.directory],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        while time.monotonic() - begin < 4 * READY_SECONDS_MAX:
            if self.process.poll() is not None:
                return None
            try:
                self.endpoint = json.loads(endpoint.read_bytes())
                return time.monotonic() - begin
            except (FileNotFoundError, json.JSONDecodeError):
                time.sleep(0.005)
        self.kill()
        raise Broken("not ready after 20 seconds")

    @property
    def pid(self):
        return self.endpoint["pid"]

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=20)

    def connection(self):
        host, port = self.endpoint["operator"].removeprefix("https://").rsplit(":", 1)
        context = ssl.create_default_context(cafile=self.directory + "/keys/ca.crt.pem")
        return http.client.HTTPSConnection(host, int(port), context=context, timeout=10)

    def invite_by_command(self, site):
        """`consilium coordinator invite`; whether it printed a token."""
        done = subprocess.run(
            [self.program, "coordinator", "invite", "--dir", self.directory, "--site", site],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        answered = done.stdout.startswith(b"consilium-1.")
        if answered != (done.returncode == 0):
            raise Broken(f"invite ended with {done.returncode} and {'a' if answered else 'no'} token")
        return answered

    def audit(self, *words):
        return subprocess.run(
            [self.program, "audit", words[0], self.directory, *words[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def head(self):
        """Size and root of the published checkpoint; None while there is none."""
        try:
            lines = pathlib.Path(self.directory, "log/checkpoint").read_text().split("\n")
            return int(lines[1]), lines[2]
        except FileNotFoundError:
            return None


class Load:
    """Threads that ask for invitations over HTTPS until the coordinator is gone."""

    def __init__(self, coordinator, name, threads, limit):
        self.coordinator, self.limit = coordinator, limit
        self.acknowledged, self.heads = [], set()
        self.lock = threading.Lock()
        key = pathlib.Path(coordinator.directory, "keys/operator.key").read_text().strip()
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.threads = [threading.Thread(target=self.work, args=(f"{name}-{n}",)) for n in range(threads)]
        for thread in self.threads:
            thread.start()

    def work(self, name):
        number = 0
        try:
            connection = self.coordinator.connection()
            while True:
                site = f"{name}-{number}"
                number += 1
                with self.lock:
                    if self.limit <= 0:
                        return
                    self.limit -= 1
                connection.request("POST", "/v1/invitations", json.dumps({"site": site}), self.headers)
                answer = connection.getresponse()
                body = json.loads(answer.read())
                if answer.status != 200:
                    continue
                head = self.coordinator.head()
                with self.lock:
                    if body["token"].startswith("consilium-1."):
                        self.acknowledged.append(site)
                    self.heads.add(head)
        except (OSError, http.client.HTTPException, ValueError):
            return  # the coordinator died under it

    def join(self):
        for thread in self.threads:
            thread.join()


def leaf(entry):
    return hashlib.sha256(b"\0" + entry).digest()


class Roots:
    """Roots of the first n leaves (RFC 6962), for all n that are asked for in ascending order."""

    def __init__(self, leaves):
        self.leaves, self.size, self.stack = leaves, 0, []

    def at(self, size):
        while self.size < size:
            node, count = self.leaves[self.size], self.size
            while count & 1:
                node = hashlib.sha256(b"\1" + self.stack.pop() + node).digest()
                count >>= 1
            self.stack.append(node)
            self.size += 1
        root = self.stack[-1] if self.stack else hashlib.sha256(b"").digest()
        for left in reversed(self.stack[:-1]):
            root = hashlib.sha256(b"\1" + left + root).digest()
        return base64.b64encode(root).decode()


def check(coordinator, acknowledged, heads):
    """The log is whole, has every acknowledged entry once, every number once, and grew out of every head seen."""
    verified = coordinator.audit("verify")
    if verified.returncode != 0:
        raise Broken("audit verify: " + verified.stderr.decode().strip())
    lines = coordinator.audit("show", "--json").stdout.splitlines()
    entries = [json.loads(line) for line in lines]
    if [entry["seq"] for entry in entries] != list(range(len(entries))):
        raise Broken("numbers are missing or twice in the log")
    invited = [entry["details"]["site"] for entry in entries if entry["type"] == "site.invited"]
    if len(set(invited)) != len(invited):
        raise Broken("an invitation is twice in the log")
    lost = set(acknowledged) - set(invited)
    if lost:
        raise Broken(f"{len(lost)} acknowledged entries are not in the log, such as {sorted(lost)[0]}")
    roots = Roots([leaf(line) for line in lines])
    for size, root in sorted(head for head in heads if head):
        if size > len(lines):
            raise Broken(f"a head of {size} entries was published, the log has {len(lines)}")
        if roots.at(size) != root:
            raise Broken(f"the log does not grow out of the head of {size} entries that was published")
    return len(entries)
