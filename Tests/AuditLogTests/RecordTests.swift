import Cryptography
import Storage
import Testing

@testable import AuditLog

@Suite struct RecordTests {
    private let directory = TemporaryDirectory()
    private let random = SystemRandom()

    private func record(_ number: Int, subject: String? = nil) -> Record {
        Record(
            id: "p-\(number)", kind: "prediction", subject: subject,
            payload: Array("payload \(number) of \(subject ?? "nobody")".utf8),
            random: random)
    }

    @Test func findsWhatWasPutAlsoAfterReopening() throws {
        let records = (0..<50).map { record($0, subject: "patient-\($0 % 5)") }
        do {
            let store = try RecordStore(directory: directory.path + "/records")
            for record in records { try store.put(record) }
            store.close()
        }
        let store = try RecordStore(directory: directory.path + "/records")
        #expect(store.count == 50)
        for record in records { #expect(try store.get(record.id) == record) }
        #expect(
            try store.records(of: "patient-3").map(\.id) == [
                "p-3", "p-8", "p-13", "p-18", "p-23", "p-28", "p-33", "p-38", "p-43", "p-48",
            ])
        #expect(try store.get("p-99") == nil)
    }

    @Test func leavesNoByteOfAnErasedSubject() throws {
        let path = directory.path + "/records"
        var store: RecordStore? = try RecordStore(directory: path)
        let log = try Fixture.open(directory.path)
        for number in 0..<20 {
            let record = record(number, subject: number % 2 == 0 ? "patient-4711" : "patient-1234")
            try store?.put(record)
            try log.append(
                LogEntry(
                    .prediction, actor: "clinician", role: "clinician",
                    subjectCommitment: record.subjectCommitment,
                    payloadCommitment: record.payloadCommitment))
        }
        let commitment = try #require(try log.entry(at: 0).subjectCommitment)
        let salt = try #require(try store?.get("p-0")).salt
        #expect(Commitment.verify(commitment, payload: Array("patient-4711".utf8), salt: salt))
        #expect(try store?.erase(subject: "patient-4711") == 10)
        #expect(try store?.erase(subject: "patient-4711") == 0)
        store?.close()
        store = nil
        for (name, bytes) in try Files.all(directory.path) {
            #expect(!contains(bytes, Array("patient-4711".utf8)), "\(name)")
            #expect(!contains(bytes, salt), "\(name)")
        }
        let again = try RecordStore(directory: path)
        #expect(again.count == 10)
        #expect(again.damagedCount == 0)
        #expect(try again.get("p-1")?.subject == "patient-1234")
        #expect(try AuditVerifier.verify(directory: directory.path + "/log").size == 20)
    }

    private func contains(_ bytes: [UInt8], _ pattern: [UInt8]) -> Bool {
        guard bytes.count >= pattern.count else { return false }
        return (0...bytes.count - pattern.count).contains {
            bytes[$0] == pattern[0] && bytes[$0...].starts(with: pattern)
        }
    }

    @Test func survivesATornTailAtEveryByteAndFinishesErasures() throws {
        let path = directory.path + "/records"
        let kept = (0..<3).map { record($0, subject: "s") }
        do {
            let store = try RecordStore(directory: path)
            for record in kept { try store.put(record) }
        }
        let name = try #require(try DurableFile.list(path).first { $0.hasPrefix("records-") })
        let whole = try DurableFile.read(path + "/" + name, maxBytes: 1 << 20)
        let frame = RecordSegment.frame(try record(3, subject: "s").encoded())
        for cut in 0..<frame.count {
            try DurableFile.writeAtomically(whole + frame[..<cut], to: path + "/" + name)
            let store = try RecordStore(directory: path)
            #expect(store.count == 3, "cut at \(cut)")
            #expect(try store.get("p-2") == kept[2])
            store.close()
        }
        // Marked as erased, not yet blank.
        var marked = whole
        marked[4] = 0
        try DurableFile.writeAtomically(marked, to: path + "/" + name)
        #expect(try RecordStore(directory: path).count == 2)
        #expect(
            !contains(try DurableFile.read(path + "/" + name, maxBytes: 1 << 20), Array("p-0".utf8))
        )
        // A flipped bit in the middle loses that record only.
        var flipped = whole
        flipped[RecordSegment.headerBytes + 5] ^= 1
        try DurableFile.writeAtomically(flipped, to: path + "/" + name)
        let store = try RecordStore(directory: path)
        #expect(store.damagedCount == 1)
        #expect(try store.get("p-0") == nil)
        #expect(try store.get("p-2") == kept[2])
    }
}
