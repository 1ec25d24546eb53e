#!/usr/bin/env python3
"""`consilium predict` on a file: the same scores as a live request, refused rows in their own file, all in the log; and a run that
is killed goes on: every row once, with a package and through a running node."""
import csv, json, os, pathlib, random, subprocess, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from node import Workspace


def main():
    workspace = Workspace()
    count = int(os.environ.get("CONSILIUM_ROWS", "20000"))
    try:
        features = workspace.manifest["schema"]["features"]
        rows = workspace.make_rows(min(count, 5000))
        source, target = workspace.path / "rows.csv", workspace.path / "scored.csv"
        with open(source, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([f["column"] for f in features])
            for number in range(1, count + 1):
                row = rows[(number - 1) % len(rows)]
                values = ["" if row[f["name"]] is None else row[f["name"]] for f in features]
                # Every hundredth row has a text for a number, every 101st a field too few.
                if number % 100 == 0:
                    values[0] = "Mustermann"
                writer.writerow(values[:-1] if number % 101 == 0 else values)
        state = workspace.path / "batch"
        start = time.monotonic()
        with open(workspace.path / "out", "w+") as out, open(workspace.path / "err", "w+") as err:
            run = subprocess.Popen([workspace.binary, "predict", "--input", source, "--output", target, "--package", workspace.package,
                                    "--key", workspace.key, "--state", state, "--json"], stdout=out, stderr=err)
            _, status, usage = os.wait4(run.pid, 0)
            seconds = time.monotonic() - start
            out.seek(0), err.seek(0)
            answer, told = json.loads(out.read()), err.read()
        assert status == 0, told
        scored = list(csv.DictReader(open(target)))
        refused = list(csv.DictReader(open(answer["quarantine"])))
        bad = {n for n in range(1, count + 1) if n % 100 == 0 or n % 101 == 0}
        assert {int(r["row"]) for r in refused} == bad, refused[:3]
        assert {int(r["row"]) for r in scored} == set(range(1, count + 1)) - bad, "the output has other rows"
        assert "Mustermann" not in open(answer["quarantine"]).read() + told, "a value was repeated"
        assert len({r["prediction_id"] for r in scored}) == len(scored)
        with workspace.node("--plain") as node:
            sample = [int(r["row"]) for r in scored][:200]
            status, body = node.call("/v1/predict", json.dumps({"rows": [rows[(n - 1) % len(rows)] for n in sample]}).encode())
        for record, live in zip(scored, json.loads(body)["predictions"]):
            assert float(record["probability"]) == live["probability"] and record["class"] == live["class"]
        shown = subprocess.run([workspace.binary, "audit", "verify", str(state / "log"), "--json"], capture_output=True, text=True)
        assert shown.returncode == 0, shown.stdout + shown.stderr
        again = subprocess.run([workspace.binary, "predict", "--input", source, "--output", target, "--package", workspace.package,
                                "--key", workspace.key, "--state", state], capture_output=True)
        assert again.returncode == 73, "an existing output was written over"
        print(f"batch scoring: {len(scored)} rows scored and {len(bad)} refused in {seconds:.1f} s ({count / seconds:.0f} a second), as live; "
              f"peak {usage.ru_maxrss / 1024:.0f} MB, CPU {usage.ru_utime + usage.ru_stime:.1f} s")
        killed(workspace, source, bad, count)
    finally:
        workspace.close()


def killed(workspace, source, bad, count):
    """kill -9 at random moments until a run comes to its end."""
    chance = random.Random(int(os.environ.get("CONSILIUM_SEED", "20261130")))
    state = workspace.path / "killed"
    package = ["--package", workspace.package, "--key", workspace.key, "--state", state]
    kills, went_on = until_done(workspace, source, workspace.path / "killed.csv", package, bad, count, chance)
    shown = subprocess.run([workspace.binary, "audit", "verify", str(state / "log"), "--json"], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    with workspace.node() as node:
        running = ["--dir", node.state, "--key-file", node.state / "keys/predict.key"]
        more = until_done(workspace, source, workspace.path / "killed-live.csv", running, bad, count, chance)
    print(f"batch scoring: {kills} and {more[0]} kills, {went_on} and {more[1]} runs went on where they were; every row once")


def until_done(workspace, source, target, arguments, bad, count, chance):
    kills = went_on = 0
    while True:
        process = subprocess.Popen([workspace.binary, "predict", "--input", source, "--output", target, *arguments, "--json"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, err = process.communicate(timeout=chance.uniform(0.02, 0.15) if kills < 25 else 300)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            steps = pathlib.Path(str(target) + ".resume/steps")
            went_on += steps.exists() and steps.read_bytes().count(b"\n") > 1
    # Killed between its last step and its last word: the output is there and complete.
    assert process.returncode == 0 or (process.returncode == 73 and kills and target.exists()), out + err
    scored = [int(r["row"]) for r in csv.DictReader(open(target))]
    refused = {int(r["row"]) for r in csv.DictReader(open(str(target) + ".quarantine.csv"))}
    assert refused == bad and scored == [n for n in range(1, count + 1) if n not in bad], "a row is missing or there twice"
    ids = [r["prediction_id"] for r in csv.DictReader(open(target))]
    assert len(set(ids)) == len(ids)
    assert not list(target.parent.glob(target.name + ".*part")) and not pathlib.Path(str(target) + ".resume").exists()
    return kills, went_on


if __name__ == "__main__":
    main()
