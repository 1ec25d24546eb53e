// c2sp.org/tlog-policy: which logs and witnesses are trusted, and how many witnesses make a quorum.
//   log <vkey> [<url>]
//   witness <name> <vkey> [<url>]
//   group <name> all|any|<k> <name>...
//   quorum <name>|none

/// The keys and the quorum that make a checkpoint acceptable.
package struct TrustPolicy: Equatable, Sendable {
    /// When a set of cosigners is enough.
    package indirect enum Quorum: Equatable, Sendable {
        case none
        case witness(VerifierKey)
        case group(threshold: Int, members: [Quorum])

        func isMet(by cosigners: [VerifierKey]) -> Bool {
            switch self {
            case .none: true
            case .witness(let key): cosigners.contains(key)
            case .group(let threshold, let members):
                members.count { $0.isMet(by: cosigners) } >= threshold
            }
        }
    }

    /// Lines of one kind that a policy file may have.
    package static let linesMax = 4096

    package let logs: [VerifierKey]
    package let witnesses: [VerifierKey]
    package let quorum: Quorum

    /// Any `threshold` of the witnesses; 0 asks for none.
    package init(log: VerifierKey, witnesses: [VerifierKey] = [], threshold: Int = 0) {
        logs = [log]
        self.witnesses = witnesses
        quorum =
            threshold == 0
            ? .none : .group(threshold: threshold, members: witnesses.map { .witness($0) })
    }

    /// Opens a checkpoint of a trusted log and asks for the quorum.
    /// - Throws: `unverified` when no trusted log signed, `invalidSignature` for a wrong line of any trusted key,
    ///   `noQuorum` when too few cosigned.
    package func checkpoint(_ note: SignedNote) throws(NoteError) -> Checkpoint {
        let opened = try OpenedNote(note, known: logs + witnesses)
        guard let log = opened.signers.first(where: { $0.key.kind == .log }) else {
            throw .unverified
        }
        let head = try Checkpoint(text: opened.text, origin: log.key.name.text)
        guard quorum.isMet(by: opened.signers.map(\.key).filter { $0.kind == .witness }) else {
            throw .noQuorum
        }
        return head
    }

    /// Parses a policy file.
    package init(_ bytes: [UInt8]) throws(NoteError) {
        var parser = TrustPolicyParser()
        guard !bytes.contains(where: { $0 < 0x20 && $0 != 0x09 && $0 != 0x0A || $0 == 0x7F }) else {
            throw .malformed("a control character in the policy")
        }
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw .malformed("the policy is not UTF-8")
        }
        let lines = bytes.split(separator: 0x0A)
        guard lines.count <= Self.linesMax else { throw .malformed("too many lines in the policy") }
        for line in lines {
            let words = line.split(whereSeparator: { $0 == 0x20 || $0 == 0x09 }).map {
                String(decoding: $0, as: UTF8.self)
            }
            if let first = words.first, !first.hasPrefix("#") { try parser.take(words) }
        }
        guard let quorum = parser.quorum else { throw .malformed("the policy has no quorum line") }
        logs = parser.logs
        witnesses = parser.witnesses
        self.quorum = quorum
    }
}

/// Collects the lines of a policy; names must be defined before they are used.
struct TrustPolicyParser {
    var logs: [VerifierKey] = []
    var witnesses: [VerifierKey] = []
    var quorum: TrustPolicy.Quorum?
    // Names are opaque bytes: String would take the Kelvin sign for a K.
    private var named: [[UInt8]: TrustPolicy.Quorum] = [:]
    private var usedAsMember: Set<[UInt8]> = []

    mutating func take(_ words: [String]) throws(NoteError) {
        switch (words[0], words.count) {
        case ("log", 2...3):
            logs.append(try key(words[1], .log, apartFrom: logs))
        case ("witness", 3...4):
            let key = try key(words[2], .witness, apartFrom: witnesses)
            witnesses.append(key)
            try define(words[1], .witness(key))
        case ("group", 4...):
            try define(words[1], try group(threshold: words[2], members: words[3...]))
        case ("quorum", 2):
            guard quorum == nil else { throw .malformed("the policy has two quorum lines") }
            guard words[1] != "none" else {
                quorum = TrustPolicy.Quorum.none
                return
            }
            guard let value = named[Array(words[1].utf8)] else {
                throw .malformed("the quorum is not defined before its line")
            }
            quorum = value
        default:
            throw .malformed("a policy line is log, witness, group or quorum with its words")
        }
    }

    private func key(
        _ text: String, _ kind: VerifierKey.Kind, apartFrom others: [VerifierKey]
    ) throws(NoteError) -> VerifierKey {
        let key = try VerifierKey(text)
        guard key.kind == kind else {
            throw .malformed("a log key has type 01, a witness key type 04")
        }
        guard !others.contains(where: { $0.publicKey == key.publicKey }) else {
            throw .ambiguousKey(keyName: key.name.text)
        }
        return key
    }

    private mutating func define(_ name: String, _ value: TrustPolicy.Quorum) throws(NoteError) {
        guard name != "none", named.updateValue(value, forKey: Array(name.utf8)) == nil else {
            throw .malformed("a name of the policy is defined twice")
        }
    }

    private mutating func group(threshold: String, members: ArraySlice<String>) throws(NoteError)
        -> TrustPolicy.Quorum
    {
        var quorums: [TrustPolicy.Quorum] = []
        for member in members {
            guard let value = named[Array(member.utf8)] else {
                throw .malformed("a member of a group is not defined before it")
            }
            guard usedAsMember.insert(Array(member.utf8)).inserted else {
                throw .malformed("a name is a member twice")
            }
            quorums.append(value)
        }
        let count =
            switch threshold {
            case "any": 1
            case "all": quorums.count
            default: Int(DecimalNumber.parse(Array(threshold.utf8)[...]) ?? 0)
            }
        guard (1...quorums.count).contains(count) else {
            throw .malformed("the threshold of a group")
        }
        return .group(threshold: count, members: quorums)
    }
}
