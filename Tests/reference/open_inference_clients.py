#!/usr/bin/env python3
"""Unmodified tritonclient (sync and aio) and curl against a real `consilium node serve --package`, and the 19 wrong
requests that other servers answer with 200 or 500. Prints one line per check; exit code 1 when one fails."""
import asyncio, json, pathlib, subprocess, sys, warnings

warnings.filterwarnings("ignore")
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from node import Checks, Workspace

import numpy as np
import tritonclient.http as sync
import tritonclient.http.aio as aio
from tritonclient.utils import InferenceServerException

check = Checks()


def inputs(module, features, rows, binary):
    """One tensor per feature, texts as BYTES; None as NaN where the form has it."""
    tensors = []
    for feature in features:
        values = [row[feature["name"]] for row in rows]
        if feature["kind"] == "numeric":
            data = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
            datatype = "FP64"
        else:
            # "?" is missing in every column.
            data = np.array(["?" if v is None else v for v in values], dtype=np.object_)
            datatype = "BYTES"
        tensor = module.InferInput(feature["name"], [len(rows)], datatype)
        tensor.set_data_from_numpy(data, binary_data=binary)
        tensors.append(tensor)
    return tensors


def complete(rows):
    """Rows without missing values: JSON tensors cannot say NaN."""
    return [row for row in rows if None not in row.values()]


def expected(node, rows):
    status, body = node.call("/v1/predict", json.dumps({"rows": rows}).encode())
    check("v1/predict", status == 200, body)
    return [row["probability"] for row in json.loads(body)["predictions"]]


def same(result, wanted, name="probability"):
    found = result.as_numpy(name)
    return found is not None and found.shape[0] == len(wanted) and np.allclose(found, wanted, rtol=0, atol=1e-15)


def run_sync(node, model, version, features, rows):
    client = sync.InferenceServerClient(node.address, concurrency=2)
    check("live", client.is_server_live() and client.is_server_ready())
    check("model ready", client.is_model_ready(model, headers=node.predict) and client.is_model_ready(model, version, headers=node.predict))
    check("model not ready", not client.is_model_ready("nope", headers=node.predict))
    check("server metadata", "binary_tensor_data" in client.get_server_metadata(headers=node.predict)["extensions"])
    metadata = client.get_model_metadata(model, version, headers=node.predict)
    check("model metadata", [i["name"] for i in metadata["inputs"]] == [f["name"] for f in features])
    check("config", client.get_model_config(model, headers=node.predict)["max_batch_size"] == 1000)
    index = client.get_model_repository_index(headers=node.predict)
    check("index", index == [{"name": model, "version": version, "state": "READY", "reason": ""}], index)
    wanted = expected(node, rows)
    check("infer, default", same(client.infer(model, inputs(sync, features, rows, True), headers=node.predict), wanted))
    check("infer, version", same(client.infer(model, inputs(sync, features, rows, True), model_version=version, headers=node.predict), wanted))
    full, some = complete(rows), expected(node, complete(rows))
    outputs = [sync.InferRequestedOutput("probability", binary_data=False), sync.InferRequestedOutput("class", binary_data=True)]
    result = client.infer(model, inputs(sync, features, full, False), outputs=outputs, request_id="r 1", headers=node.predict,
                          priority=1, timeout=30_000_000, parameters={"ward": "7", "urgent": True, "n": 2})
    check("infer, JSON", same(result, some) and result.get_response()["id"] == "r 1")
    check("infer, extra keys", result.get_response()["parameters"]["digest"] is not None and result.as_numpy("class").shape == (len(full),))
    check("infer, unnamed output absent", result.as_numpy("score") is None)
    names = [sync.InferRequestedOutput(n) for n in ("score", "contributions", "base", "residual", "abstain", "prediction_id")]
    result = client.infer(model, inputs(sync, features, rows, True), outputs=names, headers=node.predict)
    total = result.as_numpy("contributions").sum(axis=1) + result.as_numpy("base") + result.as_numpy("residual")
    check("contributions add up", np.allclose(total, result.as_numpy("score"), atol=1e-6))
    check("ids", len(set(result.as_numpy("prediction_id"))) == len(rows) and result.as_numpy("abstain").dtype == np.bool_)
    result = client.infer(model, inputs(sync, features, rows[:3], True), headers=node.predict,
                          outputs=[sync.InferRequestedOutput("probability", class_count=2)])
    values = result.as_numpy("probability")
    check("classification", values.shape == (3, 2) and values[0][0].decode().count(":") == 2, values)
    all_features = sync.InferInput("features", [len(full), len(features)], "FP64")
    all_features.set_data_from_numpy(np.array([[float(row[f["name"]]) for f in features] for row in full]))
    check("infer, features", same(client.infer(model, [all_features], headers=node.predict), some))
    single = sync.InferInput("features", [len(full), len(features)], "FP32")
    single.set_data_from_numpy(np.array([[float(row[f["name"]]) for f in features] for row in full], dtype=np.float32))
    check("infer, FP32", np.allclose(client.infer(model, [single], headers=node.predict).as_numpy("probability"), some, atol=1e-4))
    for request in (None, "gzip", "deflate"):
        for response in (None, "gzip", "deflate"):
            result = client.infer(model, inputs(sync, features, rows, True), headers=node.predict,
                                  request_compression_algorithm=request, response_compression_algorithm=response)
            check(f"infer, {request} in, {response} out", same(result, wanted))
    pending = [client.async_infer(model, inputs(sync, features, rows, True), headers=node.predict) for _ in range(4)]
    check("async infer", all(same(p.get_result(), wanted) for p in pending))
    body, length = sync.InferenceServerClient.generate_request_body(inputs(sync, features, rows, True))
    status, _ = node.call(f"/v2/models/{model}/infer", body, node.predict | {"Inference-Header-Content-Length": str(length)})
    check("generated body", status == 200)
    statistics = client.get_inference_statistics(model, headers=node.predict)["model_stats"][0]
    check("statistics", statistics["inference_count"] > 0 and statistics["inference_stats"]["success"]["ns"] > 0)
    check("statistics of all", len(client.get_inference_statistics(headers=node.predict)["model_stats"]) == 1)
    client.unload_model(model, headers=node.operator)
    check("unloaded", not client.is_model_ready(model, headers=node.predict))
    check("index, unloaded", client.get_model_repository_index(headers=node.predict)[0]["state"] == "UNAVAILABLE")
    client.load_model(model, headers=node.operator)
    check("loaded", client.is_model_ready(model, headers=node.predict))
    for name, call, status in [
        ("unknown model", lambda: client.infer("nope", inputs(sync, features, rows, True), headers=node.predict), "404"),
        ("unknown version", lambda: client.infer(model, inputs(sync, features, rows, True), model_version="99", headers=node.predict), "404"),
        ("no key", lambda: client.infer(model, inputs(sync, features, rows, True)), "401"),
        ("wrong role", lambda: client.load_model(model, headers=node.predict), "403"),
        ("config override", lambda: client.load_model(model, headers=node.operator, config="{}"), "400"),
    ]:
        try:
            call()
            check(name, False, "was answered")
        except InferenceServerException as error:
            check(name, error.status() == status and "decoding" not in error.message(), f"{error.status()} {error.message()}")
    client.close()


