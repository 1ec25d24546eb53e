#!/usr/bin/env python3
"""A stranger at the port: raw sockets, no client library. Every shape and datatype that stock clients may send, in JSON and binary, has the
answer of the plain one; everything else is a 4xx or 5xx with {"error": …}, repeats nothing, and is counted once in the metrics."""
import concurrent.futures, gzip, json, pathlib, re, socket, struct, sys, zlib

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from node import Checks, Workspace

check = Checks()
SECRETS = ["4711081504", "Mustermann", "zxqwv"]
PACKED = {"FP64": "d", "FP32": "f", "FP16": "e", "INT8": "b", "UINT8": "B", "INT16": "h", "UINT16": "H", "INT32": "i", "UINT32": "I",
          "INT64": "q", "UINT64": "Q", "BOOL": "?"}


def encode(value):
    return json.dumps(value).encode()


def pack(datatype, value):
    """One element in the binary form; None where the type does not hold it."""
    if datatype == "BYTES":
        return struct.pack("<I", len(str(value))) + str(value).encode()
    if datatype == "BF16":
        return struct.pack("<f", float(value))[2:]
    try:
        return struct.pack("<" + PACKED[datatype], float(value) if datatype.startswith("FP") else bool(float(value)) if datatype == "BOOL" else int(float(value)))
    except struct.error:
        return None


