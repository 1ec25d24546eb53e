import Testing

@testable import Simulation

/// Short forms of `Tests/audit-privacy`.
@Suite struct PrivacyAuditTests {
    @Test func aCanaryShowsNoMoreThanThePlanReports() throws {
        let finding = try PrivacyAudit(runs: 16, seed: 3).run()
        #expect(finding.lowerBound < finding.reported && finding.reported < 3 && finding.judged == 8)
    }

    @Test func theAuditSeesWhatScoresTell() {
        let audit = PrivacyAudit(runs: 200, seed: 1)
        // As without noise: two thresholds apart.
        let apart = audit.finding(with: (0..<100).map { 1 + Double($0 % 7) / 100 }, without: [Double](repeating: 0, count: 100), reported: 3)
        #expect(apart.lowerBound > 2.5 && apart.recognised.with == 50 && apart.recognised.without == 50)
        // The same scores on both sides tell nothing.
        let same = (0..<100).map { Double($0 * 7919 % 100) }
        #expect(audit.finding(with: same, without: same, reported: 3).lowerBound < 0.5)
    }

    @Test func confidenceBoundsAreTheBook() {
        // No hit in n: the upper bound solves (1 − p)ⁿ = error.
        #expect(abs(ClopperPearson.upper(0, of: 250, error: 0.025) - (1 - 0.025.root(250))) < 1e-9)
        #expect(ClopperPearson.lower(0, of: 10, error: 0.025) == 0 && ClopperPearson.upper(10, of: 10, error: 0.025) == 1)
        // Clopper and Pearson's own table: 5 of 10, 95 %.
        #expect(abs(ClopperPearson.lower(5, of: 10, error: 0.025) - 0.1871) < 1e-4)
        #expect(abs(ClopperPearson.upper(5, of: 10, error: 0.025) - 0.8129) < 1e-4)
    }
}

extension Double {
    /// The n-th root, by bisection.
    fileprivate func root(_ n: Int) -> Double {
        var (low, high) = (0.0, 1.0)
        for _ in 0..<80 {
            let middle = (low + high) / 2
            var power = 1.0
            for _ in 0..<n { power *= middle }
            if power < self { low = middle } else { high = middle }
        }
        return low
    }
}
