#!/usr/bin/env python3
"""Thousands of damaged and foreign requests to a real node, each with values that identify a person: no answer, header, log line, metric, entry of
the audit log or file outside of the record store may repeat one, nothing may be answered with 5xx, and every refusal is counted."""
import base64, json, os, pathlib, random, re, socket, struct, subprocess, sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from node import Workspace

NUMBER, TEXT = "4711081504", "Mustermann"
CANARIES = [NUMBER.encode(), TEXT.encode(), struct.pack("<d", float(NUMBER)), base64.b64encode(TEXT.encode()).rstrip(b"=")]


def values(chance):
    return chance.choice([
        int(NUMBER), -int(NUMBER), float(NUMBER + ".5"), TEXT, NUMBER, [int(NUMBER)], {TEXT: int(NUMBER)}, TEXT + "\u0000", TEXT + "\ud83d\ude00", TEXT * 50,
        True, None, "", [[TEXT]], {TEXT: {TEXT: [NUMBER]}}, 1e308, -0.0])


def predict_body(chance, rows, features):
    row = dict(chance.choice(rows))
    for _ in range(chance.randint(0, 3)):
        row[chance.choice([*features, TEXT, NUMBER])] = values(chance)
    document = chance.choice([
        lambda: {"row": row}, lambda: {"rows": [chance.choice(rows), row]}, lambda: {"dataframe_records": [row]},
        lambda: {"dataframe_split": {"columns": list(row), "data": [list(row.values())], "index": [TEXT]}},
        lambda: {"rows": values(chance)}, lambda: {"row": row, chance.choice(["model", "explain", "reasons", "counterfactual", TEXT]): values(chance)},
        lambda: {"row": row, "subject": TEXT, "routing_key": NUMBER, "explain": True, "reasons": True}])()
    return json.dumps(document).encode()


def infer_body(chance, rows, features):
    row = chance.choice(rows)
    tensors = [{"name": name, "shape": [1], "datatype": "BYTES" if isinstance(row[name], str) else "FP64", "data": [row[name]]} for name in features]
    tensor = chance.choice(tensors)
    for _ in range(chance.randint(0, 2)):
        tensor[chance.choice(["name", "shape", "datatype", "data", "parameters", TEXT])] = values(chance)
    document = {"inputs": tensors, "id": TEXT if chance.random() < 0.1 else "x", "parameters": {TEXT: NUMBER, "subject": TEXT}}
    if chance.random() < 0.3:
        document["outputs"] = [{"name": chance.choice([TEXT, "score", "contributions", "flags"]), "parameters": {TEXT: TEXT}}]
    return json.dumps(document).encode()


def damage(chance, body):
    body = bytearray(body)
    for _ in range(chance.randint(0, 3)):
        kind, place = chance.randint(0, 3), chance.randrange(len(body) or 1)
        if kind == 0 and body:
            body[place] = chance.randrange(256)
        elif kind == 1:
            del body[place:]
        elif kind == 2:
            body[place:place] = TEXT.encode()
        else:
            body[place:place] = bytes([chance.randrange(256)]) * chance.randint(1, 9)
    return bytes(body)


class Connection:
    """Keeps a socket, so that what the client sends is not tidied up by a library."""

    def __init__(self, address):
        self.address, self.socket = address, None

    def send(self, head, body):
        if self.socket is None:
            self.socket = socket.create_connection(self.address, timeout=20)
            self.file = self.socket.makefile("rb")
        try:
            self.socket.sendall(head + body)
            answer = self.file.readline()
            while (line := self.file.readline()) not in (b"\r\n", b""):
                answer += line
            length = re.search(rb"(?i)content-length: (\d+)", answer)
            text = self.file.read(int(length[1])) if length else b""
            if not answer or b"connection: close" in answer.lower():
                self.close()
            return int(answer.split(b" ")[1]) if answer else 0, answer, text
        except (OSError, IndexError):
            self.close()
            return 0, b"", b""

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None