class Stranger:
    def __init__(self, node, workspace):
        self.node = node
        self.host, port = node.address.split(":")
        self.port = int(port)
        self.key = node.predict["Authorization"]
        self.operator = node.operator["Authorization"]
        self.features = workspace.manifest["schema"]["features"]
        self.infer = f"/v2/models/{workspace.manifest['name']}/infer"
        self.row = {f["name"]: self.middle(f) for f in self.features}
        # A categorical feature's code as a number: what `features` takes.
        self.numbers = [float(self.row[f["name"]]) for f in self.features]
        self.inputs = json.loads(self.ask("GET", self.infer.removesuffix("/infer"))[2])["inputs"]

    @staticmethod
    def middle(feature):
        if feature["kind"] == "numeric":
            low, high = feature["range"]
            return round((low + high) / 2) if feature.get("integer") else (low + high) / 2
        return (feature.get("codes") or feature["categories"])[0]

    def raw(self, *parts, seconds=10, ends=False):
        """Bytes over a connection of their own; all that comes back."""
        answer = b""
        with socket.create_connection((self.host, self.port)) as connection:
            connection.settimeout(seconds)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for part in parts:
                    connection.sendall(part)
                if ends:
                    connection.shutdown(socket.SHUT_WR)
                while more := connection.recv(65536):
                    answer += more
            except OSError:
                pass
        return self.parsed(answer)

    @staticmethod
    def parsed(answer):
        while answer.startswith(b"HTTP/1.1 100"):
            answer = answer.split(b"\r\n\r\n", 1)[1]
        if not answer:
            return 0, {}, b""
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode("latin1").split("\r\n")
        return int(lines[0].split()[1]), {n.lower(): v.strip() for n, v in (line.split(":", 1) for line in lines[1:])}, body

    def head(self, method, path, key, fields):
        fields = {"Host": "x", "Connection": "close"} | ({"Authorization": key} if key else {}) | fields
        return (f"{method} {path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields.items()) + "\r\n").encode("latin1")

    def ask(self, method, path, body=b"", fields=None, key="caller"):
        length = {"Content-Length": str(len(body))} if body or method == "POST" else {}
        return self.raw(self.head(method, path, self.key if key == "caller" else key, length | (fields or {})), body)

    def tensors(self, body, fields=None):
        return self.ask("POST", self.infer, body if isinstance(body, bytes) else encode(body), fields)

    def all(self, datatype="FP64", rows=1, **more):
        return {"inputs": [{"name": "features", "shape": [rows, len(self.numbers)], "datatype": datatype, "data": self.numbers * rows} | more]}

    def each(self, rows=1):
        """A tensor for each feature."""
        return [{"name": i["name"], "shape": [rows, 1], "datatype": i["datatype"],
                 "data": [str(self.row[i["name"]]) if i["datatype"] == "BYTES" else self.row[i["name"]]] * rows} for i in self.inputs]

    def binary(self, inputs, data, fields=None, **more):
        text = encode({"inputs": inputs} | more)
        return self.tensors(text + data, {"Inference-Header-Content-Length": str(len(text))} | (fields or {}))

    def refused(self, name, answer, statuses=range(400, 506)):
        status, fields, body = answer
        check(name, status in statuses, f"{status} {body[:200]}")
        if status >= 400:
            try:
                message = json.loads(body)["error"]
            except (ValueError, KeyError, TypeError):
                message = None
            check(f"{name}: an error body", isinstance(message, str) and message, body[:200])
        text = body + "".join(fields.values()).encode()
        check(f"{name}: nothing repeated", not any(s.encode() in text for s in SECRETS), text[:300])

    def same(self, name, answer, expected, rows=1):
        status, fields, body = answer
        length = int(fields.get("inference-header-content-length", len(body)))
        outputs, data = json.loads(body[:length]).get("outputs", []), body[length:]
        values = []
        for output in outputs:
            size = output.get("parameters", {}).get("binary_data_size", 0)
            if output["name"] == "probability":
                values = output.get("data") or struct.unpack(f"<{size // 8}d", data[:size])
            data = data[size:]
        check(name, len(values) == rows and all(abs(v - expected) < 1e-12 for v in values), f"{status} {body[:200]}")


def shapes_and_datatypes(port):
    status, _, body = port.tensors(port.all())
    expected = next(o["data"][0] for o in json.loads(body)["outputs"] if o["name"] == "probability")
    width, row = len(port.numbers), port.numbers
    port.same("nested", port.tensors(port.all(data=[row])), expected)
    port.same("three rows, nested", port.tensors(port.all(rows=3, data=[row] * 3)), expected, 3)
    port.same("a tensor for each feature", port.tensors({"inputs": port.each()}), expected)
    port.same("in another order, [n]", port.tensors({"inputs": [t | {"shape": [1]} for t in port.each()[::-1]]}), expected)
    port.same("nested columns", port.tensors({"inputs": [t | {"data": [[v] for v in t["data"]]} for t in port.each(4)]}), expected, 4)
    data = b"".join(pack("FP64", v) for v in row)
    whole = {"name": "features", "shape": [1, width], "datatype": "FP64", "parameters": {"binary_data_size": len(data)}}
    port.same("binary", port.binary([whole], data), expected)
    port.same("a raw request", port.tensors(data, {"Inference-Header-Content-Length": "0"}), expected)
    for name, squeeze in [("gzip", gzip.compress), ("deflate", zlib.compress)]:
        text = encode({"inputs": [whole]})
        port.same(f"{name}, binary", port.tensors(squeeze(text + data), {"Content-Encoding": name, "Inference-Header-Content-Length": str(len(text))}), expected)
        port.same(f"{name}, JSON", port.tensors(squeeze(encode(port.all())), {"Content-Encoding": name}), expected)
    body = encode(port.all())
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7]) for i in range(0, len(body), 7)) + b"0\r\n\r\n"
    port.same("chunked", port.raw(port.head("POST", port.infer, port.key, {"Transfer-Encoding": "chunked"}), chunks), expected)
    request = port.head("POST", port.infer, port.key, {"Content-Length": str(len(body))}) + body
    port.same("three bytes at a time", port.raw(*[request[i:i + 3] for i in range(0, len(request), 3)]), expected)
    port.same("a caller that ends its side", port.raw(request, ends=True), expected)
    # Each feature in each datatype: JSON and binary say the same, or both refuse.
    answered = 0
    for feature in port.features:
        name, value = feature["name"], port.row[feature["name"]]
        others = [t for t in port.each() if t["name"] != name]
        for datatype in [*PACKED, "BF16", "BYTES"]:
            data = pack(datatype, value)
            if data is None:
                continue
            element = str(value) if datatype == "BYTES" else float(value) if "FP" in datatype or datatype == "BF16" else bool(float(value)) if datatype == "BOOL" else int(float(value))
            tensor = {"name": name, "shape": [1], "datatype": datatype}
            text, binary = port.tensors({"inputs": others + [tensor | {"data": [element]}]}), port.binary(others + [tensor | {"parameters": {"binary_data_size": len(data)}}], data)
            check(f"{name} as {datatype}: JSON and binary", text[0] == binary[0] and text[0] in (200, 400), f"{text[0]} {binary[0]} {text[2][:100]}")
            answered += text[0] == 200
    check("most datatypes are taken", answered > 100, answered)
    for datatype, values in {"UINT8": [-1, 256, 1.5], "INT8": [-129, 128], "UINT16": [-1, 65536], "INT32": [2**31], "UINT64": [-1, 2**64], "INT64": [2**63],
                             "FP16": [65505], "FP32": [3.5e38], "BF16": [3.5e38], "BOOL": [0, 1, "true"], "BYTES": [1, True]}.items():
        for value in values:
            others = [t for t in port.each() if t["name"] != "age"]
            port.refused(f"{value} as {datatype}", port.tensors({"inputs": others + [{"name": "age", "shape": [1], "datatype": datatype, "data": [value]}]}), [400])
    return expected


