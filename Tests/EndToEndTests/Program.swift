// The real binary, run the way a user runs it: arguments in, text and an exit code out.

import Codec
import Glibc
import Simulation
import Storage

/// Root of the checkout, from this file's place.
let packageRoot = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

/// An environment variable; nil when unset or empty.
func environment(_ name: String) -> String? {
    // The text is copied at once; no test changes the environment.
    guard let value = unsafe getenv(name) else { return nil }
    let text = unsafe String(cString: value)
    return text.isEmpty ? nil : text
}

enum Program {
    /// The `consilium` binary: CONSILIUM_BINARY, else beside the test bundle, else the debug build of the checkout.
    static let path: String? = {
        var link = [CChar](repeating: 0, count: 4096)
        let count = unsafe readlink("/proc/self/exe", &link, link.count - 1)
        let bundle = String(decoding: link.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let places = [environment("CONSILIUM_BINARY"), DurableFile.parent(of: bundle) + "/consilium", packageRoot + "/.build/debug/consilium"]
        return places.compactMap { $0 }.first { DurableFile.exists($0) }
    }()

    /// Whether the tests can run; says why not.
    static let isThere: Bool = {
        if path == nil {
            print("EndToEndTests are skipped: build the binary first (swift build --product consilium) or set CONSILIUM_BINARY")
        }
        return path != nil
    }()

    /// What a command said.
    struct Result {
        var code: Int32
        /// Standard output and standard error together.
        var text: String
        var json: JSONValue? { try? JSONValue.parse(Array(text.utf8), dialect: .strict) }
    }

    /// Runs a command to its end.
    ///
    /// - Parameter variables: set for the command, as `NAME=VALUE`.
    static func run(_ arguments: [String], in scratch: Scratch, variables: [String] = []) throws -> Result {
        // One that hangs ends with code 124 instead of holding all tests up.
        try execute(
            ChildProcess("/usr/bin/env", variables + ["timeout", "60", path ?? ""] + arguments, logPath: scratch.fresh("command")))
    }

    /// Runs a line of shell in which `$0` is the binary.
    static func shell(_ line: String, in scratch: Scratch) throws -> Result {
        try execute(ChildProcess("/bin/bash", ["-c", line, path ?? ""], logPath: scratch.fresh("shell")))
    }

    /// Starts a command.
    static func start(_ arguments: [String], in scratch: Scratch, log: String, variables: [String] = []) throws -> ChildProcess {
        try ChildProcess("/usr/bin/env", variables + [path ?? ""] + arguments, logPath: log)
    }

    /// Changes a file's permissions.
    static func chmod(_ path: String, _ mode: mode_t) throws {
        // The path is null-terminated for the call.
        guard unsafe Glibc.chmod(path, mode) == 0 else { throw ScenarioError.failed(step: "chmod", path) }
    }

    private static func execute(_ child: ChildProcess) throws -> Result {
        let code = child.wait()
        return Result(code: code, text: String(decoding: try DurableFile.read(child.logPath, maxBytes: 16 << 20), as: UTF8.self))
    }
}

/// A directory for one test, removed at its end.
final class Scratch {
    let path: String
    private var count = 0

    init() throws {
        var template = Array(((environment("TMPDIR") ?? "/tmp") + "/consilium-e2e-XXXXXX").utf8CString)
        guard unsafe mkdtemp(&template) != nil else { throw ScenarioError.failed(step: "mkdtemp", "no scratch directory") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// A path that nothing has used yet.
    func fresh(_ name: String) -> String {
        count += 1
        return "\(path)/\(name)-\(count)"
    }

    /// Writes a text file.
    func write(_ text: String, _ name: String) throws -> String {
        let file = fresh(name)
        try DurableFile.writeAtomically(Array(text.utf8), to: file)
        return file
    }

    deinit { erase() }

    /// Removes everything; CONSILIUM_KEEP leaves it for a look.
    func erase() {
        guard environment("CONSILIUM_KEEP") == nil else { return print("kept: \(path)") }
        _ = try? ChildProcess("/bin/rm", ["-rf", path], logPath: "/dev/null").wait()
    }
}

/// Asks again and again until `condition` holds.
///
/// - Returns: whether it did in time.
func holds(within seconds: Double, _ condition: () throws -> Bool) rethrows -> Bool {
    let end = monotonicSeconds() + seconds
    while !(try condition()) {
        guard monotonicSeconds() < end else { return false }
        usleep(10_000)
    }
    return true
}

/// Seconds of a clock that only goes forward.
func monotonicSeconds() -> Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// A port of 127.0.0.1 that was free a moment ago, for processes that have to come back to the same one.
func freePort() -> Int {
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    // The address outlives both calls, and its size is the true one.
    unsafe withUnsafeMutablePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            _ = unsafe bind(socket, $0, size)
            _ = unsafe getsockname(socket, $0, &size)
        }
    }
    return Int(UInt16(bigEndian: address.sin_port))
}
