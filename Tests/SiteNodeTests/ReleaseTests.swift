// Versions that a node accepts, and those that it does not.

import AuditLog
import Codec
import Cryptography
import Messages
import ModelPackage
import Study
import Telemetry
import Testing

@testable import SiteNode

@Suite struct ReleaseTests {
    let node: TestNode
    let plan: Plan

    init() throws {
        node = try TestNode()
        plan = try TestNode.plan()
        try node.agree(plan)
    }

    @Test func aGoodVersionIsMeasuredHereAndInstalledOnce() throws {
        let package = try node.package(plan)
        try node.release(package)
        #expect(node.installed.count == 1 && node.verdicts.map(\.accepted) == [true])
        #expect((node.installed.first?.metrics["rows"] ?? 0) > 5)
        #expect(node.entries.count { $0.entry.type == .packageVerified } == 1)
        // Announced again at every connection: said again, done once. After a restart as well.
        try node.release(package)
        try node.restart()
        try node.release(package)
        #expect(node.installed.count == 1 && node.verdicts.map(\.accepted) == [true, true, true])
        #expect(node.entries.count { $0.entry.type == .packageVerified } == 1)
    }

    @Test func aVersionSignedBySomebodyElseIsRefused() throws {
        try node.release(node.package(plan, key: SigningKey.generate(random: node.random)))
        expectRefused("package.invalid")
    }

    @Test func aVersionForAnotherPlanIsRefused() throws {
        try node.release(node.package(plan, planHash: SHA256.hash([7])))
        expectRefused("package.other")
    }

    @Test func aVersionThatIsNotTheOneAnnouncedIsRefused() throws {
        try node.release(node.package(plan), as: SHA256.hash([7]))
        expectRefused("package.other")
    }

    @Test func aVersionUnderAnotherNumberIsRefused() throws {
        try node.release(node.package(plan, version: 1), version: 2)
        expectRefused("package.other")
    }

    @Test func everyTamperedFileIsRefused() throws {
        let good = try node.package(plan)
        for name in good.files.keys.sorted() {
            for position in [0, 40, (good.files[name]?.count ?? 1) - 1] {
                var files = good.files
                files[name]?[position] ^= 1
                let node = try TestNode()
                try node.agree(plan)
                try node.release(PackageContents(files: files))
                #expect(node.installed.isEmpty && node.verdicts.map(\.accepted) == [false], "\(name) at \(position)")
            }
            var files = good.files
            files[name] = nil
            let node = try TestNode()
            try node.agree(plan)
            try node.release(good, bundle: PackageContents(files: files).bundle())
            #expect(node.installed.isEmpty && node.verdicts.map(\.accepted) == [false], "without \(name)")
        }
    }

    @Test func aTruncatedBundleIsRefused() throws {
        let good = try node.package(plan)
        let bytes = good.bundle()
        for count in [0, 1, 18, 100, bytes.count / 2, bytes.count - 1] {
            let node = try TestNode()
            try node.agree(plan)
            try node.release(good, bundle: Array(bytes.prefix(count)))
            #expect(node.installed.isEmpty && node.verdicts.map(\.code) == ["package.invalid"], "\(count) bytes")
        }
    }

    @Test func aRefusalIsKeptAndNothingOfTheRowsIsSaid() throws {
        let package = try node.package(plan, key: SigningKey.generate(random: node.random))
        try node.release(package)
        try node.restart()
        try node.release(package)
        #expect(node.verdicts.map(\.accepted) == [false, false])
        #expect(node.entries.count { $0.entry.type == .packageRefused } == 1)
    }

    @Test func aVersionThatMissesTheSitesGatesIsRefused() throws {
        let node = try TestNode()
        var plan = plan
        // Its 24 or so rows are fewer than the 80 that the gates of the whole federation want.
        plan.deployment.siteGates = plan.gates
        try node.agree(plan)
        try node.release(node.package(plan))
        #expect(node.verdicts.map(\.code) == ["package.site-gates"] && node.verdicts.map(\.accepted) == [false])
        // It is kept, with what it misses and by how much, and announced again it is the same.
        let kept = try #require(node.installed.first)
        #expect(!kept.evaluation.passed && kept.evaluation.findings.count == plan.gates.count)
        let finding = try #require(kept.evaluation.findings.first { $0.gate == "rows" })
        #expect(!finding.passed && (finding.missedBy ?? 0) > 0)
        #expect(node.entries.last?.entry.details["reason"]?.stringValue?.contains("rows is") == true)
        try node.release(node.package(plan))
        #expect(node.installed.count == 1)
        #expect(!kept.rules.allowsOverride && kept.rules.needsEvaluation && kept.rules.plan == plan.hash)
    }

    /// Rows of patients who came later are used only as far as the consent says, also for the local intercept.
    @Test(arguments: [true, false]) func feedbackRowsAreReadOnlyWithConsent(_ includes: Bool) throws {
        let node = try TestNode()
        try node.hear(.planOffer(plan: plan.canonicalBytes))
        try node.consent(.init(sitesMin: 3, acceptsNoDifferentialPrivacy: true, includesFeedbackRows: includes))
        _ = try node.openRound(plan)
        try node.release(node.package(plan))
        #expect(node.installed.count == 1)
        #expect(node.rows.reads.withLock { $0 }.allSatisfy { $0 == includes })
    }

    private func expectRefused(_ code: String) {
        #expect(node.installed.isEmpty)
        #expect(node.verdicts.map(\.code) == [code] && node.verdicts.map(\.accepted) == [false])
        #expect(node.entries.last?.entry.type == .packageRefused)
    }
}
