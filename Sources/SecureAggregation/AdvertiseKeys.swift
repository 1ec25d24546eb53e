// Step 1, AdvertiseKeys: the opening (M0), each site's fresh keys (M1) and their roster (M2).
// `protocol/secure-aggregation.md` §3.1.

import Codec
import Cryptography

/// M0: lp(RD) ‖ signature of the coordinator over (ctx).
enum RoundOpening {
    static func encoded(_ descriptor: RoundDescriptor, key: SigningKey) -> [UInt8] {
        let bytes = descriptor.canonicalBytes
        var writer = ByteWriter(reserving: bytes.count + 80)
        writer.u8(MessageType.opening.rawValue)
        writer.lengthPrefixed(bytes)
        writer.raw(Transcript.sign(.round, RoundDescriptor.context(of: bytes).bytes, with: key))
        return writer.bytes
    }

    /// - Returns: the descriptor and its context.
    /// - Throws: `coordinator-signature` before anything else is believed, then decoding refusals.
    static func opened(_ message: [UInt8], key: VerifyingKey) throws(AggregationRefusal) -> (
        RoundDescriptor, Digest
    ) {
        var reader = try reader(message, expecting: .opening)
        let (bytes, signature) = try decoding { () throws -> ([UInt8], [UInt8]) in
            let bytes = try reader.lengthPrefixed(maxBytes: AggregationLimits.descriptorBytesMax)
            let signature = try reader.signature()
            try reader.finish()
            return (bytes, signature)
        }
        let context = RoundDescriptor.context(of: bytes)
        guard Transcript.isValid(signature, .round, context.bytes, by: key) else {
            throw AggregationRefusal(.coordinatorSignature)
        }
        return (try RoundDescriptor(canonicalBytes: bytes), context)
    }
}

/// M1: u32 site ‖ channel key ‖ mask key ‖ commitment to the self-mask seed ‖ ledger head (132 bytes) ‖ signature.
struct Advertisement: Equatable, Sendable {
    static let bodyBytes = 132
    static let entryBytes = bodyBytes + SigningKey.signatureBytes

    let site: UInt32
    /// pk_c, X25519: shares travel under it.
    let channelKey: [UInt8]
    /// pk_s, X25519: pairwise masks come from it.
    let maskKey: [UInt8]
    /// cb = H("b-commit"; ctx, u32 site, b).
    let commitment: Digest
    let ledgerHead: LedgerHead
    /// Body and signature, as they stand in the roster.
    let entry: [UInt8]

    /// Makes and signs an advertisement.
    init(
        site: UInt32, secrets: RoundSecrets, ledgerHead: LedgerHead, context: Digest,
        identity: SigningKey
    ) {
        self.site = site
        channelKey = secrets.channelKey.publicKey
        maskKey = secrets.maskKey.publicKey
        commitment = Advertisement.commitment(to: secrets.selfSeed, site: site, context: context)
        self.ledgerHead = ledgerHead
        let body = site.bigEndianBytes + channelKey + maskKey + commitment.bytes + ledgerHead.bytes
        entry = body + Transcript.sign(.advert, context.bytes, body, with: identity)
    }

    /// - Parameter entry: 196 bytes.
    init(entry: [UInt8]) throws(AggregationRefusal) {
        self = try decoding { () throws -> Advertisement in try Advertisement(parsing: entry) }
    }

    private init(parsing entry: [UInt8]) throws {
        var reader = ByteReader(entry)
        site = try reader.u32()
        channelKey = try reader.raw(32)
        maskKey = try reader.raw(32)
        commitment = try reader.digest()
        ledgerHead = try LedgerHead(from: &reader)
        _ = try reader.signature()
        try reader.finish()
        self.entry = entry
    }

    func isSigned(by key: VerifyingKey, context: Digest) -> Bool {
        Transcript.isValid(
            Array(entry[Advertisement.bodyBytes...]), .advert, context.bytes,
            Array(entry[..<Advertisement.bodyBytes]), by: key)
    }

    var message: [UInt8] { [MessageType.advertisement.rawValue] + entry }

    init(message: [UInt8]) throws(AggregationRefusal) {
        guard message.first == MessageType.advertisement.rawValue else {
            throw AggregationRefusal(.unexpectedMessage)
        }
        try self.init(entry: Array(message.dropFirst()))
    }

    static func commitment(to seed: borrowing SecretBytes, site: UInt32, context: Digest) -> Digest
    {
        // A commitment is public; the copy of the seed that enters the hash lives for one call.
        Transcript.hash(.selfSeedCommitment, context.bytes, site.bigEndianBytes, seed.exposedCopy())
    }
}

