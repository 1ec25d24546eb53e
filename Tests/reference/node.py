"""Starts real nodes for the checks in this directory: a scenario makes the packages, `node serve --package` serves one."""
import contextlib, csv, json, os, pathlib, shutil, signal, subprocess, tempfile, time, urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]


def binary():
    path = pathlib.Path(os.environ.get("CONSILIUM_BINARY", ROOT / ".build/debug/consilium"))
    if not path.exists():
        raise SystemExit(f"{path} is not there: swift build --product consilium, or set CONSILIUM_BINARY")
    return str(path)


class Checks:
    """Counts checks and names those that fail: `check(name, holds, note)`."""

    def __init__(self):
        self.total = self.failures = 0

    def __call__(self, name, holds, note=""):
        self.total += 1
        self.failures += not holds
        if not holds:
            print(f"FAILED {name} {note}")


class Workspace:
    """A temporary directory with one trained package and the key that signed it."""

    def __init__(self):
        self.binary = binary()
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="consilium-reference-"))
        kept = os.environ.get("CONSILIUM_SCENARIO_OUT")
        out = pathlib.Path(kept) if kept else self.path / "run"
        if not out.exists():
            subprocess.run([binary(), "scenario", "run", str(ROOT / "scenarios/four-hospitals.json5"), "--out", str(out)],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=900)
        self.site = site = out / "cleveland"
        packages = sorted((site / "packages").iterdir(), key=lambda p: json.loads((p / "manifest.json").read_text())["version"])
        # A copy: the checks damage it.
        self.package = self.path / "package"
        shutil.copytree(packages[-1], self.package)
        self.key = json.loads((site / "keys/membership.json").read_text())["coordinatorKey"]
        self.manifest = json.loads((self.package / "manifest.json").read_text())
        self.rows = self.make_rows(200)

    def make_rows(self, count):
        """Rows that fit the schema, the same ones in every run."""
        import random
        chance = random.Random(1)
        rows = []
        for _ in range(count):
            row = {}
            for feature in self.manifest["schema"]["features"]:
                if feature.get("missing", "refuse") != "refuse" and chance.random() < 0.1:
                    row[feature["name"]] = None
                elif feature["kind"] == "numeric":
                    low, high = feature["range"]
                    value = chance.uniform(low, high)
                    row[feature["name"]] = round(value) if feature.get("integer") else round(value, 2)
                elif feature["kind"] == "binary":
                    row[feature["name"]] = chance.choice(feature["codes"])
                else:
                    row[feature["name"]] = chance.choice(feature["categories"])
            rows.append(row)
        return rows

    @contextlib.contextmanager
    def node(self, *extra, state=None):
        state = state or self.path / f"state-{time.monotonic_ns()}"
        log = open(self.path / "node.log", "ab")
        process = subprocess.Popen(
            [binary(), "node", "serve", "--package", str(self.package), "--key", self.key, "--listen", "127.0.0.1:0",
             "--state", str(state), *extra], stdout=log, stderr=log)
        try:
            wait(process, state, self.path / "node.log")
            yield Node(state, process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            log.close()

    @contextlib.contextmanager
    def site_node(self):
        """A copy of the site's own directory, served with `node serve --dir`; its coordinator is away."""
        directory = self.path / "site"
        shutil.copytree(self.site, directory)
        with open(self.path / "site.log", "ab") as log:
            process = subprocess.Popen([binary(), "node", "serve", "--dir", str(directory)], stdout=log, stderr=log)
            try:
                wait(process, directory, self.path / "site.log")
                yield directory
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(20)

    def write_csv(self, path, rows):
        """The rows as `consilium predict` takes them."""
        features = self.manifest["schema"]["features"]
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([f.get("column", f["name"]) for f in features])
            for row in rows:
                writer.writerow(["" if row[f["name"]] is None else row[f["name"]] for f in features])

    def close(self):
        shutil.rmtree(self.path, ignore_errors=True)


def wait(process, state, log):
    end = time.monotonic() + 60
    while not (state / "endpoint.json").exists():
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit("the node did not start: " + log.read_text()[-2000:])
        time.sleep(0.02)


class Node:
    def __init__(self, state, process):
        self.state, self.process = state, process
        self.url = json.loads((state / "endpoint.json").read_text())["url"]
        self.address = self.url.split("//")[1]

    # A new dictionary each time: tritonclient writes its own fields into the one it is given.
    @property
    def predict(self):
        return {"Authorization": "Bearer " + (self.state / "keys/predict.key").read_text().strip()}

    @property
    def operator(self):
        return {"Authorization": "Bearer " + (self.state / "keys/operator.key").read_text().strip()}

    def call(self, path, body=None, headers=None, method=None):
        request = urllib.request.Request(self.url + path, data=body, headers=headers or self.predict, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
