#!/usr/bin/env python3
"""Models that numpy trained, written with safetensors and onnx, imported with `consilium model import`, served, and held against
numpy, onnxruntime and shap. The background of shap is the whole training set: its default would subsample."""
import hashlib, json, pathlib, subprocess, sys, time, warnings

warnings.filterwarnings("ignore")
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from node import Checks, Workspace

import numpy as np
import onnx
import onnxruntime
import safetensors.numpy
import shap
from onnx import TensorProto, helper, numpy_helper

check = Checks()
# In the model's own order, which is not the schema's.
INPUTS = [("income", 52_000.0, 21_000.0), ("job=none", 0, 1), ("age", 47.0, 13.0), ("job=salaried", 0, 1), ("owner", 0, 1), ("debt", 0.4, 0.2)]
SCHEMA = {
    "features": [
        {"name": "age", "kind": "numeric", "range": [18, 100]},
        {"name": "income", "kind": "numeric", "range": [0, 10_000_000]},
        {"name": "debt", "kind": "numeric", "range": [0, 5]},
        {"name": "owner", "kind": "binary"},
        {"name": "job", "kind": "categorical", "categories": ["none", "salaried", "own"]},
    ],
    "label": {"column": "default", "positive": {"greaterThan": 0}},
}


def make_rows(count, seed):
    chance = np.random.default_rng(seed)
    return [{"age": round(float(chance.uniform(18, 90)), 1), "income": round(float(chance.lognormal(10.7, 0.5)), 2),
             "debt": round(float(chance.beta(2, 3)), 3), "owner": int(chance.integers(2)), "job": str(chance.choice(["none", "salaried", "own"]))}
            for _ in range(count)]


def encode(rows):
    """The model's inputs."""
    def cell(row, name):
        feature, _, code = name.partition("=")
        return float(row[feature] == code) if code else float(row[feature])
    return np.array([[(cell(row, name) - centre) / scale for name, centre, scale in INPUTS] for row in rows])


def document(name, background, **more):
    inputs = []
    for (text, centre, scale), mean in zip(INPUTS, background):
        feature, _, code = text.partition("=")
        entry = {"feature": feature, "mean": float(mean)}
        inputs.append(entry | ({"category": code} if code else {"centre": centre, "scale": scale}))
    return {"consilium": "import/1", "name": name, "version": 1, "schema": SCHEMA, "inputs": inputs, "classes": ["repaid", "default"],
            "threshold": 0.4, "origin": {"by": "Tests/reference", "description": "made with numpy"}, "metrics": {"auc": 0.75}} | more


class Network:
    """A multilayer perceptron; without hidden layers a logistic regression."""

    def __init__(self, widths, seed):
        chance = np.random.default_rng(seed)
        self.layers = [(chance.normal(size=(o, i)) / np.sqrt(i), chance.normal(size=o) / 4) for i, o in zip(widths, widths[1:])]

    def run(self, x):
        for index, (weight, bias) in enumerate(self.layers):
            x = x @ weight.T + bias
            if index < len(self.layers) - 1:
                x = np.maximum(x, 0)
        return x[:, 0] if x.shape[1] == 1 else x[:, 1] - x[:, 0]

    def train(self, x, y):
        """Newton's method for the linear model; what weights a network has does not matter here."""
        if len(self.layers) > 1:
            return self
        full = np.hstack([x, np.ones((len(x), 1))])
        w = np.zeros(full.shape[1])
        for _ in range(20):
            p = 1 / (1 + np.exp(-full @ w))
            w += np.linalg.solve(full.T @ (full * (p * (1 - p))[:, None]) + 1e-3 * np.eye(len(w)), full.T @ (y - p) - 1e-3 * w)
        self.layers = [(w[None, :-1], w[-1:])]
        return self

    def onnx(self, path, dtype=np.float32, form="Gemm"):
        kind = TensorProto.FLOAT if dtype == np.float32 else TensorProto.DOUBLE
        nodes, constants, value = [], [], "x"
        for index, (weight, bias) in enumerate(self.layers):
            last = index == len(self.layers) - 1
            constants += [numpy_helper.from_array((weight if form == "Gemm" else weight.T).astype(dtype), f"w{index}"), numpy_helper.from_array(bias.astype(dtype), f"b{index}")]
            if form == "Gemm":
                nodes.append(helper.make_node("Gemm", [value, f"w{index}", f"b{index}"], [f"s{index}"], transB=1))
            else:
                nodes += [helper.make_node("MatMul", [value, f"w{index}"], [f"m{index}"]), helper.make_node("Add", [f"m{index}", f"b{index}"], [f"s{index}"])]
            value = f"s{index}"
            if not last:
                nodes.append(helper.make_node("Relu", [value], [f"r{index}"]))
                value = f"r{index}"
        nodes.append(helper.make_node("Sigmoid" if len(self.layers[-1][1]) == 1 else "Softmax", [value], ["p"]))
        graph = helper.make_graph(nodes, "elsewhere", [helper.make_tensor_value_info("x", kind, [None, len(INPUTS)])],
                                  [helper.make_tensor_value_info("p", kind, [None, len(self.layers[-1][1])])], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(path))

    def safetensors(self, path, names, dtype=np.float64):
        tensors = {}
        for (weight, bias), name in zip(self.layers, names):
            tensors |= {name["weight"]: weight.astype(dtype), name["bias"]: bias.astype(dtype)}
        safetensors.numpy.save_file(tensors, str(path))