def wrong_tensors(port):
    width, row = len(port.numbers), port.numbers
    good = encode(port.all())
    first = encode(row[0])
    bodies = {
        "unknown input": encode({"inputs": [{"name": "Mustermann", "shape": [1], "datatype": "FP64", "data": [4711081504]}]}), "too long": encode(port.all(data=row + [1])),
        "too short": encode(port.all(data=row[:-1])), "cut": good[:-11], "nothing": b"{}", "no body": b"", "no inputs": b'{"inputs":[]}', "null inputs": b'{"inputs":null}',
        "text": encode(port.all(data=["Mustermann"] * width)), "true": encode(port.all(data=[True] * width)), "object": encode(port.all(data=[{}] * width)),
        "beyond FP32": encode(port.all("FP32", data=[1e300] * width)), "10^400": encode(port.all(data=[10**400] * width)), "2^64": encode(port.all("INT64", data=[2**64] * width)),
        "no rows": encode(port.all(shape=[0, width], data=[])), "minus one": encode(port.all(shape=[-1, width])), "half a row": encode(port.all(shape=[1.5, width])),
        "2^62 rows": encode(port.all(shape=[2**62, width])), "three dimensions": encode(port.all(shape=[1, 1, width])), "no shape": encode(port.all(shape=[])),
        "ragged": encode(port.all(rows=2, data=[row, row[:-1]])), "1,001 rows": encode(port.all(rows=1001)), "deep": good.replace(b'"data": [', b'"data": ' + b"[" * 5000, 1),
        "a member twice": good.replace(b'"datatype"', b'"name": "features", "datatype"'), "inputs twice": b'{"inputs":[],"inputs":[]}', "a tensor twice": encode({"inputs": port.all()["inputs"] * 2}),
        "a parameter twice": good[:-1] + b',"parameters":{"timeout":60000000,"timeout":60000000}}', "an unknown member": encode(port.all() | {"Mustermann": 1}),
        "an array": b"[]", "a number": b"4711081504", "a word": b'"Mustermann"', "no JSON": b"\0\xff\xfe", "a mark first": b"\xef\xbb\xbf" + good, "more behind": good + b" Mustermann",
        "two": good * 2, "a comment": b"/*zxqwv*/" + good, "not UTF-8": b'{"inputs":[{"name":"\xff\xfe","shape":[1],"datatype":"FP64","data":[1]}]}',
        "half a pair": b'{"inputs":[{"name":"\\ud800","shape":[1],"datatype":"FP64","data":[1]}]}', "a name of a million bytes": encode({"inputs": [{"name": "Mustermann" * 100_000}]}),
        "unknown output": encode(port.all() | {"outputs": [{"name": "Mustermann"}]}), "id 7": encode(port.all() | {"id": 7}), "an unknown datatype": encode(port.all("Mustermann")),
        "a nested parameter": encode(port.all() | {"parameters": {"a": {"b": 4711081504}}}), "100 parameters": encode(port.all() | {"parameters": {f"p{i}": i for i in range(100)}}),
        "data and binary": encode(port.all(parameters={"binary_data_size": 8})), "10,000 tensors": encode({"inputs": port.each() * 800}),
    } | {f"{word} as an element": good.replace(first, word, 1) for word in
         [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"00.5", b"+1", b"0x1", b".5", b"1.", b"nil", b"4711081504e", b"null" if port.features[0].get("missing", "refuse") == "refuse" else b"NULL"]}
    for name, body in bodies.items():
        port.refused(name, port.tensors(body), [400])
    whole = {"name": "features", "shape": [1, width], "datatype": "FP64"}
    data = b"".join(pack("FP64", v) for v in row)
    sized = [whole | {"parameters": {"binary_data_size": len(data)}}]
    for name, cut in [("short", data[:-1]), ("long", data + b"x")]:
        port.refused(f"binary, {name}", port.binary(sized, cut), [400])
    for size in [len(data) + 8, 8, -8, 10**18, 1.5, "8"]:
        port.refused(f"binary_data_size {size}", port.binary([whole | {"parameters": {"binary_data_size": size}}], data), [400])
    for length in ["-1", "abc", "4711081504", "9" * 30, "1.5", "0x10", "", "+5"]:
        port.refused(f"header length {length!r}", port.binary(sized, data, {"Inference-Header-Content-Length": length}), [400])
    port.refused("infinity in binary", port.binary(sized, struct.pack("<d", float("inf")) * width), [400])
    for length in [0xFFFFFFFF, 0x7FFFFFFF, 1000]:
        port.refused(f"BYTES of {length}", port.binary([whole | {"datatype": "BYTES", "parameters": {"binary_data_size": 14}}], struct.pack("<I", length) + b"Mustermann"), [400])


