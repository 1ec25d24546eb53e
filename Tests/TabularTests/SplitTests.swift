import Codec
import Cryptography
import Tabular
import Testing

@Suite struct SplitTests {
    private func table(_ count: Int) throws -> Table {
        try clinicDataset(
            (0..<count).map { "\($0 % 100),m,\($0 % 4 + 1),\(100 + $0 / 7),st,1,\($0 % 2)\n" }
                .joined()
        ).table
    }
    private let key = Array("site key".utf8)

    @Test func followsThePublishedRowNumberRule() {
        let first = (0..<57).filter { Split.isHeldOut("taiwan-credit-default", 0, $0) }
        #expect(first == [2, 3, 16, 19, 45, 48, 50, 56])
        #expect(
            (0..<30_000).filter { Split.isHeldOut("taiwan-credit-default", 0, $0) }.count == 6_027)
        let heart = [("cleveland", 303), ("hungarian", 294), ("switzerland", 123), ("va", 200)]
        let sizes = heart.map { site, rows in
            (0..<rows).filter { Split.isHeldOut("heart-disease/\(site)", 0, $0) }.count
        }
        #expect(sizes.reduce(0, +) == 176)
    }

    @Test func countsRowNumbersWithQuarantinedRowsIncluded() throws {
        let table = try clinicDataset(
            "63,m,1,233,st,1,0\n999,m,1,233,st,1,0\n64,m,1,233,st,1,0\n65,m,1,233,st,1,1\n"
        ).table
        let rows = try table.split(.rowNumberRule(datasetKey: "taiwan-credit-default", split: 0))
        #expect(rows.test.map { table.rowNumbers[$0] } == [2, 3])
    }

    @Test func keepsARowOnItsSideInEveryRun() throws {
        let table = try table(1000)
        let rows = try table.split(.keyedHash(key: key, testShare: 0.2))
        #expect(rows.train.count + rows.test.count == 1000)
        #expect((150...250).contains(rows.test.count))
        // The same rows in another order and company.
        let shuffled = table.subset(Array((0..<1000).reversed()).filter { $0 % 3 != 0 })
        let again = try shuffled.split(.keyedHash(key: key, testShare: 0.2))
        let heldOut = Set(rows.test.map { table.rowKeys[$0] })
        for index in 0..<shuffled.rowCount {
            #expect(again.test.contains(index) == heldOut.contains(shuffled.rowKeys[index]))
        }
        // A larger share only moves rows to the held-out side.
        let wider = try table.split(.keyedHash(key: key, testShare: 0.5))
        #expect(Set(rows.test).isSubset(of: wider.test))
        // Another key, another split.
        #expect(try table.split(.keyedHash(key: [1], testShare: 0.2)) != rows)
    }

    @Test func keepsDuplicatesAndSubjectsTogether() throws {
        var schema = clinic
        schema.subjectColumn = "patient"
        var csv = "patient,age,sex,cp,chol,ecg,fbs,num\n"
        for row in 0..<600 { csv += "P\(row % 100),\(row % 90),m,1,\(100 + row),st,1,\(row % 2)\n" }
        let table = try Ingest.read(csv: bytes(csv), schema: schema).table
        let rows = try table.split(.keyedHash(key: key, testShare: 0.3))
        let sides = Dictionary(grouping: 0..<600) { $0 % 100 }.values.map { group in
            Set(group.map { rows.test.contains($0) }).count
        }
        #expect(sides.allSatisfy { $0 == 1 })

        let twins = try clinicDataset(
            (0..<200).map { "\($0 % 50),m,1,233,st,1,\($0 / 100)\n" }.joined()
        ).table
        let split = try twins.split(.keyedHash(key: key, testShare: 0.5))
        for index in 0..<100 {
            #expect(
                split.test.contains(index) == split.test.contains(index + 100),
                "equal features, other label")
        }
    }

    @Test func writesNumbersDifferentlyButSplitsAlike() throws {
        let plain = try clinicDataset("63,m,2,230,st,1,1\n").table
        let fancy = try clinicDataset("6.3e1,m,2.0,230.00,st,1.0,1.0\n").table
        #expect(plain.rowKeys == fancy.rowKeys && plain.unitKeys == fancy.unitKeys)
    }

    @Test func followsRowLists() throws {
        let table = try clinicDataset(
            "63,m,1,233,st,1,0\n999,m,1,233,st,1,0\n64,m,1,233,st,1,0\n65,m,1,233,st,1,1\n66,m,1,233,st,1,1\n"
        ).table
        let rows = try table.split(.rowLists(train: [4, 0], test: [3, 1]))
        #expect(rows.train.map { table.rowNumbers[$0] } == [0, 4])
        #expect(rows.test.map { table.rowNumbers[$0] } == [3])
        #expect(rows.unused.map { table.rowNumbers[$0] } == [2])
        #expect(rows.absent == [1])
    }

    @Test func refusesSplitsThatMakeNoSense() throws {
        let table = try table(10)
        #expect(failure { _ = try table.split(.keyedHash(key: [], testShare: 0.2)) } != nil)
        #expect(failure { _ = try table.split(.keyedHash(key: key, testShare: 1)) } != nil)
        #expect(failure { _ = try table.split(.keyedHash(key: key, testShare: -0.1)) } != nil)
        #expect(failure { _ = try table.split(.keyedHash(key: key, testShare: .nan)) } != nil)
        #expect(
            failure { _ = try table.split(.rowLists(train: [0, 1], test: [1])) }
                == .split("row 1 is listed twice"))
        #expect(
            failure { _ = try table.split(.rowLists(train: [0], test: [10])) }
                == .split("row 10 is listed but the data source has only 10 rows"))
        #expect(failure { _ = try table.split(.rowLists(train: [-1], test: [])) } != nil)
    }

    @Test func fingerprintsRowsWhateverTheirOrder() throws {
        let table = try table(50)
        #expect(table.subset(Array((0..<50).reversed())).fingerprint == table.fingerprint)
        #expect(table.subset(Array(0..<49)).fingerprint != table.fingerprint)
        #expect(table.subset(Array(0..<50) + [3]).fingerprint != table.fingerprint)
        var relabelled = Table(schema: clinic)
        for index in 0..<50 { relabelled.append(table.row(index), label: index == 0) }
        #expect(relabelled.fingerprint != table.fingerprint)
    }

    @Test func takesInOutcomesAsNewRows() throws {
        var table = try table(5)
        let before = table.fingerprint
        table.append(table.row(2), label: true)
        #expect(table.rowNumbers.last == 5 && table.rowCount == 6 && table.fingerprint != before)
        #expect(table.unitKeys[5] == table.unitKeys[2])
    }

    /// Pins protocol/data.md §4 and §5: another implementation must get these digests.
    @Test func keepsTheCanonicalBytes() throws {
        let table = try clinicDataset("63,m,2,0,st,1,1\n").table
        var features: [UInt8] = []
        for bits: UInt64 in [
            0x404F_8000_0000_0000, 0x3FF0_0000_0000_0000, 0x3FF0_0000_0000_0000,
            0x7FF8_0000_0000_0000, 0x3FF0_0000_0000_0000, 0x3FF0_0000_0000_0000,
        ] {
            features += (0..<8).map { UInt8(truncatingIfNeeded: bits >> UInt64(56 - 8 * $0)) }
        }
        let row = SHA256.hash(bytes("consilium row v1") + features + [1])
        #expect(table.rowKeys == [row])
        #expect(table.unitKeys == [SHA256.hash(bytes("consilium unit v1") + features)])
        #expect(
            table.fingerprint
                == SHA256.hash(
                    bytes("consilium dataset v1") + [0, 0, 0, 0, 0, 0, 0, 1] + row.bytes))
    }
}
