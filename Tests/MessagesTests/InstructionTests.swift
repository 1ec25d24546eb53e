import Codec
import Cryptography
import Messages
import Study
import Testing

/// `protocol/federation.md` §3, instructions and batches.
@Suite struct InstructionTests {
    /// The bytes as the specification lays them out, written by hand.
    @Test func layout() {
        let hash = digest(1).bytes
        #expect(Instruction.planOffer(plan: [0x7b, 0x7d]).encoded == [1, 0, 0, 0, 2, 0x7b, 0x7d])
        #expect(Instruction.planWithdrawn(planHash: digest(1)).encoded == [2] + hash)
        #expect(
            Instruction.roundOpen(work: [1], start: [], opening: [2, 3], results: [digest(1)]).encoded == [
                3, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2, 3, 0, 0, 0, 1,
            ] + hash)
        #expect(Instruction.manifest(signed: [9]).encoded == [7, 0, 0, 0, 1, 9])
        #expect(Instruction.witness(request: [9]).encoded == [8, 0, 0, 0, 1, 9])
        let answer = WitnessAnswer(origin: "o", witness: "w", status: 200, body: [1], latest: [])
        #expect(
            Instruction.witnessed(answer).encoded == [
                9, 0, 0, 0, 1, 0x6f, 0, 0, 0, 1, 0x77, 0, 0, 0, 200, 0, 0, 0, 1, 1, 0, 0, 0, 0,
            ])
        #expect(
            Instruction.aggregation(round: 258, message: [9]).encoded == [
                4, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 9,
            ])
        #expect(
            Instruction.runEnded(run: "a-1", released: true).encoded == [
                5, 0, 0, 0, 3, 0x61, 0x2d, 0x31, 1,
            ])
        #expect(
            Instruction.release(study: "a", version: 7, package: digest(1), bundle: digest(2))
                .encoded
                == [6, 0, 0, 0, 1, 0x61, 0, 0, 0, 7] + hash + digest(2).bytes)
        #expect(
            InstructionBatch(items: [.init(sequence: 1, instruction: [5, 6])]).encoded
                == [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 5, 6])
    }

    @Test func namesTheTypesItDoesNotKnow() {
        for type in (UInt8.min...UInt8.max) where !(1...9).contains(type) {
            #expect(throws: MessageError.unknownType(type)) {
                try Instruction(encoded: [type, 0, 0, 0, 0])
            }
        }
    }

    @Test func namesAreNames() {
        for name in ["", "A", "../x", "a/b", "a b", "a\u{0}", String(repeating: "a", count: 65)] {
            #expect(throws: MessageError.malformed("instruction")) {
                try Instruction(encoded: Instruction.runEnded(run: name, released: false).encoded)
            }
            let release = Instruction.release(
                study: name, version: 1, package: digest(1), bundle: digest(2))
            #expect(throws: MessageError.malformed("instruction")) {
                try Instruction(encoded: release.encoded)
            }
        }
    }

    @Test func partsHaveLimits() throws {
        func bytes(_ count: Int) -> [UInt8] { Array(repeating: 0, count: count) }
        #expect(throws: Never.self) {
            try Instruction(encoded: Instruction.planOffer(plan: bytes(Plan.bytesMax)).encoded)
        }
        for tooLong in [
            Instruction.planOffer(plan: bytes(Plan.bytesMax + 1)),
            .roundOpen(work: bytes(4097), start: [], opening: [], results: []),
            .roundOpen(work: [], start: bytes(1 << 17 | 1), opening: [], results: []),
            .roundOpen(work: [], start: [], opening: bytes(1 << 20 + 4097), results: []),
            .roundOpen(work: [], start: [], opening: [], results: Array(repeating: digest(1), count: 1 << 14 + 1)),
            .manifest(signed: bytes(2 << 20 | 1)), .witness(request: bytes(1 << 16 | 1)),
            .aggregation(round: 1, message: bytes(64 << 20 + 1)),
        ] {
            #expect(throws: MessageError.malformed("instruction")) {
                try Instruction(encoded: tooLong.encoded)
            }
        }
    }

    @Test func referencesAreTheBlobsToFetch() {
        let open = Instruction.roundOpen(
            work: Samples.training.canonicalBytes, start: [], opening: [], results: [digest(9)])
        #expect(open.references == [digest(2), digest(3)])
        #expect(
            Instruction.roundOpen(
                work: Samples.statistics.canonicalBytes, start: [], opening: [], results: []
            ).references.isEmpty)
        #expect(
            Instruction.roundOpen(work: [1, 2, 3], start: [], opening: [], results: [digest(9)]).references.isEmpty)
        #expect(
            Instruction.release(study: "a", version: 1, package: digest(1), bundle: digest(2))
                .references == [digest(2)])
        #expect(Instruction.planOffer(plan: []).references.isEmpty)
    }

    @Test func sequencesRise() {
        func batch(_ sequences: [UInt64]) -> [UInt8] {
            InstructionBatch(items: sequences.map { .init(sequence: $0, instruction: []) }).encoded
        }
        for good in [[], [1], [1, 2], [7, 9, .max]] as [[UInt64]] {
            #expect(throws: Never.self) { try InstructionBatch(encoded: batch(good)) }
        }
        for bad in [[0], [0, 1], [2, 2], [3, 2], [1, 3, 2]] as [[UInt64]] {
            #expect(throws: MessageError.malformed("batch")) {
                try InstructionBatch(encoded: batch(bad))
            }
        }
    }

    @Test func aBatchHasALimit() throws {
        func batch(_ count: Int) -> [UInt8] {
            InstructionBatch(
                items: (0..<count).map { .init(sequence: UInt64($0 + 1), instruction: []) }
            ).encoded
        }
        #expect(try InstructionBatch(encoded: batch(InstructionBatch.itemsMax)).items.count == 256)
        #expect(throws: MessageError.malformed("batch")) {
            try InstructionBatch(encoded: batch(InstructionBatch.itemsMax + 1))
        }
    }

    @Test func onlyVersionOneIsRead() {
        for version in UInt8.min...UInt8.max where version != 1 {
            for sample in Samples.all
            where sample.name.hasPrefix("batch") || sample.name.hasPrefix("enrolment") {
                #expect(throws: MessageError.self) {
                    try sample.again([version] + sample.bytes.dropFirst())
                }
            }
        }
    }
}