class Importer:
    def __init__(self, workspace):
        self.workspace, self.count = workspace, 0
        self.key = workspace.path / "import.key.pem"

    def run(self, model, description):
        self.count += 1
        output, text = self.workspace.path / f"imported-{self.count}", self.workspace.path / "import.json5"
        text.write_text(json.dumps(description))
        done = subprocess.run([self.workspace.binary, "model", "import", str(model), "--document", str(text), "--output", str(output), "--signing-key",
                               str(self.key), "--json"], capture_output=True, text=True)
        return done, output

    def serve(self, model, description):
        """Points the workspace's node at the imported package."""
        done, output = self.run(model, description)
        assert done.returncode == 0, done.stdout + done.stderr
        self.workspace.package, self.workspace.key = output, json.loads(done.stdout)["key"]
        return output


def ask(workspace, rows, **more):
    with workspace.node("--plain") as node:
        status, body = node.call("/v1/predict", json.dumps({"rows": rows} | more).encode())
    assert status == 200, body
    return json.loads(body)["predictions"]


def by_feature(values):
    """Contributions of the model's inputs, added up per feature in the schema's order."""
    return np.stack([sum(values[:, i] for i, (name, _, _) in enumerate(INPUTS) if name.partition("=")[0] == f["name"]) for f in SCHEMA["features"]], axis=1)


def contributions(answers):
    return np.array([[a["explanation"]["contributions"][f["name"]] for f in SCHEMA["features"]] for a in answers])


def path_integral(network, background, row, steps=4096):
    """Integrated gradients of a row by brute force: the gradient of a ReLU network at many points of the straight line."""
    total = np.zeros(len(row))
    for share in (np.arange(steps) + 0.5) / steps:
        x, gates = background + share * (row - background), []
        for weight, bias in network.layers[:-1]:
            x = weight @ x + bias
            gates.append(x > 0)
            x = np.maximum(x, 0)
        last = network.layers[-1][0]
        gradient = last[0] if len(last) == 1 else last[1] - last[0]
        for (weight, _), gate in zip(reversed(network.layers[:-1]), reversed(gates)):
            gradient = (gradient * gate) @ weight
        total += gradient
    return total / steps * (row - background)


