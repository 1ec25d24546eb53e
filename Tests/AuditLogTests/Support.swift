import Codec
import Cryptography
import Glibc
import Storage
import Telemetry

@testable import AuditLog

/// An environment variable.
func environment(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
}

/// A directory that goes away with the value.
final class TemporaryDirectory: Sendable {
    let path: String

    init() {
        let base = environment("TMPDIR") ?? "/tmp"
        var template = Array("\(base)/auditlog-XXXXXX".utf8CString)
        let made = unsafe mkdtemp(&template)
        precondition(unsafe made != nil, "cannot make a temporary directory")
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { Files.removeTree(path) }
}

enum Files {
    static func removeTree(_ path: String) {
        if DurableFile.isDirectory(path) {
            for name in (try? DurableFile.list(path)) ?? [] { removeTree("\(path)/\(name)") }
            _ = unsafe rmdir(path)
        } else {
            _ = unsafe unlink(path)
        }
    }

    /// All files below a directory, by their relative path.
    static func all(_ directory: String, _ prefix: String = "") throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in try DurableFile.list(directory) {
            let path = "\(directory)/\(name)"
            if DurableFile.isDirectory(path) {
                files.merge(try all(path, prefix + name + "/")) { $1 }
            } else {
                files[prefix + name] = try DurableFile.read(path, maxBytes: 64 << 20)
            }
        }
        return files
    }

    /// Makes a directory hold exactly these files.
    static func restore(_ files: [String: [UInt8]], to directory: String) throws {
        removeTree(directory)
        try DurableFile.createDirectory(directory)
        for (path, bytes) in files { try LogFiles(directory: directory).write(bytes, to: path) }
    }
}

/// Keys and a clock for tests.
enum Fixture {
    static let origin = "test.example/log"

    static func key(_ byte: UInt8) -> SigningKey {
        do {
            return try SigningKey(seed: SecretBytes(copying: [UInt8](repeating: byte, count: 32)))
        } catch {
            preconditionFailure("32 bytes are a seed")
        }
    }

    static let logKey = key(7)
    static let logSigner = NoteSigner(name: KeyName(origin)!, kind: .log, key: logKey)
    static var vkey: String { logSigner.verifierKey.text }

    static func witness(_ number: UInt8) -> NoteSigner {
        NoteSigner(
            name: KeyName("witness.example/site-\(number)")!, kind: .witness, key: key(100 + number)
        )
    }

    static func open(_ directory: String, clock: any Clock = SystemClock()) throws -> AuditLog {
        try AuditLog.openOrCreate(
            directory: directory + "/log", origin: origin, signer: logKey, clock: clock)
    }

    static func entry(_ number: Int) -> LogEntry {
        LogEntry(
            .prediction, actor: "clinician-\(number % 7)", role: "clinician", site: "basel",
            model: "model-1",
            subjectCommitment: SHA256.hash([UInt8(truncatingIfNeeded: number)]),
            details: ["number": .integer(Int64(number))])
    }

    /// Whether the log took the entry; not when its queue is full.
    private static func offer(
        _ entry: LogEntry, to log: AuditLog, _ failures: Locked<[AuditLogError]>
    ) throws(AuditLogError) -> Bool {
        do {
            try log.append(entry) { result in
                if case .failure(let error) = result { failures.withLock { $0.append(error) } }
            }
            return true
        } catch {
            guard error == .overloaded else { throw error }
            return false
        }
    }

    /// Appends `count` entries without waiting for each.
    static func fill(_ log: AuditLog, _ count: Int) throws {
        let failures = Locked<[AuditLogError]>([])
        for number in 0..<max(0, count - 1) {
            while try !offer(entry(number), to: log, failures) { usleep(1000) }
        }
        if count > 0 { try log.append(entry(count - 1)) }
        if let failure = failures.withLock({ $0.first }) { throw failure }
    }
}

/// A log as its process gives it out over HTTP; `change` may spoil a file.
struct ServedLog: TileSource {
    let log: AuditLog
    let change: @Sendable (String, [UInt8]) -> [UInt8]

    init(_ log: AuditLog, change: @escaping @Sendable (String, [UInt8]) -> [UInt8] = { $1 }) {
        (self.log, self.change) = (log, change)
    }

    func read(_ path: String) throws(AuditLogError) -> [UInt8]? {
        try log.file(path).map { change(path, $0.bytes) }
    }
}

/// A small generator with a seed, so that a failure can be run again.
struct TestRandom: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// RFC 6962 section 2.1 word for word: the slow twin of the tree.
enum ReferenceTree {
    static func root(_ leaves: ArraySlice<[UInt8]>) -> Digest {
        if leaves.isEmpty { return SHA256.hash([]) }
        if leaves.count == 1 { return SHA256.hash([0] + leaves[leaves.startIndex]) }
        var split = 1
        while split * 2 < leaves.count { split *= 2 }
        let middle = leaves.startIndex + split
        return SHA256.hash([1] + root(leaves[..<middle]).bytes + root(leaves[middle...]).bytes)
    }
}

/// A tree in memory that knows every node: for proofs without a log.
struct MemoryTree {
    private(set) var rows: [[Digest]] = []

    init(leafHashes: [Digest]) {
        rows = [leafHashes]
        while let last = rows.last, last.count > 1 {
            rows.append(
                stride(from: 0, to: last.count - 1, by: 2).map {
                    MerkleTree.nodeHash(last[$0], last[$0 + 1])
                })
        }
    }

    func node(_ height: Int, _ index: UInt64) -> Digest { rows[height][Int(index)] }
    func root(_ size: Int) -> Digest { MerkleProof.root(0, UInt64(size)) { node($0, $1) } }
    func inclusion(_ index: Int, _ size: Int) -> [Digest] {
        MerkleProof.inclusion(index: UInt64(index), size: UInt64(size)) { node($0, $1) }
    }
    func consistency(_ size1: Int, _ size2: Int) -> [Digest] {
        MerkleProof.consistency(size1: UInt64(size1), size2: UInt64(size2)) { node($0, $1) }
    }
}
