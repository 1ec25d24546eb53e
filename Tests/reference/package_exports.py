#!/usr/bin/env python3
"""What `consilium model export` writes, held against the tools of others: onnx and onnxruntime, model_signing, the CycloneDX
strict validator, safetensors, and a YAML reader for the model card's header."""
import csv, json, pathlib, shutil, subprocess, sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from node import Checks, Workspace

import numpy as np
import onnx
import onnxruntime
import safetensors.numpy
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

check = Checks()


def encode(features, rows):
    """Rows as the graph wants them, by the model's own metadata."""
    def cell(feature, value):
        if value is None:
            return np.nan
        return float(feature["codes"].index(value)) if feature["input"] == "index" else float(value)
    return np.array([[cell(f, row[f["name"]]) for f in features] for row in rows], dtype=np.float64)


def run_onnx(workspace, exported):
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    properties = {p.key: p.value for p in model.metadata_props}
    session = onnxruntime.InferenceSession(str(exported))
    rows = workspace.rows
    score, probability, positive = session.run(["score", "probability", "class"],
                                               {"features": encode(json.loads(properties["consilium.features"]), rows)})
    with workspace.node("--plain") as node:
        status, body = node.call("/v1/predict", json.dumps({"rows": rows}).encode())
    ours = json.loads(body)["predictions"]
    worst = max(abs(score[:, 0] - [p["score"] for p in ours]))
    worst_p = max(abs(probability[:, 0] - [p["probability"] for p in ours]))
    check("onnxruntime, probability", worst_p <= 1e-6, worst_p)
    check("onnxruntime, score", worst <= 1e-5, worst)
    check("onnxruntime, class", [bool(c) for c in positive[:, 0]] == [p["positive"] for p in ours])
    print(f"onnx: {len(rows)} rows, largest difference {worst_p:.1e} in probability, {worst:.1e} in log-odds; {exported.stat().st_size} bytes")


def run_site_intercept(workspace):
    """At a site whose versions have an intercept of their own the exported graph scores as the site does."""
    rows, source, scored, key = workspace.rows, *(workspace.path / name for name in ("site.csv", "site-scored.csv", "site.key"))
    workspace.write_csv(source, rows)

    def run(*arguments):
        return subprocess.run([workspace.binary, *map(str, arguments)], check=True, capture_output=True, text=True).stdout

    with workspace.site_node() as site:
        run("node", "key", "create", "--dir", site, "--name", "batch", "--role", "predict", "--output", key)
        answer = json.loads(run("predict", "--dir", site, "--key-file", key, "--input", source, "--output", scored, "--json"))
        import_linear(workspace, site, run, key, source)
    exported = workspace.path / "site.onnx"
    said = json.loads(run("model", "export", site / "packages" / answer["package"], "--dir", site, "--onnx", exported, "--json"))
    stored = json.loads((site / "intercepts" / (answer["package"] + ".json")).read_text())["intercept"]
    check("the site's intercept is told", said["siteIntercept"] == stored and stored != 0, said)
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    properties = {p.key: p.value for p in model.metadata_props}
    score, probability = onnxruntime.InferenceSession(str(exported)).run(
        ["score", "probability"], {"features": encode(json.loads(properties["consilium.features"]), rows)})
    ours = list(csv.DictReader(open(scored)))
    worst = max(abs(score[:, 0] - [float(r["score"]) for r in ours]))
    worst_p = max(abs(probability[:, 0] - [float(r["probability"]) for r in ours]))
    check("onnxruntime with the site's intercept", len(ours) == len(rows) and worst_p <= 1e-6 and worst <= 1e-5, (worst_p, worst))
    print(f"onnx with the site's intercept: largest difference {worst_p:.1e} in probability, {worst:.1e} in log-odds")