def main():
    workspace = Workspace()
    count = int(os.environ.get("CONSILIUM_REQUESTS", "4000"))
    chance = random.Random(int(os.environ.get("CONSILIUM_SEED", "7")))
    problems, statuses, refused = [], {}, 0
    features = [f["name"] for f in workspace.manifest["schema"]["features"]]
    model = workspace.manifest["name"]
    try:
        with workspace.node("--plain", "--verbose") as node:
            host, port = node.address.split(":")
            connection = Connection((host, int(port)))
            for number in range(count):
                infer = chance.random() < 0.5
                body = (infer_body if infer else predict_body)(chance, workspace.rows, features)
                if chance.random() < 0.5:
                    body = damage(chance, body)
                path = f"/v2/models/{model}/infer" if infer else "/v1/predict"
                if chance.random() < 0.05:
                    path = chance.choice([f"/v2/models/{TEXT}/infer", f"/v1/decisions/{NUMBER}", f"/{TEXT}?{TEXT}={NUMBER}", f"/v1/models/{TEXT}/live"])
                head = [f"{chance.choice(['POST'] * 20 + ['GET', 'PUT'])} {path} HTTP/1.1", "Host: x", f"Authorization: {node.predict['Authorization']}",
                        f"Content-Length: {len(body)}"]
                if chance.random() < 0.1:
                    head.append(chance.choice([f"Inference-Header-Content-Length: {chance.choice([0, len(body) // 2, 10 ** 12, TEXT])}", "Content-Encoding: gzip",
                                               f"Content-Encoding: {TEXT}", f"X-Request-Id: {TEXT}", f"Consilium-Routing-Key: {NUMBER}", f"{TEXT}: {NUMBER}"]))
                status, answer, text = connection.send(("\r\n".join(head) + "\r\n\r\n").encode(), body)
                statuses[status] = statuses.get(status, 0) + 1
                refused += 400 <= status < 500
                # The caller's own request id is echoed: the protocol wants it so.
                shown = re.sub(rb'"id":"(?:[^"\\]|\\.)*",', b"", text, count=1) if infer else text
                if any(canary in answer + shown for canary in CANARIES):
                    problems.append(f"request {number} ({status}): an answer repeats a value: {text[:200]}")
                if status >= 500 or status == 0:
                    problems.append(f"request {number}: status {status} {text[:200]}")
                if 400 <= status and b'"error":' not in text:
                    problems.append(f"request {number}: {status} without an error: {text[:200]}")
                if len(problems) > 10:
                    break
            connection.close()
            metrics = node.call("/metrics", headers=node.operator)[1]
            counted = sum(float(m[1]) for m in re.finditer(rb"^consilium_requests_refused_total\{[^}]*\} ([0-9.e+]+)$", metrics, re.M))
            reasons = sorted({m[1].decode() for m in re.finditer(rb'consilium_requests_refused_total\{[^}]*reason="([^"]+)"', metrics)})
            if any(canary in metrics for canary in CANARIES):
                problems.append("a metric repeats a value")
            # What the parser or the router refuses (bad heads, unknown paths and methods) is counted by status.
            if not 0.5 * refused <= counted <= refused + 1:
                problems.append(f"{refused} refusals, {counted} counted by reason")
        for path in [workspace.path / "node.log", *(p for p in node.state.rglob("*") if p.is_file() and "records" not in p.relative_to(node.state).parts)]:
            data = path.read_bytes()
            for canary in CANARIES:
                if canary in data:
                    problems.append(f"{path.relative_to(workspace.path)} repeats a value")
        run = subprocess.run([workspace.binary, "audit", "show", str(node.state / "log"), "--json"], capture_output=True)
        if run.returncode or any(canary in run.stdout for canary in CANARIES):
            problems.append(f"the audit log repeats a value, or cannot be shown ({run.returncode})")
    finally:
        workspace.close()
    for problem in problems[:20]:
        print("FAILED " + problem)
    print(f"silence: {sum(statuses.values())} requests, {statuses}; refusals counted by {', '.join(reasons)}; {len(problems)} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
