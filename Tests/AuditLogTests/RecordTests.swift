import Codec
import Cryptography
import Storage
import Testing

@testable import AuditLog

@Suite struct RecordTests {
    private let directory = TemporaryDirectory()
    private let random = SystemRandom()
    private var path: String { directory.path + "/records" }

    private func id(_ number: Int) -> RecordID {
        RecordID(high: UInt64(1_795_000_000_000 + number) << 16 | 0x7000, low: 0x8000_0000_0000_0001)
    }

    private func record(_ number: Int, subject: String? = nil, rows: Int = 1) -> Record {
        let payloads = (0..<rows).flatMap { Array("payload \(1000 + number) row \(1000 + $0) of \(subject ?? "nobody")".utf8) }
        return Record(
            id: id(number), kind: "decision", subject: subject.map { .init(text: $0, salt: Commitment.salt(random)) },
            shared: Array("shared".utf8), salts: random.bytes(32 * rows), payloads: payloads)
    }

    private func contains(_ bytes: [UInt8], _ pattern: [UInt8]) -> Bool {
        guard bytes.count >= pattern.count else { return false }
        return (0...bytes.count - pattern.count).contains {
            bytes[$0] == pattern[0] && bytes[$0...].starts(with: pattern)
        }
    }

    private func onlySegment() throws -> String {
        path + "/" + (try #require(try DurableFile.list(path).first { $0.hasPrefix("records-") }))
    }

    @Test func findsWhatWasPutAlsoAfterReopening() throws {
        let records = (0..<50).map { record($0, subject: "patient-\($0 % 5)", rows: $0 % 3 + 1) }
        do {
            let store = try RecordStore(directory: path)
            for record in records { try store.put(record) }
            store.close()
        }
        let store = try RecordStore(directory: path)
        #expect(store.count == records.reduce(0) { $0 + $1.count })
        for record in records {
            for row in 0..<record.count {
                let found = try #require(try store.get(record.id.advanced(by: row)))
                #expect(found.record == record && found.row == row)
            }
            #expect(try store.get(record.id.advanced(by: record.count)) == nil)
        }
        #expect(try store.rows(of: "patient-3") == stride(from: 3, to: 50, by: 5).flatMap { number in (0..<number % 3 + 1).map { id(number).advanced(by: $0) } })
        #expect(try store.get(id(99)) == nil)
        #expect(try store.get(RecordID(high: id(3).high, low: 0x8000_0000_0000_0002)) == nil)
        var seen = 0
        try store.forEach { record in
            #expect(record == records[seen])
            seen += 1
        }
        #expect(seen == 50)
    }

    @Test func findsWhatWasPutOutOfOrderAndInManySegments() throws {
        let numbers = (0..<400).map { ($0 * 149) % 400 }
        for part in stride(from: 0, to: 400, by: 100) {
            let store = try RecordStore(directory: path)
            for number in numbers[part..<part + 100] { try store.put(record(number, rows: number % 7 + 1)) }
            store.close()
        }
        let store = try RecordStore(directory: path)
        for number in 0..<400 {
            let found = try #require(try store.get(id(number).advanced(by: number % 7)))
            #expect(found.record.id == id(number) && found.row == number % 7)
        }
    }

    @Test func everyRowIsUnderTheRootAndNoOtherIs() throws {
        for rows in [1, 2, 3, 5, 8, 31] {
            let record = record(1, rows: rows)
            var frontier = MerkleFrontier()
            for row in 0..<rows {
                let preimage = [0] + Array("consilium/row/1\n".utf8) + record.salt(row) + record.payload(row)
                #expect(SHA256.hash(preimage) == record.leaf(row))
                frontier.append(record.leaf(row))
            }
            #expect(frontier.root == record.root)
            for row in 0..<rows {
                func includes(_ leaf: Digest, at index: Int) -> Bool {
                    MerkleProof.includes(
                        leafHash: leaf, index: UInt64(index), size: UInt64(rows), proof: record.proof(row), root: record.root)
                }
                #expect(includes(record.leaf(row), at: row))
                #expect(!includes(SHA256.hash([1]), at: row))
                if rows > 1 { #expect(!includes(record.leaf((row + 1) % rows), at: row)) }
            }
        }
    }

    @Test func leavesNoByteOfAnErasedSubject() throws {
        var store: RecordStore? = try RecordStore(directory: path)
        let log = try Fixture.open(directory.path)
        for number in 0..<20 {
            let record = record(number, subject: number % 2 == 0 ? "patient-4711" : "patient-1234")
            try store?.put(record)
            try log.append(
                LogEntry(
                    .prediction, actor: "clinician", role: "clinician",
                    subjectCommitment: record.subject?.commitment,
                    payloadCommitment: record.root))
        }
        let commitment = try #require(try log.entry(at: 0).subjectCommitment)
        let found = try #require(try store?.get(id(0))?.record)
        let salt = try #require(found.subject).salt
        #expect(Commitment.verify(commitment, payload: Array("patient-4711".utf8), salt: salt))
        #expect(try store?.erase(store?.rows(of: "patient-4711") ?? []) == 10)
        #expect(try store?.rows(of: "patient-4711") == [])
        #expect(try store?.erase([id(0), id(77)]) == 0)
        // What is appended next does not bring back what was in its block.
        try store?.put(record(20, subject: "patient-1234"))
        store?.close()
        store = nil
        for (name, bytes) in try Files.all(directory.path) {
            #expect(!contains(bytes, Array("patient-4711".utf8)), "\(name)")
            #expect(!contains(bytes, salt) && !contains(bytes, found.salt(0)), "\(name)")
        }
        let again = try RecordStore(directory: path)
        #expect(again.count == 11)
        #expect(again.damagedCount == 0)
        #expect(try again.get(id(1))?.record.subject?.text == "patient-1234")
        #expect(try AuditVerifier.verify(directory: directory.path + "/log").size == 20)
    }

    @Test func oneRowOfARecordIsErasedAndTheOthersStillProve() throws {
        let record = record(1, subject: "patient-1", rows: 5)
        do { try RecordStore(directory: path).put(record) }
        for _ in 0..<2 {
            let store = try RecordStore(directory: path)
            _ = try store.erase([id(1).advanced(by: 2)])
            #expect(store.count == 4 && store.damagedCount == 0)
            #expect(try store.get(id(1).advanced(by: 2)) == nil)
            let bytes = try DurableFile.read(onlySegment(), maxBytes: 1 << 20)
            #expect(!contains(bytes, record.salt(2)) && !contains(bytes, record.payload(2)))
            let (found, row) = try #require(try store.get(id(1).advanced(by: 3)))
            #expect(found.root == record.root && found.proof(row) == record.proof(3) && found.payload(row) == record.payload(3))
        }
        // With its last row a record goes as a whole, subject included.
        let store = try RecordStore(directory: path)
        #expect(try store.erase((0..<5).map { id(1).advanced(by: $0) }) == 4)
        #expect(!contains(try DurableFile.read(onlySegment(), maxBytes: 1 << 20), Array("patient-1".utf8)))
        #expect(store.count == 0)
    }

    @Test func survivesATornTailAtEveryByteAndFinishesErasures() throws {
        let kept = (0..<3).map { record($0, subject: "s", rows: 2) }
        do {
            let store = try RecordStore(directory: path)
            for record in kept { try store.put(record) }
        }
        let name = try onlySegment()
        let whole = try DurableFile.read(name, maxBytes: 1 << 20)
        let frame = try RecordFrame.encoded(record(3, subject: "s", rows: 2))
        for cut in 0..<frame.count {
            // As after a crash: the rest is not there, or zeros that wait to be written over.
            let rest = [UInt8](repeating: 0, count: cut % 2 == 0 ? 0 : 4096)
            try DurableFile.writeAtomically(whole + frame[..<cut] + rest, to: name)
            let store = try RecordStore(directory: path)
            // A whole head over rows of zeros: nobody was told of them.
            #expect(store.count == 6 || cut >= frame.count - 2 * kept[0].stride, "cut at \(cut)")
            #expect(try store.get(id(2))?.record == kept[2])
            store.close()
        }
        // Marked as erased, not yet blank: a record, and a row.
        var marked = whole
        marked[4] = 0
        marked[whole.count - kept[2].stride] = 0
        try DurableFile.writeAtomically(marked, to: name)
        #expect(try RecordStore(directory: path).count == 3)
        let bytes = try DurableFile.read(name, maxBytes: 1 << 20)
        #expect(!contains(bytes, kept[0].payload(0)) && !contains(bytes, kept[2].payload(1)))
        #expect(contains(bytes, kept[2].payload(0)))
        // A flipped bit in a head loses that record, one in a row that row.
        var flipped = whole
        flipped[RecordFrame.headerBytes + 5] ^= 1
        flipped[whole.count - 1] ^= 1
        try DurableFile.writeAtomically(flipped, to: name)
        let store = try RecordStore(directory: path)
        #expect(store.damagedCount == 2)
        #expect(try store.get(id(0)) == nil && store.get(id(2).advanced(by: 1)) == nil)
        #expect(try store.get(id(2))?.record.payload(0) == kept[2].payload(0))
    }

    /// Files of versions with one frame a row, `CLR1`.
    @Test func readsAndErasesRecordsOfEarlierVersions() throws {
        func old(_ number: Int, _ subject: String) -> [UInt8] {
            var body = ByteWriter()
            body.text(id(number).description)
            body.text("prediction")
            body.u8(1)
            body.text(subject)
            body.lengthPrefixed([UInt8](repeating: UInt8(number), count: 32))
            body.lengthPrefixed(Array("old payload \(number)".utf8))
            var frame = ByteWriter()
            frame.raw(Array("CLR1".utf8))
            frame.u8(1)
            frame.u32(UInt32(body.bytes.count))
            frame.raw(SHA256.hash(body.bytes).bytes)
            frame.raw(body.bytes)
            return frame.bytes
        }
        try DurableFile.createDirectory(path)
        let name = path + "/records-0000000001"
        try DurableFile.writeAtomically((1...4).flatMap { old($0, "patient-\($0)") }, to: name)
        do { try checkOld(RecordStore(directory: path), name) }
        let again = try RecordStore(directory: path)
        #expect(again.count == 3 && again.damagedCount == 0)
    }

    private func checkOld(_ store: RecordStore, _ name: String) throws {
        try store.put(record(5, subject: "patient-2", rows: 2))
        #expect(store.count == 6 && store.damagedCount == 0)
        let (found, row) = try #require(try store.get(id(3)))
        #expect(found.kind == "prediction" && found.payload(row) == Array("old payload 3".utf8))
        #expect(found.subject == .init(text: "patient-3", salt: [UInt8](repeating: 3, count: 32)) && found.salt(0) == found.subject?.salt)
        #expect(try store.erase(store.rows(of: "patient-2")) == 3)
        #expect(!contains(try DurableFile.read(name, maxBytes: 1 << 20), Array("patient-2".utf8)))
        #expect(try store.get(id(2)) == nil && store.get(id(4)) != nil)
    }

    @Test func refusesRecordsBeyondTheirLimits() throws {
        let store = try RecordStore(directory: path)
        let long = String(repeating: "x", count: Record.textBytesMax + 1)
        #expect(throws: AuditLogError.self) { try store.put(record(1, subject: long)) }
        #expect(throws: AuditLogError.self) { try store.put(record(1, subject: "")) }
        #expect(throws: AuditLogError.self) {
            try store.put(Record(id: id(1), kind: "", subject: nil, salts: random.bytes(32), payloads: [1]))
        }
        #expect(throws: AuditLogError.self) {
            try store.put(
                Record(
                    id: id(1), kind: "k", subject: nil, shared: [UInt8](repeating: 0, count: Record.sharedBytesMax + 1),
                    salts: random.bytes(32), payloads: [1]))
        }
        #expect(store.count == 0)
    }

    /// Any change of any byte of a frame is noticed, or it is one of the state bytes.
    @Test func anyFlippedBitLosesNoMoreThanItsRecord() throws {
        let kept = (0..<3).map { record($0, rows: 2) }
        do {
            let store = try RecordStore(directory: path)
            for record in kept { try store.put(record) }
        }
        let name = try onlySegment()
        let whole = try DurableFile.read(name, maxBytes: 1 << 20)
        let frameBytes = whole.count / 3
        for place in frameBytes..<2 * frameBytes {
            var flipped = whole
            flipped[place] ^= UInt8(1 << (place % 8))
            try DurableFile.writeAtomically(flipped, to: name)
            let store = try RecordStore(directory: path)
            #expect(try store.get(id(0))?.record == kept[0] && store.get(id(2))?.record == kept[2], "\(place)")
            for row in 0..<2 {
                let found = try store.get(id(1).advanced(by: row))
                #expect(found.map { $0.record.payload(row) == kept[1].payload(row) } ?? true, "\(place)")
            }
            store.close()
        }
    }
}
