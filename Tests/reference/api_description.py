#!/usr/bin/env python3
"""schemathesis against a real node by its own /v1/openapi.json, once as a caller and once as an operator. Requests of all kinds
must never bring a 5xx, an answer that is not described, or an answer without a key where one is needed."""
import json, pathlib, shutil, subprocess, sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from node import ROOT, Workspace


def main():
    stored = json.loads((ROOT / "protocol/prediction-api.yaml").read_text())
    workspace = Workspace()
    failed = 0
    try:
        with workspace.node("--plain") as node:
            status, served = node.call("/v1/openapi.json", headers={"Accept": "*/*"})
            assert status == 200 and json.loads(served) == stored, "the served description is not that of protocol/"
            tool = pathlib.Path(sys.executable).parent / "schemathesis"
            for name, head in (("caller", node.predict), ("operator", node.operator)):
                run = subprocess.run(
                    [str(tool), "run", node.url + "/v1/openapi.json", "-H", "Authorization: " + head["Authorization"],
                     # Rows that fit only the model's schema cannot be told here, and `unload` is meant to make the node not ready.
                     "--exclude-checks", "positive_data_acceptance", "--exclude-operation-id", "ready", "--exclude-operation-id", "unload",
                     "--exclude-operation-id", "modelReady", "--exclude-operation-id", "versionReady",
                     "--max-examples", "40", "--seed", "6", "--no-color"], capture_output=True, text=True, timeout=900, cwd=workspace.path)
                if run.returncode:
                    failed += 1
                    print(run.stdout[-6000:], run.stderr[-2000:])
                print(f"schemathesis as {name}: {'passed' if run.returncode == 0 else 'FAILED'}")
            assert node.call("/v2/health/live", headers={"Accept": "*/*"})[0] == 200
    finally:
        workspace.close()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
