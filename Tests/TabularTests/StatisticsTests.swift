import Tabular
import Testing

@Suite struct StatisticsTests {
    private func close(_ left: Double, _ right: Double, _ tolerance: Double = 1e-9) -> Bool {
        abs(left - right) <= tolerance * max(1, abs(right))
    }

    @Test func laysSlotsOutInOrder() {
        #expect(
            SiteStatistics.layout(clinic).map(\.name) == [
                "age mean", "age mean square", "age missing share", "sex=f share", "sex=m share",
                "sex missing share",
                "pain=1 share", "pain=2 share", "pain=3 share", "pain=4 share",
                "pain missing share",
                "chol mean", "chol mean square", "chol missing share",
                "ecg=normal share", "ecg=st share", "ecg=hypertrophy share", "ecg missing share",
                "fbs=0 share", "fbs=1 share", "fbs missing share", "label share",
            ])
    }

    @Test func encodesBoundedMeans() throws {
        let table = try clinicDataset("0,m,1,700,st,1,0\n120,f,?,0,st,?,1\n").table
        #expect(
            SiteStatistics.encode(table) == [
                0, 1, 0, 0.5, 0.5, 0, 0.5, 0, 0, 0, 0.5, 0.5, 0.5, 0.5, 0, 1, 0, 0, 0, 0.5, 0.5,
                0.5,
            ])
        #expect(SiteStatistics.encode(Table(schema: clinic)) == [Double](repeating: 0, count: 22))
    }

    /// The federation's figures equal those of all rows in one place.
    @Test func sumsToThePooledStatistics() throws {
        var numbers = SeededNumbers(51)
        var pooled = ""
        var weighted = [Double](repeating: 0, count: 22)
        var total = 0
        for count in [3, 200, 41] {
            let rows = (0..<count).map { _ in
                let chol = ["?", "0", "\(Int.random(in: 100...400, using: &numbers))"]
                    .randomElement(using: &numbers)!
                return
                    "\(Int.random(in: 20...90, using: &numbers)),\(["m", "f"].randomElement(using: &numbers)!),"
                    + "\(["1", "2", "3", "4", "?"].randomElement(using: &numbers)!),\(chol),st,\(["0", "1", ""].randomElement(using: &numbers)!),"
                    + "\(Int.random(in: 0...4, using: &numbers))\n"
            }.joined()
            pooled += rows
            let vector = SiteStatistics.encode(try clinicDataset(rows).table)
            #expect(vector.allSatisfy { (-1...1).contains($0) })
            for index in vector.indices { weighted[index] += vector[index] * Double(count) }
            total += count
        }
        let found = try SiteStatistics.decode(
            weightedMeans: weighted.map { $0 / Double(total) }, totalRows: total, schema: clinic)
        let table = try clinicDataset(pooled).table
        #expect(found.rowCount == 244 && close(found.labelShare, Double(table.positiveCount) / 244))
        for (index, feature) in clinic.features.enumerated() where feature.codes == nil {
            let observed = table.columns[index].filter { !$0.isNaN }
            let mean = observed.reduce(0, +) / Double(observed.count)
            let variance =
                observed.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(observed.count)
            #expect(close(found.features[index].mean, mean))
            #expect(close(found.features[index].variance, variance, 1e-7))
            #expect(close(found.features[index].missingShare, Double(244 - observed.count) / 244))
        }
        for (index, feature) in clinic.features.enumerated() {
            for category in (feature.codes ?? []).indices {
                let count = table.columns[index].count { $0 == Double(category) }
                #expect(close(found.features[index].categoryShares[category], Double(count) / 244))
            }
        }
    }

    @Test func flagsWhatWasNeverObserved() throws {
        let statistics = try GlobalStatistics(
            of: clinicDataset("50,m,1,?,st,1,0\n60,m,1,0,st,1,1\n").table)
        let chol = statistics.features[3]
        #expect(
            chol.neverObserved && chol.mean == 350 && chol.variance == 1 && chol.missingShare == 1)
        #expect(!statistics.features[0].neverObserved)
    }

    @Test func flagsConstantsInsteadOfDividingByZero() throws {
        let statistics = try GlobalStatistics(
            of: clinicDataset("63,m,1,233,st,1,0\n63,m,1,234,st,1,1\n").table)
        #expect(
            statistics.features[0].isConstant && statistics.features[0].variance > 0
                && close(statistics.features[0].mean, 63))
        #expect(!statistics.features[3].isConstant)
        #expect(statistics.features[1].isConstant && statistics.features[1].mostFrequent == 1)
    }

    /// Fixed-point rounding and noise push values a little over their bounds; that must stay harmless.
    @Test func toleratesNoise() throws {
        var numbers = SeededNumbers(52)
        let exact = SiteStatistics.encode(
            try clinicDataset("120,m,1,?,st,1,0\n120,m,1,?,st,1,0\n").table)
        for _ in 0..<500 {
            let noisy = exact.map { $0 + Double.random(in: -0.05...0.05, using: &numbers) }
            let statistics = try SiteStatistics.decode(
                weightedMeans: noisy, totalRows: 2, schema: clinic)
            for (feature, known) in zip(clinic.features, statistics.features) {
                #expect(
                    known.variance > 0 && known.variance.isFinite
                        && (0...1).contains(known.missingShare))
                if case .numeric(_, let range, _) = feature.kind {
                    #expect(range.contains(known.mean))
                }
            }
            #expect((0...1).contains(statistics.labelShare))
        }
    }

    @Test func refusesVectorsOfTheWrongShape() {
        let zeros = [Double](repeating: 0, count: 22)
        func decode(_ vector: [Double], _ rows: Int) -> TabularError? {
            failure {
                _ = try SiteStatistics.decode(
                    weightedMeans: vector, totalRows: rows, schema: clinic)
            }
        }
        #expect(decode(zeros, 10) == nil)
        #expect(decode(Array(zeros.dropLast()), 10) != nil)
        #expect(decode(zeros + [0], 10) != nil)
        #expect(decode(Array(zeros.dropLast()) + [.nan], 10) != nil)
        #expect(decode(Array(zeros.dropLast()) + [.infinity], 10) != nil)
        #expect(decode(zeros, 0) != nil)
        #expect(failure { _ = try GlobalStatistics(of: Table(schema: clinic)) } == .noRows)
    }
}
