// API keys of a serving node: `keys/api-keys.json`, mode 0600. `protocol/prediction-api.md` §2.
//
// A key is 256 random bits; the file holds only its SHA-256, so the file lets nobody in. It is written by the command
// line and read by the running node, which looks at it again at most once a second: a revoked key stops working
// within that second.

import Codec
import Cryptography
import Storage
import Telemetry

/// A caller who showed a valid key.
package struct Principal: Equatable, Sendable {
    /// The key's id, as in log entries: `key:3f9a01bc`.
    package var identifier: String
    package var roles: Set<AccessRole>
    /// Whose key it is, as the list of keys has it.
    package var person: String

    package init(identifier: String, roles: Set<AccessRole>, person: String? = nil) {
        (self.identifier, self.roles, self.person) = (identifier, roles, person ?? identifier)
    }
}

/// The keys of one node. Safe to use from many threads, and beside another process that changes the file.
package final class AccessKeys: Sendable {
    /// One key, without the key.
    package struct Record: Equatable, Sendable {
        /// 8 hex digits.
        package var id: String
        /// Whose key it is, in the operator's words.
        package var name: String
        package var roles: Set<AccessRole>
        package var created: Timestamp
        var hash: Digest
    }

    static let format = "consilium-api-keys/1"
    static let keyPrefix = "ck_"
    /// How long a loaded file is believed.
    static let reloadMilliseconds: Int64 = 1000

    private struct State {
        var records: [Record] = []
        var loaded: Int64?
    }
    private let path: String
    private let clock: any Clock
    private let state: Locked<State>

    /// - Parameter directory: the node's `keys` directory.
    /// - Throws: `ServingError.accessKeys` when the file exists and is damaged, or readable by others.
    package init(directory: String, clock: any Clock) throws(ServingError) {
        path = directory + "/api-keys.json"
        self.clock = clock
        state = Locked(State(records: try Self.load(path), loaded: clock.now().milliseconds))
    }

    /// Makes a key. The second result is the key itself: it is shown once and kept nowhere.
    package func create(name: String, roles: Set<AccessRole>, random: any RandomSource)
        throws(ServingError) -> (Record, key: String)
    {
        guard (1...64).contains(name.utf8.count), name.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F })
        else {
            throw .keyRequest(problem: "the name must be 1 to 64 printable ASCII characters")
        }
        guard !roles.isEmpty else { throw .keyRequest(problem: "name at least one role") }
        let key = Self.keyPrefix + Base64.urlEncode(random.bytes(32))
        let record = Record(
            id: Hex.encode(random.bytes(4)), name: name, roles: roles, created: clock.now(),
            hash: SHA256.hash(Array(key.utf8)))
        try change { (records: inout [Record]) throws(ServingError) in
            guard records.count < ServingLimits.accessKeys else {
                throw .keyRequest(
                    problem: "there are \(ServingLimits.accessKeys) keys already; revoke one first")
            }
            records.append(record)
        }
        return (record, key)
    }

    /// Removes a key. A running node refuses it within a second.
    package func revoke(id: String) throws(ServingError) {
        try change { (records: inout [Record]) throws(ServingError) in
            guard let index = records.firstIndex(where: { $0.id == id }) else { throw .unknownKey }
            records.remove(at: index)
        }
    }

    /// All keys, oldest first.
    package func list() throws(ServingError) -> [Record] {
        let records = try Self.load(path)
        state.withLock { $0 = State(records: records, loaded: clock.now().milliseconds) }
        return records
    }

    /// The caller behind an `Authorization` header, or nil. Every stored hash is compared, in constant time each.
    package func principal(authorization: String?) -> Principal? {
        guard let authorization, authorization.utf8.count <= 128, authorization.hasPrefix("Bearer ")
        else { return nil }
        let given = SHA256.hash(Array(authorization.utf8.dropFirst(7))).bytes
        var found: Record?
        for record in current() where constantTimeEqual(record.hash.bytes, given) { found = record }
        return found.map { Principal(identifier: "key:\($0.id)", roles: $0.roles, person: $0.name) }
    }

    /// The records, read again when a second has passed. A file that has become unusable lets nobody in.
    private func current() -> [Record] {
        let now = clock.now().milliseconds
        return state.withLock { state in
            if let loaded = state.loaded, now >= loaded, now - loaded < Self.reloadMilliseconds {
                return state.records
            }
            state = State(records: (try? Self.load(path)) ?? [], loaded: now)
            return state.records
        }
    }

    private func change(_ edit: (inout [Record]) throws(ServingError) -> Void) throws(ServingError)
    {
        var records = try Self.load(path)
        try edit(&records)
        do {
            try DurableFile.writeAtomically(Self.encode(records), to: path, mode: 0o600)
        } catch {
            throw .accessKeys(path: path, problem: "\(error)")
        }
        state.withLock { $0 = State(records: records, loaded: clock.now().milliseconds) }
    }
}

extension AccessKeys {
    private static func load(_ path: String) throws(ServingError) -> [Record] {
        guard DurableFile.exists(path) else { return [] }
        do {
            return try decode(try KeyFile.read(path).exposedCopy())
        } catch {
            throw .accessKeys(path: path, problem: "\(error)")
        }
    }

    private static func encode(_ records: [Record]) -> [UInt8] {
        JSONValue.object([
            "format": .string(format),
            "keys": .array(
                records.map { record in
                    [
                        "id": .string(record.id), "name": .string(record.name),
                        "roles": .array(record.roles.sorted().map { .string($0.rawValue) }),
                        "created": .string(record.created.iso8601),
                        "sha256": .string(record.hash.hex),
                    ]
                }),
        ]).prettyBytes()
    }

    private static func decode(_ bytes: [UInt8]) throws -> [Record] {
        let limits = JSONLimits(bytesMax: ServingLimits.accessKeyFileBytes)
        var fields = try JSONFields(
            try JSONValue.parse(bytes, dialect: .strict, limits: limits), path: "")
        guard try fields.string("format") == format else {
            throw FieldError(path: "format", problem: "must be \(format)")
        }
        let records = try fields.array("keys", maxCount: ServingLimits.accessKeys).map(record)
        try fields.finish()
        return records
    }

    private static func record(_ value: JSONValue) throws -> Record {
        var fields = try JSONFields(value, path: "keys")
        var roles: Set<AccessRole> = []
        for name in try fields.strings("roles", maxCount: AccessRole.allCases.count) {
            guard let role = AccessRole(rawValue: name) else {
                throw FieldError(
                    path: "keys.roles",
                    problem:
                        "must be of \(AccessRole.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            roles.insert(role)
        }
        guard let hash = Digest(hex: try fields.string("sha256", maxBytes: 64)) else {
            throw FieldError(path: "keys.sha256", problem: "must be 64 hex digits")
        }
        guard let created = Timestamp(iso8601: try fields.string("created", maxBytes: 32)) else {
            throw FieldError(path: "keys.created", problem: "must be a UTC time")
        }
        let record = Record(
            id: try fields.string("id", maxBytes: 16),
            name: try fields.string("name", maxBytes: 64), roles: roles, created: created,
            hash: hash)
        try fields.finish()
        return record
    }
}
