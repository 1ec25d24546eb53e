import Codec
import Cryptography
import Testing

@testable import SecureAggregation

/// The design's appendix: three sites with fixed secrets, every derived value.
@Suite("Known answers") struct KnownAnswerTests {
    let answers: JSONValue
    let context = RoundDescriptor.context(of: Array("consilium test round descriptor 1".utf8))
    let secrets: [RoundSecrets]
    let roster: Roster

    init() throws {
        answers = try VectorFiles.load("known-answers")
        var secrets: [RoundSecrets] = []
        var entries: [Advertisement] = []
        for site in 0..<UInt32(3) {
            let drawn = try RoundSecrets(
                site: site, context: context,
                random: FixedDraws([0x10, 0x20, 0x30].map { $0 + UInt8(site) }))
            secrets.append(drawn)
            entries.append(
                Advertisement(
                    site: site, secrets: drawn, ledgerHead: .none, context: context,
                    identity: try SigningKey(seed: seed32(0x40 + UInt8(site)))))
        }
        self.secrets = secrets
        roster = Roster(entries, context: context)
    }

    @Test func contextAndAdvertisement() throws {
        #expect(context.bytes == answers.bytes("ctx"))
        let raw = Transcript.expand(
            Transcript.extract(context, secrets[0].maskSeed), .maskKey, UInt32(0).bigEndianBytes)
        let rawBytes = raw.exposedCopy()
        #expect(rawBytes == answers.bytes("sk_s"))
        #expect(roster.advertisements[0].maskKey == answers.bytes("pk_s"))
        #expect(roster.advertisements[0].commitment.bytes == answers.bytes("b_commit"))
        #expect(Array(roster.advertisements[0].entry[132...]) == answers.bytes("signature"))
        #expect(roster.hash.bytes == answers.bytes("rho"))
    }

    @Test func masksCancel() throws {
        let keys = PairwiseKeys(context: context, roster: roster)
        let pair = try pairSeed(keys, 0, 1)
        let pairBytes = pair.exposedCopy()
        #expect(pairBytes == answers.bytes("pair_seed_01"))
        let mirrored = try pairSeed(keys, 1, 0).exposedCopy()
        #expect(mirrored == pairBytes)
        let key = Transcript.expand(pair, .segment, Array("pay".utf8), UInt32(0).bigEndianBytes)
        let segmentKey = key.exposedCopy()
        #expect(segmentKey == answers.bytes("segment_key_01"))
        #expect(
            try masked([0, 0, 0, 0], rows: [pairBytes], added: [true]) == answers.words("mask_01"))
        let own = keys.selfSeed(secrets[0].selfSeed, site: 0)
        let ownBytes = own.exposedCopy()
        #expect(ownBytes == answers.bytes("self_seed_0"))
        #expect(
            try masked([0, 0, 0, 0], rows: [ownBytes], added: [true])
                == answers.words("self_mask_0"))

        var total = [UInt32](repeating: 0, count: 4)
        for site in 0..<3 {
            var rows: [[UInt8]] = [
                keys.selfSeed(secrets[site].selfSeed, site: UInt32(site)).exposedCopy()
            ]
            var added = [true]
            for peer in 0..<3 where peer != site {
                rows.append(try pairSeed(keys, site, peer).exposedCopy())
                added.append(site < peer)
            }
            let input = [UInt32](repeating: UInt32(site + 1), count: 4)
            let y = try masked(input, rows: rows, added: added)
            if site == 0 { #expect(y == answers.words("masked_0")) }
            let unmasked = try masked(y, rows: [rows[0]], added: [false])
            for index in total.indices { total[index] &+= unmasked[index] }
        }
        #expect(total == answers.words("sum"))
    }

    @Test func channelBox() throws {
        let keys = PairwiseKeys(context: context, roster: roster)
        let (from, to) = (roster.advertisements[0], roster.advertisements[1])
        let agreed = try keys.agreed(secrets[0].channelKey, with: to.channelKey, site: 1)
        let key = keys.channelKey(agreed, from: from, to: to)
        let channelKey = key.exposedCopy()
        #expect(channelKey == answers.bytes("channel_key_01"))
        let box = AESGCM256.seal(
            [UInt8](repeating: 0, count: 80), key: key, nonce: ShareBox.nonce,
            additionalData: keys.channelData(from: 0, to: 1))
        #expect(box == answers.bytes("channel_box_01"))
    }

    @Test func sharesOfAKnownPolynomial() throws {
        let secret = SecretBytes(copying: answers.bytes("share_secret"))
        let higher = answers.list("share_coefficients").map { row in
            row.arrayValue!.map { UInt64($0.stringValue!)! }
        }
        let polynomials = SecretSharing.Polynomials(secret: secret, higher: higher)
        for x in [UInt32(1), 2, 3, 500] {
            let share = SecretBytes(count: 40) { polynomials.writeShare(of: x, to: &$0, at: 0) }
            let bytes = share.exposedCopy()
            #expect(bytes == answers["shares"]!.bytes("\(x)"))
        }
        let interpolation = Interpolation(coordinates: [500, 1, 3])
        let shares = ["500", "1", "3"].map {
            SecretShare(bytes: answers["shares"]!.bytes($0)[...])!
        }
        let secretAgain: [UInt8]? = interpolation.secret(from: shares)?.exposedCopy()
        #expect(secretAgain == answers.bytes("share_secret"))
    }

    @Test func graphPermutation() {
        let seed = Transcript.hash(.graph, context.bytes, roster.hash.bytes)
        #expect(seed.bytes == answers.bytes("graph_seed"))
        #expect(
            GroupPermutation.order(seed: seed, count: 8)
                == answers.list("permutation_8").map { Int($0.intValue!) })
    }

    private func pairSeed(_ keys: PairwiseKeys, _ one: Int, _ other: Int) throws -> SecretBytes {
        let peer = roster.advertisements[other]
        return keys.pairSeed(
            try keys.agreed(secrets[one].maskKey, with: peer.maskKey, site: peer.site),
            roster.advertisements[one], peer)
    }

    private func masked(_ words: [UInt32], rows: [[UInt8]], added: [Bool]) throws -> [UInt32] {
        var words = words
        let table = try SecretTable(count: rows.count, width: 32) { row, output, offset in
            output.store(SecretBytes(copying: rows[row]), at: offset)
        }
        MaskExpansion(seeds: table, isAdded: added)
            .apply(to: &words, part: .payload, segmentElements: 1 << 20, parallelism: 1)
        return words
    }
}

/// Draws of 32 equal bytes.
final class FixedDraws: RandomSource, @unchecked Sendable {
    private var values: [UInt8]
    init(_ values: [UInt8]) { self.values = values.reversed() }
    func bytes(_ count: Int) -> [UInt8] { [UInt8](repeating: values.popLast()!, count: count) }
    func secret(_ count: Int) -> SecretBytes { SecretBytes(copying: bytes(count)) }
}
