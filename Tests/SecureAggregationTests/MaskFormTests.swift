import Cryptography
import Testing

@testable import SecureAggregation

/// The fast form of the masks against the portable one.
@Suite("Mask forms") struct MaskFormTests {
    private func seeds(_ count: Int) throws -> SecretTable {
        try SecretTable(count: count, width: 32) { (row, output, offset) in
            output.store(seed32(UInt8(truncatingIfNeeded: row * 7 + 1)), at: offset)
        }
    }

    private func sum(
        _ form: MaskExpansion.Form, streams: Int, words count: Int, segment: Int, parallelism: Int
    ) throws -> [UInt32] {
        let masks = MaskExpansion(
            seeds: try seeds(streams), isAdded: (0..<streams).map { $0 % 3 != 1 }, form: form)
        var words = (0..<count).map { UInt32(truncatingIfNeeded: $0 &* 2_654_435_761) }
        masks.apply(
            to: &words, part: .payload, segmentElements: segment, parallelism: parallelism)
        return words
    }

    /// Every length around a register, a pass and a tile; several segments; more streams than a batch holds; a
    /// counter that passes 256 and 65,536 blocks.
    @Test(
        .enabled(if: MaskExpansion.Form.vector.isAvailable, "this processor has no vector AES"),
        arguments: [
            (1, 1), (1, 2), (2, 15), (3, 16), (2, 17), (1, 127), (1, 128), (2, 129), (3, 1000),
            (2, 4095), (2, 4096), (2, 4097), (70, 300), (1, 9000), (1, 300_000),
        ])
    func bothFormsGiveTheSameWords(streams: Int, words: Int) throws {
        for segment in [256, 4096, 1 << 20] where words / segment < 80 {
            let portable = try sum(
                .openSSL, streams: streams, words: words, segment: segment, parallelism: 1)
            for parallelism in [1, 3] {
                let fast = try sum(
                    .vector, streams: streams, words: words, segment: segment,
                    parallelism: parallelism)
                #expect(fast == portable)
            }
        }
    }

    /// What is added is taken off again, whichever side of the round has which processor.
    @Test(.enabled(if: MaskExpansion.Form.vector.isAvailable, "this processor has no vector AES"))
    func oneFormUndoesTheOther() throws {
        let table = try seeds(3)
        var words = [UInt32](repeating: 5, count: 5000)
        MaskExpansion(seeds: table, isAdded: [true, false, true], form: .vector)
            .apply(to: &words, part: .payload, segmentElements: 4096, parallelism: 1)
        #expect(Set(words).count > 4900)
        MaskExpansion(seeds: table, isAdded: [false, true, false], form: .openSSL)
            .apply(to: &words, part: .payload, segmentElements: 4096, parallelism: 2)
        #expect(words == [UInt32](repeating: 5, count: 5000))
    }
}
