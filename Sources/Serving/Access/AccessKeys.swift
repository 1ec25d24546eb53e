// API keys and client certificates of a serving node: `keys/api-keys.json`, mode 0600. `protocol/prediction-api.md` §2.
//
// A key is 256 random bits; the file holds only its SHA-256, so the file lets nobody in. A certificate is known by its
// fingerprint or its subject; TLS has verified it before. The file is written by the command line and read by the
// running node, which looks at it again at most once a second: what is revoked stops working within that second.

import Codec
import Cryptography
import HTTP
import Storage
import Telemetry
import Transport

/// A caller who showed a valid key or certificate.
package struct Principal: Equatable, Sendable {
    /// As in log entries: `key:3f9a01bc`, `certificate:77e0c1d2`.
    package var identifier: String
    /// What the caller may do.
    package var roles: Set<AccessRole>
    /// Whose key it is, as the list of keys has it.
    package var person: String
    /// The models it may use; nil for all.
    package var models: Set<String>?
    /// Its own limit; nil for the node's default.
    package var rate: RateLimit?

    /// A caller of all models at the node's rate, unless said.
    package init(
        identifier: String, roles: Set<AccessRole>, person: String? = nil, models: Set<String>? = nil, rate: RateLimit? = nil
    ) {
        (self.identifier, self.roles, self.person) = (identifier, roles, person ?? identifier)
        (self.models, self.rate) = (models, rate)
    }

    /// Whether the model is among those it may use.
    package func mayUse(_ model: String) -> Bool { models?.contains(model) ?? true }
}

/// The keys of one node. Safe to use from many threads, and beside another process that changes the file.
package final class AccessKeys: Sendable {
    /// What a caller shows.
    package enum Credential: Equatable, Sendable {
        /// A key with this SHA-256.
        case key(Digest)
        /// The certificate with this SHA-256 of its DER.
        case certificate(Digest)
        /// Any certificate of a trusted authority with this subject, as RFC 2253 text.
        case subject(String)
    }

    /// One key or certificate, without the key.
    package struct Record: Equatable, Sendable {
        /// 8 hex digits.
        package var id: String
        /// When it was made.
        package var created: Timestamp
        /// What its owner shows.
        package var credential: Credential
        /// Name, roles, models and limit.
        package var request: AccessKeyRequest

        /// Everything but the hash of a key.
        package var members: [String: JSONValue] {
            var members = request.members
            members["id"] = .string(id)
            members["created"] = .string(created.iso8601)
            return members
        }

        var principal: Principal {
            var kind = "key"
            if case .key = credential {} else { kind = "certificate" }
            return Principal(
                identifier: "\(kind):\(id)", roles: request.roles, person: request.name, models: request.models, rate: request.rate)
        }
    }

    static let format = "consilium-api-keys/1"
    static let keyPrefix = "ck_"
    /// How long a loaded file is believed.
    static let reloadMilliseconds: Int64 = 1000

    private struct State {
        var records: [Record]
        /// The callers of the records, at hand.
        let principals: [Principal]
        var loaded: Int64

        init(_ records: [Record], loaded: Int64) {
            (self.records, self.loaded) = (records, loaded)
            principals = records.map(\.principal)
        }
    }
    private let path: String
    private let clock: any Clock
    private let state: Locked<State>

    /// - Parameter directory: the node's `keys` directory.
    /// - Throws: `ServingError.accessKeys` when the file exists and is damaged, or readable by others.
    package init(directory: String, clock: any Clock) throws(ServingError) {
        path = directory + "/api-keys.json"
        self.clock = clock
        state = Locked(State(try Self.load(path), loaded: clock.now().milliseconds))
    }

    /// Makes a key. The second result is the key itself: it is shown once and kept nowhere.
    package func create(_ request: AccessKeyRequest, random: any RandomSource) throws(ServingError) -> (Record, key: String) {
        let key = Self.keyPrefix + Base64.urlEncode(random.bytes(32))
        return (try add(request, .key(SHA256.hash(Array(key.utf8))), random), key)
    }

    /// Lets a certificate in.
    package func admit(_ request: AccessKeyRequest, _ credential: Credential, random: any RandomSource) throws(ServingError)
        -> Record
    {
        var request = request
        request.credential = credential
        return try add(request, credential, random)
    }

    private func add(_ request: AccessKeyRequest, _ credential: Credential, _ random: any RandomSource) throws(ServingError)
        -> Record
    {
        try request.check()
        let record = Record(
            id: Hex.encode(random.bytes(4)), created: clock.now(), credential: credential, request: request)
        try change { (records: inout [Record]) throws(ServingError) in
            guard records.count < ServingLimits.accessKeys else {
                throw .keyRequest(
                    problem: "there are \(ServingLimits.accessKeys) keys already; revoke one first")
            }
            guard !records.contains(where: { $0.credential == credential }) else {
                throw .keyRequest(problem: "this certificate has a record already; revoke that first")
            }
            records.append(record)
        }
        return record
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
        state.withLock { $0 = State(records, loaded: clock.now().milliseconds) }
        return records
    }

    /// The caller of a request, or nil: by its `Authorization` header, and only without one by its certificate.
    func principal(of request: HTTPRequest) -> Principal? {
        if let authorization = request.headers.bytes(of: "Authorization") { return principal(authorization: authorization) }
        guard let peer = request.peer, clock.now().milliseconds / 1000 < peer.notAfter else { return nil }
        let certificate = Credential.certificate(peer.fingerprint)
        let subject = Credential.subject(peer.subject)
        let state = current()
        // The certificate itself before all that share its subject.
        let found = state.records.firstIndex { $0.credential == certificate } ?? state.records.firstIndex { $0.credential == subject }
        return found.map { state.principals[$0] }
    }

    private static let scheme = Array("Bearer ".utf8)

    /// Every stored hash is compared, in constant time each.
    private func principal(authorization: [UInt8]) -> Principal? {
        guard authorization.count <= 128, authorization.starts(with: Self.scheme) else { return nil }
        let given = SHA256.hash(Array(authorization[Self.scheme.count...]))
        let state = current()
        var found: Int?
        for (index, record) in state.records.enumerated() {
            if case .key(let hash) = record.credential, hash.isEqualInConstantTime(to: given) { found = index }
        }
        return found.map { state.principals[$0] }
    }

    /// The records, read again when a second has passed. A file that has become unusable lets nobody in.
    private func current() -> State {
        let now = clock.now().milliseconds
        return state.withLock { state in
            if now < state.loaded || now - state.loaded >= Self.reloadMilliseconds {
                state = State((try? Self.load(path)) ?? [], loaded: now)
            }
            return state
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
        state.withLock { $0 = State(records, loaded: clock.now().milliseconds) }
    }
}
