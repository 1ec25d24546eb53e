// `consilium node serve --package …`: a node without a coordinator.

import AuditLog
import Codec
import Cryptography
import Serving
import SiteNode
import Storage
import Study
import Telemetry

/// The options of `node serve` for packages.
let standaloneOptions: [Option] = [
    .repeated("package", "DIR", "serve this package, without a coordinator; repeat it for several models"),
    .value("key", "HEX", "with --package: the Ed25519 key that must have signed it"),
    .value("listen", "HOST:PORT", "with --package: where to listen (default 127.0.0.1:8443)"),
    .value("state", "DIR", "with --package: keys, log and records (default: the first package's path with .state)"),
    .flag("plain", "with --package: HTTP without TLS, on loopback or behind a proxy that ends TLS"),
    .repeated("host", "NAME", "with --package: name or address in the serving certificate"),
    .value("name", "NAME", "with --package: the site's name in log entries (default standalone)"),
    .value("rate", "N/s", "with --package: requests of a caller whose key has no limit of its own (default none; N/m, N/h)"),
    .value("retention-days", "N", "with --package: days for which the log gives its entries out (default \(Retention.daysDefault))"),
]

/// A limit of requests, from `--rate`.
func rateLimit(_ invocation: Invocation) throws -> RateLimit? {
    guard let text = invocation["rate"] else { return nil }
    guard let rate = RateLimit(text) else { throw Failure(.usage, "usage", "--rate \(RateLimit.form)") }
    return rate
}

/// The keys that sign packages, from `--key` or from a node's directory: the coordinator's, and the node's own for what it imported.
func trustedKeys(_ invocation: Invocation) throws -> [VerifyingKey] {
    if let text = invocation["key"] {
        guard let given = Hex.decode(text).flatMap(VerifyingKey.init(bytes:)) else {
            throw Failure(.usage, "usage", "--key must be 64 hexadecimal digits")
        }
        return [given]
    }
    guard let directory = invocation["dir"] else {
        throw Failure(.usage, "usage", "give --key or --dir: a package is only as good as the key you trust")
    }
    return try NodeDirectory(opening: directory).trustedKeys
}

/// Runs until SIGTERM.
func serveStandalone(_ invocation: Invocation) throws {
    let packages = invocation.all("package")
    var first = packages[0]
    while first.count > 1, first.hasSuffix("/") { first.removeLast() }
    let hosts = invocation.all("host")
    var options = StandaloneNode.Options(
        packages: packages, state: invocation["state"] ?? first + ".state", trustedKey: try trustedKeys(invocation)[0],
        listen: try ListenAddress(text: invocation["listen"] ?? "127.0.0.1:8443", path: "--listen"),
        isPlain: invocation.has("plain"), hosts: hosts.isEmpty ? ["localhost", "127.0.0.1"] : hosts,
        site: invocation.has("name") ? try invocation.name("name") : "standalone")
    options.rate = try rateLimit(invocation) ?? .unlimited
    options.retentionDays = try invocation.integer("retention-days", in: Retention.daysMin...Retention.daysMax, default: Retention.daysDefault)
    RunningProcess.holdTermination()
    let node = try StandaloneNode(options, logger: RunningProcess.logger("node", invocation))
    try node.start()
    RunningProcess.waitForTermination()
    node.stop()
}