def governed(workspace, importer, description, train, y):
    held_out, rules, text = (workspace.path / name for name in ("held-out.csv", "rules.json5", "import.json5"))
    names = [f["name"] for f in SCHEMA["features"]]
    lines = [",".join(str(row[n]) for n in names) + f",{int(label)}" for row, label in zip(train, y)]
    held_out.write_text("\n".join([",".join(names) + ",default", *lines]) + "\n")
    pinned = hashlib.sha256(held_out.read_bytes()).hexdigest()
    rules.write_text("{ consilium: 'site-rules/1', siteGates: [{ metric: 'auc', atLeast: 0.6 }], rollout: { approvals: 2 }, heldOut: '%s' }" % pinned)
    text.write_text(json.dumps(description))
    with workspace.node() as node:
        def command(*words):
            done = subprocess.run([workspace.binary, *words, "--dir", str(node.state), "--json"], capture_output=True, text=True)
            return done.returncode, json.loads(done.stdout)

        keys = {}
        for person in ("ada", "ben", "eve"):
            keys[person] = str(node.state / f"{person}.key")
            command("node", "key", "create", "--name", person, "--role", "operator" if person == "ada" else "overseer", "--output", keys[person])
        check("rules in force", command("node", "rules", "set", str(rules))[1]["digest"] is not None)
        code, version = command("model", "import", str(workspace.path / "linear.safetensors"), "--document", str(text))
        digest = version["package"]
        check("promote waits for an evaluation", command("node", "promote", digest)[0] != 0)
        code, measured = command("node", "evaluate", digest, "--rows", str(held_out))
        check("evaluated on the site's file", code == 0 and measured["status"] == "evaluated" and measured["held_out"] == pinned, measured)
        check("promote waits for two people", command("node", "promote", digest)[0] != 0)
        for person in ("ben", "eve"):
            code, shown = command("node", "approve", digest, "--evidence", measured["evidence"], "--key-file", keys[person])
            check(f"{person} approves", code == 0, shown)
        check("promote", command("node", "promote", digest)[0] == 0)
        loose = workspace.path / "loose.json5"
        loose.write_text("{ consilium: 'site-rules/1', none: true }")
        code, proposed = command("node", "rules", "set", str(loose), "--key-file", keys["ada"])
        check("nobody loosens the rules alone", code == 0 and proposed["digest"] is not None and proposed["proposed"]["confirmations"] == [])
        check("whoever proposed does not agree", command("node", "rules", "confirm", proposed["proposed"]["digest"], "--key-file", keys["ada"])[0] != 0)
        for person in ("ben", "eve"):
            code, proposed_now = command("node", "rules", "confirm", proposed["proposed"]["digest"], "--key-file", keys[person])
        check("two others do", code == 0 and proposed_now["digest"] is None)
        time.sleep(1)  # The log's files, which the command reads, follow its entries.
        code, history = command("model", "history", "--model", "governed")
        approvals = history["models"][0]["periods"][-1]["approvals"]
        check("history says who approved", [a["person"] for a in approvals] == ["ben", "eve"], history)
        check("rules in force again", command("node", "rules", "set", str(rules))[1]["digest"] is not None)
        state = node.state
    # Started with another package, the node goes on with what is live: the new one waits for an evaluation.
    importer.serve(workspace.path / "linear.safetensors", description | {"version": 3})
    with workspace.node("--plain", state=state) as node:
        shown = json.loads(node.call("/v1/models")[1])["models"][0]["versions"]
        check("a package from the command line waits", {v["version"]: v["status"] for v in shown} == {1: "superseded", 2: "live", 3: "candidate"}, shown)


