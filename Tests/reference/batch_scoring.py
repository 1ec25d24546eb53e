#!/usr/bin/env python3
"""`consilium predict` on a file: the same scores as a live request, refused rows in their own file, one log entry a row."""
import csv, json, os, pathlib, resource, subprocess, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from node import Workspace


def main():
    workspace = Workspace()
    count = int(os.environ.get("CONSILIUM_ROWS", "5000"))
    try:
        features = workspace.manifest["schema"]["features"]
        rows = workspace.make_rows(count)
        source, target = workspace.path / "rows.csv", workspace.path / "scored.csv"
        with open(source, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([f["column"] for f in features])
            for number, row in enumerate(rows, 1):
                values = ["" if row[f["name"]] is None else row[f["name"]] for f in features]
                # Every hundredth row has a text for a number, every 101st a field too few.
                if number % 100 == 0:
                    values[0] = "Mustermann"
                writer.writerow(values[:-1] if number % 101 == 0 else values)
        state = workspace.path / "batch"
        start = time.monotonic()
        run = subprocess.run([workspace.binary, "predict", "--input", source, "--output", target, "--package", workspace.package,
                              "--key", workspace.key, "--state", state, "--json"], capture_output=True, text=True)
        seconds = time.monotonic() - start
        assert run.returncode == 0, run.stdout + run.stderr
        answer = json.loads(run.stdout)
        scored = list(csv.DictReader(open(target)))
        refused = list(csv.DictReader(open(answer["quarantine"])))
        bad = {n for n in range(1, count + 1) if n % 100 == 0 or n % 101 == 0}
        assert {int(r["row"]) for r in refused} == bad, refused[:3]
        assert {int(r["row"]) for r in scored} == set(range(1, count + 1)) - bad, "the output has other rows"
        assert "Mustermann" not in open(answer["quarantine"]).read() + run.stderr, "a value was repeated"
        assert len({r["prediction_id"] for r in scored}) == len(scored)
        with workspace.node("--plain") as node:
            sample = [int(r["row"]) for r in scored][:200]
            status, body = node.call("/v1/predict", json.dumps({"rows": [rows[n - 1] for n in sample]}).encode())
        for record, live in zip(scored, json.loads(body)["predictions"]):
            assert float(record["probability"]) == live["probability"] and record["class"] == live["class"]
        shown = subprocess.run([workspace.binary, "audit", "verify", str(state / "log"), "--json"], capture_output=True, text=True)
        assert shown.returncode == 0, shown.stdout + shown.stderr
        again = subprocess.run([workspace.binary, "predict", "--input", source, "--output", target, "--package", workspace.package,
                                "--key", workspace.key, "--state", state], capture_output=True)
        assert again.returncode == 73, "an existing output was written over"
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"batch scoring: {len(scored)} rows scored and {len(bad)} refused in {seconds:.1f} s, as live; peak {peak:.0f} MB")
    finally:
        workspace.close()


if __name__ == "__main__":
    main()
