#!/usr/bin/env python3
"""Keys, rates and client certificates of a real node, with certificates that openssl made and curl as the caller."""
import json, pathlib, subprocess, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from node import Checks, Workspace

check = Checks()


class Authority:
    """A root, an issuing authority under it, and what that issued: the keys RSA and P-256, the names nobody's site."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-days", "30", "-subj", "/CN=Hospital Root")
        self.issue("issuing", "/CN=Hospital Issuing CA", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign", "root", ["rsa:2048"])

    def openssl(self, *arguments, **options):
        return subprocess.run(["openssl", *arguments], cwd=self.path, check=True, capture_output=True, text=True, **options).stdout

    def issue(self, name, subject, extensions="extendedKeyUsage=clientAuth", by="issuing", key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), days="30"):
        (self.path / "extensions").write_text(extensions)
        self.openssl("req", "-new", "-newkey", *key, "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj", subject)
        self.openssl("x509", "-req", "-in", name + ".csr", "-CA", by + ".pem", "-CAkey", by + ".key", "-CAcreateserial", "-days", days,
                     "-extfile", "extensions", "-out", name + ".pem")
        return self.path / (name + ".pem")

    def subject(self, name):
        return self.openssl("x509", "-in", name + ".pem", "-noout", "-subject", "-nameopt", "RFC2253").split("=", 1)[1].strip()


def main():
    workspace = Workspace()
    ours, theirs = Authority(workspace.path / "ours"), Authority(workspace.path / "theirs")
    ward = ours.issue("ward", "/O=Hospital/OU=Cardiology/CN=ward 7", key=("rsa:2048",))
    lab = ours.issue("lab", "/CN=Lab, M\u00fcnchen", key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-utf8"))
    server = ours.issue("server", "/CN=server", extensions="extendedKeyUsage=serverAuth")
    stranger = theirs.issue("ward", "/O=Hospital/OU=Cardiology/CN=ward 7")
    root_issued = ours.issue("direct", "/CN=direct", by="root")
    state = workspace.path / "state"
    (state / "keys").mkdir(parents=True, mode=0o700)
    state.chmod(0o700)
    (state / "keys/client-ca.crt.pem").write_text((ours.path / "issuing.pem").read_text())
    body = json.dumps({"row": workspace.rows[0]})

    def run(*arguments, fails=False):
        done = subprocess.run([workspace.binary, *map(str, arguments)], capture_output=True, text=True)
        check(" ".join(map(str, arguments[:3])), (done.returncode != 0) == fails, done.stdout + done.stderr)
        return done.stdout

    def curl(url, certificate=None, *more):
        shown = ["--cert", str(certificate), "--key", str(certificate)[:-3] + "key"] if certificate else []
        done = subprocess.run(["curl", "-sS", "--tlsv1.3", "--cacert", str(state / "keys/serving-ca.crt.pem"), "-w", "\n%{http_code}", *shown, *more, url,
                               "-d", body], capture_output=True, text=True, timeout=30)
        text, _, status = done.stdout.rpartition("\n")
        return done.returncode, int(status or 0), text

    def expect(name, status, *arguments):
        answer = curl(url, *arguments)
        check(name, answer[:2] == (0, status), answer)
        return answer[2]

    process = subprocess.Popen(
        [workspace.binary, "node", "serve", "--package", str(workspace.package), "--key", workspace.key, "--listen", "127.0.0.1:0", "--state", str(state),
         "--host", "127.0.0.1", "--rate", "1000/s"], stdout=subprocess.DEVNULL, stderr=open(workspace.path / "node.log", "w"))
    try:
        while not (state / "endpoint.json").exists():
            assert process.poll() is None, (workspace.path / "node.log").read_text()
            time.sleep(0.02)
        url = json.loads((state / "endpoint.json").read_text())["url"] + "/v1/predict"
        expect("nobody", 401)
        expect("a certificate without a record", 401, ward)
        made = json.loads(run("node", "key", "create", "--dir", state, "--name", "ward", "--role", "predict", "--certificate", ward, "--json"))
        run("node", "key", "create", "--dir", state, "--name", "lab", "--role", "predict", "--rate", "2/h", "--certificate-subject", ours.subject("lab"))
        run("node", "key", "create", "--dir", state, "--name", "twice", "--role", "predict", "--certificate", ward, fails=True)
        run("node", "key", "create", "--dir", state, "--name", "x", "--role", "predict", "--rate", "fast", fails=True)
        time.sleep(1.1)
        expect("by fingerprint, RSA key", 200, ward)
        expect("by subject", 200, lab)
        expect("by subject, renewed", 200, ours.issue("lab", "/CN=Lab, M\u00fcnchen", key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-utf8")))
        limited = expect("beyond its rate", 429, lab, "-D", "-")
        check("Retry-After and a sentence", "retry-after:" in limited.lower() and '{"error":' in limited, limited)
        expect("others go on", 200, ward)
        for name, certificate in [("another authority's", stranger), ("a server's", server), ("one that the root issued", root_issued)]:
            code, status, _ = curl(url, certificate)
            check(f"TLS refuses {name} certificate", code != 0 and status == 0, (code, status))
        code, status, _ = curl(url, ward, "--tls-max", "1.2")
        check("TLS 1.2 is not spoken", code != 0 and status == 0)
        ticket = subprocess.run(["openssl", "s_client", "-connect", url.split("/")[2], "-tls1_3"], input="", capture_output=True, text=True, timeout=30).stdout
        check("no session tickets", "New Session Ticket" not in ticket and "CONNECTED" in ticket)
        key = json.loads(run("node", "key", "create", "--dir", state, "--name", "k", "--role", "auditor", "--model", "another", "--json"))["key"]
        expect("a key's role", 403, None, "-H", f"Authorization: Bearer {key}")
        run("node", "key", "revoke", "--dir", state, "--id", made["id"])
        time.sleep(1.1)
        expect("a revoked certificate", 401, ward)
        listed = run("node", "key", "list", "--dir", state)
        check("the list", made["id"] not in listed and "2/h" in listed and "another" in listed and key not in listed, listed)
        events = subprocess.run([workspace.binary, "audit", "show", str(state / "log")], capture_output=True, text=True).stdout
        check("keys are in the log", events.count("key.created") == 3 and events.count("key.revoked") == 1, events[-1500:])
    finally:
        process.terminate()
        process.wait(20)
        workspace.close()
    print(f"access: {check.total - check.failures} of {check.total} checks passed")
    sys.exit(1 if check.failures else 0)


if __name__ == "__main__":
    main()