def main():
    workspace = Workspace()
    importer = Importer(workspace)
    train, rows = make_rows(1500, 1), make_rows(200, 2)
    x_train, x = encode(train), encode(rows)
    truth = np.random.default_rng(3)
    y = (truth.uniform(size=len(train)) < 1 / (1 + np.exp(-(1.5 * x_train[:, 5] - 0.8 * x_train[:, 0] + 0.7 * x_train[:, 1])))).astype(float)
    background = x_train.mean(axis=0)
    torch_names = [{"weight": f"net.{2 * i}.weight", "bias": f"net.{2 * i}.bias"} for i in range(3)]
    try:
        # The linear family, against shap over all 1,500 rows of the background.
        linear = Network([len(INPUTS), 1], 0).train(x_train, y)
        weight, bias = linear.layers[0]
        explainer = shap.LinearExplainer((weight[0], bias[0]), shap.maskers.Independent(x_train, max_samples=len(x_train)))
        expected = explainer(x)
        linear.safetensors(workspace.path / "linear.safetensors", torch_names)
        importer.serve(workspace.path / "linear.safetensors", document("linear", background, layers=torch_names[:1]))
        answers = ask(workspace, rows, explain=True)
        worst = np.abs(contributions(answers) - by_feature(expected.values)).max()
        base = np.abs(np.array([a["explanation"]["base"] for a in answers]) - expected.base_values).max()
        score = np.abs(np.array([a["score"] for a in answers]) - linear.run(x)).max()
        check("shap, contributions of the linear family", worst <= 1e-6 * max(1, np.abs(expected.values).max()), worst)
        check("shap, base value", base <= 1e-6, base)
        check("numpy, score of the linear family", score <= 2e-6, score)
        sums = max(abs(a["explanation"]["base"] + sum(a["explanation"]["contributions"].values()) + a["explanation"]["residual"] - a["score"]) for a in answers)
        check("contributions, base and residual make the score", sums <= 1e-12, sums)
        check("the residual of the linear family", max(abs(a["explanation"]["residual"]) for a in answers) <= 2e-6)
        print(f"shap: {len(rows)} rows, background of {len(x_train)}: largest difference {worst:.1e} in contributions up to {np.abs(expected.values).max():.1f}, {base:.1e} in the base value")

        # Networks, by each file form; integrated gradients against brute force, completeness as reported.
        for name, widths, file, form in [
            ("mlp", [len(INPUTS), 16, 8, 1], "mlp.onnx", "Gemm"), ("two", [len(INPUTS), 12, 2], "two.onnx", "MatMul"),
            ("torch", [len(INPUTS), 16, 8, 1], "torch.safetensors", None), ("double", [len(INPUTS), 1], "double.onnx", "MatMul"),
        ]:
            network = Network(widths, len(name)).train(x_train, y)
            path = workspace.path / file
            if form:
                network.onnx(path, np.float64 if name == "double" else np.float32, form)
            else:
                network.safetensors(path, torch_names, np.float32)
            package = importer.serve(path, document(name, background, **({} if form else {"layers": torch_names[:len(widths) - 1]})))
            answers = ask(workspace, rows, explain=True)
            worst = np.abs(np.array([a["score"] for a in answers]) - network.run(x)).max()
            check(f"numpy, score of {name}", worst <= 5e-6, worst)
            if form:
                given = onnxruntime.InferenceSession(str(path)).run(None, {"x": x.astype(np.float64 if name == "double" else np.float32)})[0][:, -1]
                check(f"onnxruntime, probability of {name}", np.abs(given - [a["probability"] for a in answers]).max() <= 1e-6)
            residual = max(abs(a["explanation"]["residual"]) for a in answers)
            check(f"completeness of {name}", residual <= 1e-5, residual)
            if name != "double":
                some = [path_integral(network, background, row) for row in x[:10]]
                integral = np.abs(contributions(answers[:10]) - by_feature(np.array(some))).max()
                check(f"integrated gradients of {name}", integral <= 5e-3, integral)
                print(f"integrated gradients, {name}: largest residual {residual:.1e}, largest difference from 4,096 points {integral:.1e}")
            # Back out as ONNX and in again: the same numbers.
            back = workspace.path / "back.onnx"
            subprocess.run([workspace.binary, "model", "export", str(package), "--key", workspace.key, "--onnx", str(back)], check=True, capture_output=True)
            manifest = json.loads((package / "manifest.json").read_text())
            inputs = []
            for column, mean in zip(manifest["preprocessor"]["columns"], manifest["background"]):
                entry = {"feature": column["feature"], "centre": column["centre"], "scale": column["scale"], "mean": mean}
                if column["source"] == "category":
                    entry["category"] = next(f for f in SCHEMA["features"] if f["name"] == column["feature"])["categories"][column["category"]]
                inputs.append(entry)
            importer.serve(back, document(name, background, inputs=inputs))
            again = ask(workspace, rows)
            difference = max(abs(a["score"] - b["score"]) for a, b in zip(again, answers))
            check(f"round trip of {name}", difference <= 2e-6, difference)
            for field in ("origin", "run", "roster"):
                check(f"{field} of {name}", field in manifest["provenance"] and manifest["provenance"]["origin"]["by"] == "Tests/reference")

        # The site's rules hold for what it imports: measured on its rows, approved by two people.
        importer.serve(workspace.path / "linear.safetensors", document("governed", background, layers=torch_names[:1]))
        governed(workspace, importer, document("governed", background, layers=torch_names[:1], version=2), train, y)

        # What is refused, by name.
        unsupported = helper.make_model(helper.make_graph(
            [helper.make_node("Tanh", ["x"], ["t"]), helper.make_node("Gemm", ["t", "w"], ["s"]), helper.make_node("Sigmoid", ["s"], ["p"])], "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(INPUTS)])], [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 1])],
            [numpy_helper.from_array(np.ones((len(INPUTS), 1), np.float32), "w")]))
        onnx.save(unsupported, str(workspace.path / "tanh.onnx"))
        wide = Network([len(INPUTS) + 1, 1], 1)
        wide.safetensors(workspace.path / "wide.safetensors", [{"weight": "output.weight", "bias": "output.bias"}])
        (workspace.path / "noise.onnx").write_bytes(bytes(range(256)) * 8)
        for file, words in [("tanh.onnx", "Tanh"), ("wide.safetensors", "7 inputs and the description has 6"), ("noise.onnx", "damaged"), ("torch.safetensors", "name the layers")]:
            done, output = importer.run(workspace.path / file, document("bad", background))
            check(f"refuses {file}", done.returncode == 65 and words in done.stderr + done.stdout and not output.exists(), done.stdout + done.stderr)
    finally:
        workspace.close()
    print(f"model import and explanations: {check.total - check.failures} of {check.total} checks passed")
    sys.exit(1 if check.failures else 0)


if __name__ == "__main__":
    main()