async def run_aio(node, model, version, features, rows):
    wanted = expected(node, rows)
    async with aio.InferenceServerClient(node.address) as client:
        check("aio live", await client.is_server_live() and await client.is_server_ready())
        check("aio ready", await client.is_model_ready(model, version, headers=node.predict))
        check("aio metadata", (await client.get_server_metadata(headers=node.predict))["name"] == "consilium")
        check("aio model metadata", (await client.get_model_metadata(model, headers=node.predict))["versions"] == [version])
        check("aio config", (await client.get_model_config(model, version, headers=node.predict))["name"] == model)
        check("aio index", (await client.get_model_repository_index(headers=node.predict))[0]["state"] == "READY")
        check("aio statistics", len((await client.get_inference_statistics(model, version, headers=node.predict))["model_stats"]) == 1)
        check("aio infer", same(await client.infer(model, inputs(aio, features, rows, True), headers=node.predict), wanted))
        for request in ("gzip", "deflate"):
            result = await client.infer(model, inputs(aio, features, rows, True), headers=node.predict,
                                        request_compression_algorithm=request, response_compression_algorithm=request)
            check(f"aio infer, {request}", same(result, wanted))
        many = await asyncio.gather(*[client.infer(model, inputs(aio, features, rows, True), headers=node.predict) for _ in range(16)])
        check("aio infer, 16 at once", all(same(result, wanted) for result in many))
        await client.unload_model(model, headers=node.operator)
        check("aio unloaded", not await client.is_model_ready(model, headers=node.predict))
        await client.load_model(model, headers=node.operator)
        check("aio loaded", await client.is_model_ready(model, headers=node.predict))


def run_curl(node, workspace, model, features, rows):
    key = node.predict["Authorization"]
    big = workspace.path / "big.json"
    document = {"inputs": [{"name": f["name"], "shape": [len(rows)], "datatype": "FP64" if f["kind"] == "numeric" else "BYTES",
                            "data": [row[f["name"]] for row in rows]} for f in features]}
    # White space makes the body large enough for curl to ask first: Expect: 100-continue.
    big.write_text(json.dumps(document) + " " * (2 << 20))

    def curl(*arguments):
        run = subprocess.run(["curl", "-sS", "-v", "-H", f"Authorization: {key}", *arguments], capture_output=True, timeout=30)
        return run.stdout, run.stderr.decode()

    url = f"{node.url}/v2/models/{model}/infer"
    body, talk = curl(url, "-d", json.dumps(document))
    check("curl", "outputs" in json.loads(body), body[:200])
    body, talk = curl(url, "-H", "Expect: 100-continue", "--data-binary", f"@{big}", "-w", "\n%{time_total}")
    text, seconds = body.rsplit(b"\n", 1)
    check("curl, 100-continue", "100 Continue" in talk and "outputs" in json.loads(text) and float(seconds) < 0.9, seconds)
    body, talk = curl(url, "--compressed", "-d", json.dumps(document))
    check("curl, --compressed", "outputs" in json.loads(body))
    full = complete(rows)
    raw = workspace.path / "raw.bin"
    raw.write_bytes(np.array([[float(row[f["name"]]) for f in features] for row in full], dtype="<f8").tobytes())
    out = workspace.path / "answer"
    curl(url, "-H", "Inference-Header-Content-Length: 0", "--data-binary", f"@{raw}", "-o", str(out))
    head = json.loads(out.read_bytes()[:out.read_bytes().index(b"]}]}") + 4] if b"]}]}" in out.read_bytes() else out.read_bytes()[:out.read_bytes().index(b"}}]}") + 4])
    check("curl, raw rows", head["outputs"][0]["shape"] == [len(full)])