def import_linear(workspace, site, run, key, source):
    """A model from elsewhere becomes a candidate of a running site, goes live and scores a file."""
    tensors, document = workspace.path / "linear.safetensors", workspace.path / "linear.json5"
    safetensors.numpy.save_file({"output.weight": np.array([[0.5]]), "output.bias": np.array([-25.0])}, str(tensors))
    age = next(f for f in workspace.manifest["schema"]["features"] if f["name"] == "age")
    document.write_text(json.dumps({
        "consilium": "import/1", "name": "elsewhere", "version": 1, "schema": {"features": [age], "label": {"column": "y", "positive": {"greaterThan": 0}}},
        "inputs": [{"feature": "age", "mean": 50}], "origin": {"by": "a test"}}))
    made = json.loads(run("model", "import", tensors, "--document", document, "--dir", site, "--json"))
    listed = json.loads(run("node", "models", "--dir", site))["models"]
    mine = next(m for m in listed if m["name"] == "elsewhere")
    check("an imported model is a candidate", mine["live"] is None and mine["versions"][0]["status"] == "candidate", mine)
    run("node", "promote", made["package"], "--dir", site)
    scored = workspace.path / "elsewhere.csv"
    run("predict", "--dir", site, "--key-file", key, "--model", "elsewhere", "--input", source, "--output", scored)
    found = [float(r["score"]) for r in csv.DictReader(open(scored))]
    check("an imported model scores", np.allclose(found, [0.5 * r["age"] - 25 for r in workspace.rows], atol=1e-5))
    check("an imported package verifies with the node's directory", "OK elsewhere" in run("model", "verify", site / "packages" / made["package"], "--dir", site))


def run_signing(workspace):
    key = workspace.path / "model.key"
    signature = workspace.path / "model.sig"
    export(workspace, "--signature", signature, "--signing-key", key)

    def verify(directory):
        return subprocess.run([sys.executable, "-m", "model_signing", "verify", "key", str(directory), "--signature", str(signature),
                               "--public_key", str(key) + ".pub"], capture_output=True, text=True)

    run = verify(workspace.package)
    check("model_signing verify key", run.returncode == 0, run.stdout + run.stderr)
    for name, change in [
        ("a flipped byte", lambda d: flip(d / "model.safetensors")), ("an extra file", lambda d: (d / "extra").write_text("x")),
        ("a missing file", lambda d: (d / "manifest.sig").unlink()),
    ]:
        other = workspace.path / "other" / "package"
        shutil.rmtree(other.parent, ignore_errors=True)
        shutil.copytree(workspace.package, other)
        change(other)
        check(f"model_signing refuses {name}", verify(other).returncode != 0)
        ours = subprocess.run([workspace.binary, "model", "verify", str(other), "--key", workspace.key], capture_output=True)
        check(f"model verify refuses {name}", ours.returncode == 65)


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def export(workspace, *options):
    subprocess.run([workspace.binary, "model", "export", str(workspace.package), "--key", workspace.key, *map(str, options)],
                   check=True, stdout=subprocess.DEVNULL)


def main():
    workspace = Workspace()
    try:
        onnx_file, bom, card = (workspace.path / name for name in ("model.onnx", "bom.json", "README.md"))
        export(workspace, "--onnx", onnx_file, "--bom", bom, "--card", card)
        run_onnx(workspace, onnx_file)
        run_site_intercept(workspace)
        run_signing(workspace)
        problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom.read_text())
        check("CycloneDX 1.6 strict", problem is None, problem)
        header = yaml.safe_load(card.read_text().split("---\n")[1])
        results = header["model-index"][0]["results"][0]
        check("model card", header["library_name"] == "consilium" and results["metrics"] and results["task"]["type"] == "tabular-classification")
        tensors = safetensors.numpy.load_file(workspace.package / "model.safetensors")
        check("safetensors", all(t.dtype == np.float32 and np.isfinite(t).all() for t in tensors.values()) and len(tensors) > 1)
    finally:
        workspace.close()
    print(f"package exports: {check.total - check.failures} of {check.total} checks passed")
    sys.exit(1 if check.failures else 0)


if __name__ == "__main__":
    main()