def rows_of_predict(port):
    row = port.row
    probability = None
    for name, body in {"row": {"row": row}, "rows": {"rows": [row]}, "records": {"dataframe_records": [row]},
                       "split": {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}},
                       "split with index": {"dataframe_split": {"index": [4711081504], "data": [list(row.values())], "columns": list(row)}}}.items():
        status, _, answer = port.ask("POST", "/v1/predict", encode(body))
        value = json.loads(answer)["predictions"][0]["probability"] if status == 200 else None
        probability = probability or value
        check(f"predict, {name}", value is not None and value == probability, answer[:200])
    for body in [{"inputs": [row]}, {"instances": [row]}, {"inputs": {"a": [4711081504]}}, {"row": row, "params": {"Mustermann": 1}}, {"row": row, "rows": [row]}, {"row": [row]},
                 {"rows": row}, {"rows": []}, {"rows": [[]]}, {"rows": [{}]}, {"row": None}, {"row": row, "model": "Mustermann"}, {"row": row, "explain": "zxqwv"},
                 {"row": row, "subject": ""}, {"rows": [row] * 1001}, {"dataframe_split": {"columns": ["Mustermann"], "data": [[1]]}}, {"dataframe_split": {"columns": list(row), "data": []}},
                 {"dataframe_split": {"columns": list(row), "data": [list(row.values()) + [4711081504]]}}, {"dataframe_records": ["Mustermann"]}, {"row": row | {"Mustermann": 1}},
                 {"row": row | {"x" * 100_000: 1}}]:
        port.refused(f"predict {str(body)[:40]}", port.ask("POST", "/v1/predict", encode(body)), range(400, 423))
    for feature in port.features:
        for value in ["Mustermann", 4711081504, -4711081504, [4711081504], {"Mustermann": 1}, "zxqwv" * 1000, 1e308, "\0", "NaN"]:
            port.refused(f"{feature['name']} is {str(value)[:12]}", port.ask("POST", "/v1/predict", encode({"row": row | {feature["name"]: value}})), [200, 422])
        status, _, body = port.ask("POST", "/v1/predict", encode({"rows": [row, row | {feature["name"]: "Mustermann"}, row]}))
        answers = json.loads(body).get("predictions", [{}] * 3)
        check(f"good rows beside a bad {feature['name']}", ["probability" in a for a in answers] == [True, False, True], body[:200])
    for body in [b'{"row":{"age":NaN}}', b'{"row":{"age":1e400}}', b'{"row":{"age":' + b"9" * 100_000 + b"}}", b'{"row":' + b"[" * 100_000, b'{"row":{"a":' * 2000, b'{"row":{"age":"\xff"}}',
                 b'{"row":{"\\u0061ge":4711081504}}', b"", b"null", b'{"row":{"age":4711081504,"age":4711081504}}']:
        port.refused(f"predict {body[:24]}", port.ask("POST", "/v1/predict", body), range(400, 423))