/// M2: u32 count ‖ count × (body ‖ signature), ascending by site. U1 of the specification; a roster with a ``group`` is
/// one group of it, which the steps after M2 take as theirs, under the hash of the whole.
struct Roster: Equatable, Sendable {
    let advertisements: [Advertisement]
    /// ρ = H("roster"; ctx, all entries).
    let hash: Digest
    private let ordinals: [UInt32: Int]
    /// Which group of the round this is; nil for all of U1.
    let group: RosterGroup?

    /// - Parameter advertisements: distinct sites, any order.
    init(_ advertisements: [Advertisement], context: Digest) {
        let sorted = advertisements.sorted { $0.site < $1.site }
        self.advertisements = sorted
        hash = Transcript.hash(.roster, context.bytes, sorted.flatMap(\.entry))
        ordinals = Dictionary(
            sorted.enumerated().map { ($1.site, $0) }, uniquingKeysWith: { first, _ in first })
        group = nil
    }

    /// One group of a whole roster.
    init(_ whole: Roster, group: RosterGroup) {
        advertisements = group.members.map { whole.advertisements[$0] }
        hash = whole.hash
        ordinals = Dictionary(
            advertisements.enumerated().map { ($1.site, $0) }, uniquingKeysWith: { first, _ in first })
        self.group = group
    }

    var count: Int { advertisements.count }
    var sites: [UInt32] { advertisements.map(\.site) }
    func ordinal(of site: UInt32) -> Int? { ordinals[site] }
    func sites(_ set: SiteSet) -> [UInt32] { set.ordinals.map { advertisements[$0].site } }
    func ordinals(_ set: SiteSet) -> [(ordinal: Int, site: UInt32)] {
        set.ordinals.map { ($0, advertisements[$0].site) }
    }

    var message: [UInt8] {
        var writer = ByteWriter(reserving: 8 + count * Advertisement.entryBytes)
        writer.u8(MessageType.roster.rawValue)
        writer.u32(UInt32(count))
        for advertisement in advertisements { writer.raw(advertisement.entry) }
        return writer.bytes
    }

    /// - Throws: `roster-order` unless sites strictly ascend; `roster-duplicate` for a repeated site or key.
    init(message: [UInt8], context: Digest, sitesMax: Int = AggregationLimits.sitesMax)
        throws(AggregationRefusal)
    {
        var reader = try reader(message, expecting: .roster)
        let advertisements = try decoding { () throws -> [Advertisement] in
            let count = Int(try reader.u32())
            guard count <= sitesMax else {
                throw AggregationRefusal(.rosterTooLarge)
            }
            var list: [Advertisement] = []
            list.reserveCapacity(count)
            for _ in 0..<count {
                list.append(try Advertisement(entry: try reader.raw(Advertisement.entryBytes)))
            }
            try reader.finish()
            return list
        }
        var keys = Set<[UInt8]>()
        for (index, advertisement) in advertisements.enumerated() {
            if index > 0, advertisements[index - 1].site == advertisement.site {
                throw AggregationRefusal(.rosterDuplicate, site: advertisement.site)
            }
            guard index == 0 || advertisements[index - 1].site < advertisement.site else {
                throw AggregationRefusal(.rosterOrder, site: advertisement.site)
            }
            guard keys.insert(advertisement.channelKey).inserted,
                keys.insert(advertisement.maskKey).inserted
            else {
                throw AggregationRefusal(.rosterDuplicate, site: advertisement.site)
            }
        }
        self.init(advertisements, context: context)
    }

    /// Every entry: listed in the manifest, in force, signed for this context, ledger not gone back.
    func checkMembers(
        manifest: Manifest, now: UInt64, context: Digest, ledgerHeads: [UInt32: LedgerHead]
    ) throws(AggregationRefusal) {
        for advertisement in advertisements {
            guard let member = manifest.member(advertisement.site) else {
                throw AggregationRefusal(.rosterUnlistedSite, site: advertisement.site)
            }
            guard member.isInForce(at: now) else {
                throw AggregationRefusal(.rosterExpiredSite, site: advertisement.site)
            }
            guard advertisement.isSigned(by: member.key, context: context) else {
                throw AggregationRefusal(.rosterSignature, site: advertisement.site)
            }
            if let known = ledgerHeads[advertisement.site], !advertisement.ledgerHead.follows(known)
            {
                throw AggregationRefusal(.ledgerHeadRegressed, site: advertisement.site)
            }
        }
    }
}
