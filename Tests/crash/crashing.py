"""A coordinator or node that may be killed at any moment, and what must hold afterwards.

Every invitation is one entry of the coordinator's audit log, every answered request for predictions one of the node's. A client that has a token or a
prediction's id in its hands was answered, so the entry must be in the log for ever, and the node's record with it; a head
that was once published must remain a beginning of the log.
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


class Party:
    """The coordinator or node of one directory, as a process."""

    role = None        # as the program calls it
    entry_type = None  # what one acknowledged thing is in the log
    url_key = None     # where endpoint.json says that callers connect
    authority = None   # the CA of that port

    def __init__(self, directory):
        self.directory = str(directory)
        self.program = program()
        self.process = None

    def start(self, wrapper=()):
        """Starts it and returns the seconds until it is ready; None if it ended before (under a fault)."""
        endpoint = pathlib.Path(self.directory, "endpoint.json")
        endpoint.unlink(missing_ok=True)  # a killed process leaves one behind
        with open(self.directory + ".log", "ab") as log:
            begin = time.monotonic()
            self.process = subprocess.Popen(
                [*wrapper, self.program, self.role, "serve", "--dir", self.directory],
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
        host, port = self.endpoint[self.url_key].removeprefix("https://").rsplit(":", 1)
        context = ssl.create_default_context(cafile=f"{self.directory}/keys/{self.authority}")
        return http.client.HTTPSConnection(host, int(port), context=context, timeout=10)

    def key(self, name):
        return {"Authorization": "Bearer " + pathlib.Path(self.directory, "keys", name).read_text().strip()}

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

    def request(self, name):
        """One request of the load: path, headers, body."""
        raise NotImplementedError

    def acknowledged(self, name, answer):
        """What an answer of 200 acknowledges."""
        raise NotImplementedError

    def logged(self, entry):
        """The acknowledged things that an entry is about."""
        raise NotImplementedError

    def check_more(self, acknowledged, latest=()):
        """What else must hold of a running party; `latest` was acknowledged since the last check."""


class Coordinator(Party):
    role, entry_type, url_key, authority = "coordinator", "site.invited", "operator", "ca.crt.pem"

    def create(self):
        subprocess.run(
            [self.program, "coordinator", "init", "--dir", self.directory, "--name", "crash",
             "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0"],
            check=True, stdout=subprocess.DEVNULL)

    def request(self, name):
        return "/v1/invitations", self.key("operator.key"), json.dumps({"site": name})

    def acknowledged(self, name, answer):
        return [name] if answer["token"].startswith("consilium-1.") else []

    def logged(self, entry):
        return [entry["details"]["site"]]

    def invite_by_command(self, site):
        """`consilium coordinator invite`; whether it printed a token."""
        done = subprocess.run(
            [self.program, "coordinator", "invite", "--dir", self.directory, "--site", site],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        answered = done.stdout.startswith(b"consilium-1.")
        if answered != (done.returncode == 0):
            raise Broken(f"invite ended with {done.returncode} and {'a' if answered else 'no'} token")
        return answered


class Node(Party):
    """A node with a live version whose coordinator is gone: it predicts."""

    role, entry_type, url_key, authority = "node", "prediction", "url", "serving-ca.crt.pem"
    row = {"age": 61, "sex": 1, "cp": 4, "trestbps": 140, "chol": 230, "fbs": 0, "restecg": 0, "thalach": 130, "exang": 1,
           "oldpeak": 1.5, "slope": 2, "ca": 1, "thal": 7}
    rows = (1, 3)  # of one request after another

    @staticmethod
    def template(work):
        """The directory of a node that took part in the small scenario, with a key for predictions."""
        subprocess.run(
            [program(), "scenario", "run", str(ROOT / "scenarios/four-hospitals.json5"), "--out", str(work / "scenario")],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        node = Node(work / "scenario/cleveland")
        if node.start() is None:
            raise Broken("the node of the scenario does not start")
        subprocess.run(
            [node.program, "node", "key", "create", "--dir", node.directory, "--name", "load", "--role", "predict",
             "--output", node.directory + "/keys/load.key"], check=True, stdout=subprocess.DEVNULL)
        node.stop()
        return node

    def request(self, name):
        return "/v1/predict", self.key("load.key"), json.dumps({"rows": [self.row] * self.rows[len(name) % len(self.rows)]})

    def acknowledged(self, name, answer):
        return [row["id"] for row in answer["predictions"]]

    def logged(self, entry):
        return row_ids(entry["details"]["id"], entry["details"].get("rows", 1))

    def check_more(self, acknowledged, latest=()):
        self.ask(acknowledged[-3:])

    def ask(self, identifiers):
        """Each must be told in full, with what its own version said of it."""
        connection = self.connection()
        for identifier in identifiers:
            connection.request("GET", f"/v1/decisions/{identifier}", headers=self.key("operator.key"))
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise Broken(f"the record of an acknowledged prediction cannot be read: {answer.status}")
            decision = json.loads(text)
            if decision["id"] != identifier or decision["receipt"] is None:
                raise Broken("a stored decision is another one, or has no receipt")

    def refusals(self):
        """What the node counted of operations that it refused for want of log or records."""
        connection = self.connection()
        connection.request("GET", "/metrics", headers=self.key("operator.key"))
        lines = connection.getresponse().read().decode().split("\n")
        names = ("consilium_log_refused_total ", "consilium_durability_failures_total ")
        return sum(float(line.split()[1]) for line in lines if line.startswith(names))


class Predictions(Node):
    """A node of which every acknowledged prediction is asked for again after every kill, not only some."""

    def check_more(self, acknowledged, latest=()):
        self.ask(latest)


def row_ids(first, rows):
    """The ids of the rows of a request: the upper half counts up."""
    high = int(first.replace("-", "")[:16], 16)
    ids = (f"{high + row:016x}" for row in range(rows))
    return [f"{text[:8]}-{text[8:12]}-{text[12:]}{first[18:]}" for text in ids]


class Load:
    """Threads that send requests over HTTPS until the party is gone or `limit` requests are through."""

    def __init__(self, party, name, threads, limit):
        self.party, self.limit = party, limit
        self.acknowledged, self.heads, self.refused = [], set(), 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work, args=(f"{name}-{n}",)) for n in range(threads)]
        for thread in self.threads:
            thread.start()

    def work(self, name):
        number = 0
        try:
            connection = self.party.connection()
            while True:
                each = f"{name}-{number}"
                number += 1
                with self.lock:
                    if self.limit <= 0:
                        return
                    self.limit -= 1
                path, headers, body = self.party.request(each)
                connection.request("POST", path, body, {**headers, "Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    with self.lock:
                        self.refused += 1
                    continue
                head = self.party.head()
                with self.lock:
                    self.acknowledged += self.party.acknowledged(each, json.loads(text))
                    self.heads.add(head)
        except (OSError, http.client.HTTPException, ValueError):
            return  # the party died under it

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


def check(party, acknowledged, heads):
    """The log is whole, has every acknowledged entry once, every number once, and grew out of every head seen."""
    verified = party.audit("verify")
    if verified.returncode != 0:
        raise Broken("audit verify: " + verified.stderr.decode().strip())
    lines = party.audit("show", "--json").stdout.splitlines()
    entries = [json.loads(line) for line in lines]
    if [entry["seq"] for entry in entries] != list(range(len(entries))):
        raise Broken("numbers are missing or twice in the log")
    logged = [name for entry in entries if entry["type"] == party.entry_type for name in party.logged(entry)]
    if len(set(logged)) != len(logged):
        raise Broken(f"one {party.entry_type} is twice in the log")
    lost = set(acknowledged) - set(logged)
    if lost:
        raise Broken(f"{len(lost)} acknowledged entries are not in the log, such as {sorted(lost)[0]}")
    roots = Roots([leaf(line) for line in lines])
    for size, root in sorted(head for head in heads if head):
        if size > len(lines):
            raise Broken(f"a head of {size} entries was published, the log has {len(lines)}")
        if roots.at(size) != root:
            raise Broken(f"the log does not grow out of the head of {size} entries that was published")
    return len(entries)


def skip_unless_traceable():
    """Ends with 0 and a message where strace is missing or may not trace."""
    try:
        traced = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except FileNotFoundError:
        print("skipped: strace is not installed (apt-get install strace)")
        sys.exit(0)
    if traced.returncode != 0:
        reason = traced.stderr.decode().strip().split("\n")[-1]
        print(f"skipped: strace cannot trace a process here ({reason})")
        sys.exit(0)