def http(port):
    for path in ["/Mustermann", "/v2/models/Mustermann", "/v2/models/%4dustermann/ready", "/v2/models//infer", "/v2/models/%2e%2e/x", "/v2/models/%zz", "/v2/models/a%00b", "/%ff",
                 "/v1/decisions/Mustermann", "/v1/decisions/4711081504", "/audit/Mustermann", "/?Mustermann=4711081504", "//", "/" + "a" * 5000, "/v2/logging", "/v2/trace/setting",
                 "/v2/systemsharedmemory/status", "/v2/models", "/metrics", "/v1/history?at=Mustermann"]:
        port.refused(f"GET {path[:50]}", port.ask("GET", path))
    for method in ["GET", "PUT", "PATCH", "DELETE", "TRACE"]:
        port.refused(f"{method} infer", port.ask(method, port.infer), [405])
    status, fields, body = port.ask("OPTIONS", port.infer)
    check("OPTIONS", status == 204 and "POST" in fields.get("allow", "") and body == b"", f"{status} {fields}")
    status, _, body = port.ask("HEAD", "/v2")
    check("HEAD", status == 200 and body == b"", f"{status} {body}")
    for key in [None, "", "Bearer Mustermann", "Bearer ck_" + "a" * 43, "Basic TXVzdGVybWFubg==", "Bearer " + "a" * 3000]:
        port.refused(f"key {str(key)[:20]}", port.ask("POST", "/v1/predict", b"{}", key=key), [401])
    start = port.head("POST", "/v1/predict", port.key, {})[:-2]
    for name, rest in {
        "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "length and chunks": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "length -1": b"Content-Length: -1\r\n\r\n",
        "a word as length": b"Content-Length: Mustermann\r\n\r\n", "a huge length": b"Content-Length: 99999999999999999999\r\n\r\n", "9 MB": b"Content-Length: 9000000\r\n\r\n", "folded": b"X: a\r\n b\r\n\r\n",
        "no colon": b"Mustermann\r\n\r\n", "a space": b"Content-Length : 2\r\n\r\n{}", "a NUL": b"X: a\0b\r\n\r\n", "gzip as transfer": b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        "500 fields": b"".join(b"X%d: 1\r\n" % i for i in range(500)) + b"\r\n", "a large field": b"X: " + b"Mustermann" * 10_000 + b"\r\n\r\n", "Expect": b"Expect: Mustermann\r\nContent-Length: 2\r\n\r\n",
        "a chunk that is none": b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc", "a chunk of 2^72": b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "brotli": b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", "gzip that is none": b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    }.items():
        port.refused(name, port.raw(start + rest, seconds=3))
    bomb = gzip.compress(b" " * (64 << 20))
    port.refused("64 MB in gzip", port.ask("POST", "/v1/predict", bomb, {"Content-Encoding": "gzip"}), [413])
    for name, text in {"HTTP/0.9": b"GET /\r\n\r\n", "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "TLS": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(50), "no host": b"GET /v2 HTTP/1.1\r\n\r\n",
                       "a whole address": b"GET http://x/v2 HTTP/1.1\r\nHost: x\r\n\r\n", "SSH": b"SSH-2.0-Mustermann\r\n", "zeros": bytes(100), "line feeds": b"GET /v2 HTTP/1.1\nHost: x\n\n",
                       "a long line": b"GET /" + b"Mustermann" * 8000 + b" HTTP/1.1\r\n\r\n", "another method": b"BREW /v2 HTTP/1.1\r\nHost: x\r\n\r\n"}.items():
        port.refused(name, port.raw(text, seconds=3))
    answers = port.raw(port.head("GET", "/v2/health/live", None, {"Connection": "keep-alive"}) * 3 + port.head("GET", "/v2/health/live", None, {}))
    check("four requests in one piece", answers[2].count(b"HTTP/1.1 200") == 3, answers[2][:200])


def main():
    workspace = Workspace()
    try:
        with workspace.node("--plain") as node:
            port = Stranger(node, workspace)
            expected = shapes_and_datatypes(port)
            wrong_tensors(port)
            rows_of_predict(port)
            http(port)
            with concurrent.futures.ThreadPoolExecutor(32) as pool:
                statuses = set(pool.map(lambda _: port.tensors(port.all())[0], range(300)))
            check("300 at once", statuses == {200}, statuses)
            port.same("the same at the end", port.tensors(port.all()), expected)
            metrics = port.ask("GET", "/metrics", key=port.operator)[2].decode()
            counted = sum(float(m) for m in re.findall(r"^consilium_requests_refused_total\{.*\} ([0-9.e+]+)$", metrics, re.M))
            answered = sum(float(m) for m in re.findall(r'^consilium_http_requests_total\{status="[45]\d\d"\} ([0-9.e+]+)$', metrics, re.M))
            check("each refusal is counted once", counted == answered > 300, f"{counted} of {answered}")
            state = node.state
        written = metrics.encode() + b"".join(p.read_bytes() for p in (state / "log").rglob("*") if p.is_file()) + (workspace.path / "node.log").read_bytes()
        check("metrics, log and log lines repeat nothing", not any(s.encode() in written for s in SECRETS))
    finally:
        workspace.close()
    print(f"wire: {check.total - check.failures} of {check.total} checks passed, {int(counted)} refusals counted")
    sys.exit(1 if check.failures else 0)


if __name__ == "__main__":
    main()
