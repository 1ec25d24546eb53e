import Cryptography
import Glibc
import Storage
import Telemetry
import Testing

@testable import AuditLog

/// The independent verifier among the vectors, built with Go where Go and golang.org/x/mod are installed
/// (`apt-get install golang-go golang-golang-x-mod-dev`).
enum GoVerifier {
    private static let build = TemporaryDirectory()

    /// The program; nil, with a message, when it cannot be built here.
    static let program: String? = {
        guard let vectors = Vectors.directory else { return nil }
        let output = build.path + "/verify-log"
        let command =
            "GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=\(build.path)/cache "
            + "go build -o \(output) \(vectors)/verifier/verify-log.go >/dev/null 2>&1"
        guard run(command) == 0 else {
            print("skipped: the Go verifier (needs golang-go and golang-golang-x-mod-dev)")
            return nil
        }
        return output
    }()

    /// Whether it accepts a log.
    static func accepts(_ directory: String) -> Bool? {
        guard let program else { return nil }
        return run("\(program) '\(Fixture.vkey)' \(directory) >\(build.path)/out 2>&1") == 0
    }

    /// Expects it to accept a log with this size and root.
    static func check(_ directory: String, size: UInt64, root: Digest) throws {
        guard let accepted = accepts(directory) else { return }
        #expect(accepted, "the Go verifier refuses the log of size \(size)")
    }

    private static func run(_ command: String) -> Int32 { unsafe system(command) }
}
