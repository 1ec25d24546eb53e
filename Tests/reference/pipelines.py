#!/usr/bin/env python3
"""A pipeline at a running node, put in force and taken out with the command line: the same scores as by hand, a failing step by its name, and
a decision that explains itself after the pipeline is gone. And a file that is scored at a limited rate."""
import csv, json, pathlib, subprocess, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from node import Workspace


def main():
    workspace = Workspace()
    schema, model = workspace.manifest["schema"], workspace.manifest["name"]
    inputs = [dict(f) for f in schema["features"]]
    pressure = next(f for f in inputs if f["name"] == "trestbps")
    pressure |= {"name": "kpa", "range": [5, 40], "unit": "kPa"}
    for name in ("column", "missingCodes"):
        pressure.pop(name, None)
    document = {"consilium": "pipeline/1", "name": "in-kpa", "inputs": inputs, "steps": [
        {"name": "mmhg", "compute": {"divide": ["kpa", 0.133322]}},
        {"name": "risk", "model": model, "inputs": {"trestbps": "mmhg"}},
        {"name": "slack", "compute": {"divide": [1, {"subtract": ["risk", 2]}]}},
        {"name": "decision", "model": model, "inputs": {"trestbps": "mmhg"}}]}
    file = workspace.path / "pipeline.json5"
    file.write_text(json.dumps(document))

    def run(*arguments):
        done = subprocess.run([workspace.binary, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    try:
        with workspace.node("--plain", "--rate", "600/m") as node:
            made = json.loads(run("node", "pipeline", "set", file, "--dir", node.state, "--json"))
            assert made["name"] == "in-kpa" and "in-kpa" in run("node", "pipeline", "list", "--dir", node.state)
            rows = [row for row in workspace.rows if row["trestbps"] is not None][:50]
            asked = [{("kpa" if name == "trestbps" else name): value * 0.133322 if name == "trestbps" else value for name, value in row.items()} for row in rows]
            status, body = node.call("/v1/predict", json.dumps({"model": "in-kpa", "rows": asked + [asked[0] | {"kpa": 39}]}).encode())
            assert status == 200, body
            answer = json.loads(body)
            assert answer["pipeline"] == {"name": "in-kpa", "digest": made["digest"]}
            direct = json.loads(node.call("/v1/predict", json.dumps({"model": model, "rows": rows}).encode())[1])["predictions"]
            worst = max(abs(a["score"] - b["score"]) for a, b in zip(answer["predictions"], direct))
            assert worst < 1e-5, worst
            failed = answer["predictions"][-1]["violations"][0]
            assert failed["step"] == "risk" and failed["rule"] == "step-failed" and "trestbps" in failed["message"], failed
            metadata = json.loads(node.call("/v2/models/in-kpa")[1])
            assert "kpa" in [tensor["name"] for tensor in metadata["inputs"]]
            run("node", "pipeline", "remove", "in-kpa", "--dir", node.state)
            assert node.call("/v1/predict", json.dumps({"model": "in-kpa", "row": asked[0]}).encode())[0] == 404
            decision = json.loads(node.call("/v1/decisions/" + answer["predictions"][0]["id"], headers=node.operator)[1])
            assert decision["pipeline"]["reproduced"] is True and abs(decision["pipeline"]["inputs"]["kpa"] - asked[0]["kpa"]) < 1e-9, decision
        run("audit", "verify", node.state / "log")
        # 1,000 rows a request after one that asks for the versions, four a minute: the last one waits.
        source, scored, key = workspace.path / "rows.csv", workspace.path / "scored.csv", workspace.path / "slow.key"
        workspace.write_csv(source, (workspace.rows * 17)[:3400])
        with workspace.site_node() as site:
            run("node", "key", "create", "--dir", site, "--name", "slow", "--role", "predict", "--rate", "4/m", "--output", key)
            start = time.monotonic()
            told = json.loads(run("predict", "--dir", site, "--key-file", key, "--input", source, "--output", scored, "--json"))
            waited = time.monotonic() - start
        assert told["scored"] == 3400 and len(list(csv.DictReader(open(scored)))) == 3400, told
        assert waited > 5, f"{waited:.1f} s: the key's rate was not held"
        print(f"pipelines: {len(rows)} rows as by hand (largest difference {worst:.1e}), a failing step named, a decision explained after its end; a file waited {waited:.0f} s for its key's rate")
    finally:
        workspace.close()


if __name__ == "__main__":
    main()
