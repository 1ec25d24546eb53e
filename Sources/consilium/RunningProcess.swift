// Commands talk to the process that runs in a directory: its `endpoint.json` says where, its key files let
// whoever may read the directory in.

import Codec
import Cryptography
import Glibc
import Simulation
import Storage
import Telemetry

/// The interface of the process of a directory.
enum RunningProcess {
    static func coordinator(_ directory: String) throws -> APIClient {
        let endpoint = try endpoint(directory, role: "coordinator")
        return try client(
            endpoint["operator"]?.stringValue ?? "", directory, authority: "ca.crt.pem", key: directory + "/keys/operator.key")
    }

    /// The node of a directory: a site's, or the state directory of one without a coordinator.
    /// - Parameter keyFile: whose caller acts; nil for the operator at this machine.
    static func node(_ directory: String, keyFile: String? = nil) throws -> APIClient {
        let endpoint = try nodeEndpoint(directory)
        return try client(
            endpoint["url"]?.stringValue ?? "", directory, authority: "serving-ca.crt.pem", key: keyFile ?? directory + "/keys/operator.key")
    }

    /// Where the node of a directory listens, with or without a coordinator.
    static func nodeEndpoint(_ directory: String) throws -> JSONValue {
        let isStandalone = !DurableFile.exists(directory + "/config.json5") && DurableFile.exists(directory + "/keys/operator.key")
        return try endpoint(directory, role: isStandalone ? "standalone" : "node")
    }

    /// Where the process listens.
    static func endpoint(_ directory: String, role: String) throws -> JSONValue {
        guard role == "standalone" || DurableFile.exists(directory + "/config.json5") else {
            throw Failure(.noInput, "no-directory", "\(directory) holds no \(role): make one with `consilium \(role == "node" ? "node join" : "coordinator init")`")
        }
        guard let bytes = try? DurableFile.read(directory + "/endpoint.json", maxBytes: 4096),
            let value = try? JSONValue.parse(bytes, dialect: .strict), value["role"]?.stringValue == role,
            let pid = value["pid"]?.intValue, isOurs(pid)
        else {
            let start = role == "standalone" ? "node serve --package DIR --state" : "\(role) serve --dir"
            throw Failure(.unavailable, "not-running", "no \(role) runs in \(directory): start it with `consilium \(start) \(directory)`")
        }
        return value
    }

    /// Whether a process of this program runs under the number; one of another user counts, it cannot be looked at.
    static func isOurs(_ pid: Int) -> Bool {
        guard let number = pid_t(exactly: pid), number > 1, kill(number, 0) == 0 || errno == EPERM else { return false }
        guard let line = try? DurableFile.read("/proc/\(number)/cmdline", maxBytes: 1 << 16) else { return true }
        let words = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        return words.contains("serve") && words.first?.hasSuffix("consilium") ?? false
    }

    private static func client(_ url: String, _ directory: String, authority: String, key: String) throws -> APIClient {
        let text = String(decoding: try KeyFile.read(key).exposedCopy(), as: UTF8.self)
        // An editor may have put a line end there.
        let secret = text.filter { !$0.isWhitespace }
        guard !secret.isEmpty, secret.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw Failure(.configuration, "key-file", "\(key) holds no API key")
        }
        return try APIClient(url: url, authorityPath: directory + "/keys/" + authority, key: secret)
    }

    /// Blocks until the process is asked to end.
    static func waitForTermination() {
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe sigaddset(&signals, SIGTERM)
        unsafe sigaddset(&signals, SIGINT)
        var received: Int32 = 0
        while unsafe sigwait(&signals, &received) != 0 {}
    }

    /// Keeps the ending signals for `waitForTermination`; call before any thread starts.
    static func holdTermination() {
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe sigaddset(&signals, SIGTERM)
        unsafe sigaddset(&signals, SIGINT)
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    static func logger(_ source: String, _ invocation: Invocation) -> Logger {
        Logger(source: source, level: invocation.has("verbose") ? .debug : .info)
    }
}