def run_probes(node, model, features, rows):
    """Each must be answered 4xx with {"error": text}; none may be answered with a prediction or repeat the canary."""
    row = complete(rows)[0]
    numeric = next(f["name"] for f in features if f["kind"] == "numeric")
    canary = "4711081504"

    def tensors(**change):
        made = []
        for f in features:
            tensor = {"name": f["name"], "shape": [1], "datatype": "FP32" if f["kind"] == "numeric" else "BYTES", "data": [row[f["name"]]]}
            made.append(tensor | change if f["name"] == numeric else tensor)
        return made

    def body(text=None, **change):
        document = json.dumps({"inputs": tensors(**change)})
        return (document.replace('"MARK"', text) if text else document).encode()

    path = f"/v2/models/{model}/infer"
    good = body()
    check("probe baseline", node.call(path, good)[0] == 200)
    probes = [
        ("unknown model", "/v2/models/nope/infer", good, {}, None),
        ("unknown version", f"/v2/models/{model}/versions/9999/infer", good, {}, None),
        ("wrong input name", path, body(name="y" + canary), {}, None),
        ("wrong datatype", path, body(datatype="BYTES", data=[canary]), {}, None),
        ("unknown datatype", path, body(datatype="FP" + canary), {}, None),
        ("data longer than shape", path, body(data=[1, int(canary)]), {}, None),
        ("data shorter than shape", path, body(shape=[2]), {}, None),
        ("truncated JSON", path, good[:len(good) // 2], {}, None),
        ("{}", path, b"{}", {}, None),
        ("unknown output", path, json.dumps({"inputs": tensors(), "outputs": [{"name": canary}]}).encode(), {}, None),
        ("NaN literal", path, body("NaN", data=["MARK"]), {}, None),
        ("null", path, body("null", data=["MARK"]), {}, None),
        ("string in FP32", path, body(data=[canary]), {}, None),
        ("1e400", path, body("1e400", data=["MARK"]), {}, None),
        ("1e300 in FP32", path, body("1e300", data=["MARK"]), {}, None),
        ("shape [0]", path, body(shape=[0], data=[]), {}, None),
        ("shape [-1]", path, body(shape=[-1]), {}, None),
        ("header length > body", path, good, {"Inference-Header-Content-Length": "99999"}, None),
        ("GET on infer", path, None, {}, "GET"),
        ("empty body", path, b"", {}, None),
    ]
    # The design notes count 19; the two data-length rows are one of theirs.
    passed = 0
    for name, where, data, extra, method in probes:
        status, answer = node.call(where, data, node.predict | extra, method or "POST")
        try:
            error = json.loads(answer)["error"]
        except (ValueError, KeyError, TypeError):
            error = None
        holds = 400 <= status < 500 and isinstance(error, str) and error != "" and canary.encode() not in answer
        passed += holds
        check(f"probe: {name}", holds, f"{status} {answer[:200]}")
    status, text = node.call("/metrics", headers=node.operator)
    check("rejections are counted", b"nv_inference_request_failure" in text and b"consilium_requests_refused_total" in text)
    print(f"wrong requests: {passed} of {len(probes)} answered 4xx with an error body")


def main():
    workspace = Workspace()
    try:
        manifest = workspace.manifest
        features, rows = manifest["schema"]["features"], workspace.rows[:40]
        model, version = manifest["name"], str(manifest["version"])
        with workspace.node("--plain") as node:
            run_sync(node, model, version, features, rows)
            asyncio.run(run_aio(node, model, version, features, rows))
            run_curl(node, workspace, model, features, rows)
            run_probes(node, model, features, rows)
            log = node.state / "log"
            run = subprocess.run([workspace.binary, "audit", "verify", str(log)], capture_output=True, text=True)
            check("audit verify", run.returncode == 0, run.stdout + run.stderr)
    finally:
        workspace.close()
    print(f"open inference clients: {check.total - check.failures} of {check.total} checks passed")
    sys.exit(1 if check.failures else 0)


if __name__ == "__main__":
    main()
