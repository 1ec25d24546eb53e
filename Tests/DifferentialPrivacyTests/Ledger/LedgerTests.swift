import Codec
import Cryptography
import Testing

@testable import DifferentialPrivacy

@Suite("Privacy ledger")
struct LedgerTests {
    private func charge(
        _ dataset: String = "heart", unit: PrivacyUnit = .record, study: String = "first", round: Int = 1, attempt: Int = 0,
        q: Double = 0.1, sigma: Double = 1.5, steps: Int = 10
    ) throws -> PrivacyCharge {
        try PrivacyCharge(
            dataset: dataset, unit: unit, study: study, task: study + "/1/training", round: round, attempt: attempt,
            context: SHA256.hash(Array("\(study) \(round) \(attempt)".utf8)), mode: .recordLocal, clippingNorm: 1,
            event: .poissonGaussian(samplingRate: q, noiseMultiplier: sigma, steps: steps))
    }

    /// A ledger with one dataset of 10,000 and a budget, and its lines.
    private func opened(epsilon: Double = 3) throws -> (ledger: PrivacyLedger, file: [UInt8]) {
        var ledger = PrivacyLedger()
        var file = try ledger.append(.dataset("heart", protectedUnits: 10_000, parallelTo: []), time: 1000)
        let budget = try PrivacyBudget(epsilon: epsilon, delta: 1e-5)
        file += try ledger.append(.budget(BudgetChange(dataset: "heart", unit: .record, budget: budget), approvals: []), time: 1000)
        return (ledger, file)
    }

    private func code(_ body: () throws -> Void) -> PrivacyRefusal.Code? {
        do {
            try body()
            return nil
        } catch { return (error as? PrivacyRefusal)?.code }
    }

    @Test("two studies spend one budget, restart included, and the third is refused with the sum spelled out")
    func twoStudies() throws {
        var (ledger, file) = try opened()
        for study in ["first", "second"] {
            let charge = try charge(study: study, steps: 20)
            try ledger.check(charge)
            let reserved = try ledger.reserve(charge, time: 2000)
            file += reserved.line
            file += try ledger.append(.sent(charge: reserved.charge), time: 2000)
            file += try ledger.append(.closed(charge: reserved.charge), time: 2000)
        }
        let third = try charge(study: "third", steps: 60)
        func refusal(_ ledger: PrivacyLedger) -> PrivacyRefusal? {
            do throws(PrivacyRefusal) {
                try ledger.check(third)
                return nil
            } catch { return error }
        }
        let first = try #require(refusal(ledger))
        #expect(first.code == .budget)
        for part in ["study first", "study second", "this charge of study third", "the budget is 3.000 at δ 0.00001", "Nothing was sent"] {
            #expect(first.sentence.contains(part), "\(first.sentence)")
        }
        let restarted = try PrivacyLedger.read(file)
        #expect(restarted.wholeBytes == file.count && restarted.ledger.head == ledger.head)
        #expect(refusal(restarted.ledger) == first)
        #expect(restarted.ledger.accounts() == ledger.accounts())
    }

    @Test("reserved and sent count as much as closed; what is projected is what is then spent")
    func statesCount() throws {
        var (ledger, _) = try opened()
        let charge = try charge()
        let projected = ledger.projectedEpsilon(dataset: "heart", unit: .record, adding: charge.event)
        let number = try ledger.reserve(charge, time: 3000).charge
        #expect(ledger.account(dataset: "heart", unit: .record).spent == projected)
        _ = try ledger.append(.sent(charge: number), time: 3000)
        #expect(ledger.account(dataset: "heart", unit: .record).spent == projected && ledger.state(ofCharge: number) == .sent)
        _ = try ledger.append(.closed(charge: number), time: 3000)
        #expect(ledger.account(dataset: "heart", unit: .record).spent == projected)
        // Never below what the accountant says, and hardly above.
        let exact = try RenyiAccountant([charge.event]).total.epsilon(delta: 1e-5).value
        #expect(projected >= exact && projected < exact * (1 + 1e-7))
        #expect(ledger.events(dataset: "heart", unit: .record) == [charge.event])
    }

    @Test("a charge moves forward once, and an attempt is charged once")
    func statesMoveForward() throws {
        var (ledger, _) = try opened()
        let number = try ledger.reserve(try charge(), time: 3000).charge
        #expect(ledger.charge(task: "first/1/training", round: 1, attempt: 0) == number)
        let before = ledger.head
        #expect(code { _ = try ledger.reserve(try charge(), time: 3000) } == .alreadyCharged)
        _ = try ledger.reserve(try charge(attempt: 1), time: 3000)
        _ = try ledger.append(.closed(charge: number), time: 3000)
        #expect(code { _ = try ledger.append(.sent(charge: number), time: 3000) } == .ledgerRecord)
        #expect(code { _ = try ledger.append(.sent(charge: 1), time: 3000) } == .ledgerRecord)
        #expect(code { _ = try ledger.append(.sent(charge: 99), time: 3000) } == .ledgerRecord)
        #expect(before.sequence == 3 && ledger.head.sequence == 5)
    }

    @Test("a clock that goes back is refused, and nothing changes")
    func clock() throws {
        var (ledger, _) = try opened()
        let head = ledger.head
        #expect(code { _ = try ledger.reserve(try charge(), time: 999) } == .ledgerClock)
        #expect(ledger.head == head && ledger.accounts().allSatisfy { $0.spent == 0 })
    }

    @Test("every changed byte of the file is found")
    func changedBytes() throws {
        var (ledger, file) = try opened()
        file += try ledger.reserve(try charge(), time: 3000).line
        file += try ledger.append(.sent(charge: 3), time: 3000)
        file += try ledger.append(.closed(charge: 3), time: 3000)
        let ends = file.indices.filter { file[$0] == 0x0a }
        let start = ends[3] + 1
        // The last line has no successor to vouch for it: there only the form and the head that peers keep help.
        for index in stride(from: 0, to: start, by: 37) {
            var changed = file
            changed[index] ^= 1
            let read = try? PrivacyLedger.read(changed)
            #expect(read == nil, "byte \(index)")
        }
        for index in start..<file.count - 1 {
            var changed = file
            changed[index] ^= 1
            guard let read = try? PrivacyLedger.read(changed) else { continue }
            #expect(code { try read.ledger.check(remembered: [ledger.head]) } != nil, "byte \(index)")
        }
    }

    @Test("lines left out, swapped, repeated or of another form are named by number")
    func brokenChains() throws {
        var (ledger, file) = try opened()
        file += try ledger.reserve(try charge(), time: 3000).line
        let lines = file.split(separator: 0x0a).map(Array.init)
        #expect(code { _ = try PrivacyLedger(lines: [lines[0], lines[2]]) } == .ledgerChain)
        #expect(code { _ = try PrivacyLedger(lines: [lines[1], lines[0]]) } == .ledgerChain)
        #expect(code { _ = try PrivacyLedger(lines: [lines[0], lines[0]]) } == .ledgerChain)
        #expect(code { _ = try PrivacyLedger(lines: [lines[0] + [0x20]]) } == .ledgerChain)
        #expect(code { _ = try PrivacyLedger(lines: [Array("{}".utf8)]) } == .ledgerRecord)
        #expect(code { _ = try PrivacyLedger(lines: [Array("[".utf8)]) } == .ledgerRecord)
        do {
            _ = try PrivacyLedger(lines: [lines[0], lines[2]])
        } catch { #expect(error.sentence.contains("record 2")) }
    }

    @Test("a torn last line is told from whole ones")
    func tornLine() throws {
        var (ledger, file) = try opened()
        let whole = file.count
        file += try ledger.reserve(try charge(), time: 3000).line.dropLast(5)
        let read = try PrivacyLedger.read(file)
        #expect(read.wholeBytes == whole && read.ledger.head.sequence == 2)
    }

    @Test("yesterday's copy is refused by what peers remember, and so is a ledger that went on from it")
    func restoredCopy() throws {
        var (ledger, file) = try opened()
        let yesterday = try PrivacyLedger.read(file).ledger
        let reserved = try ledger.reserve(try charge(), time: 3000)
        file += reserved.line
        try ledger.check(remembered: [.empty, yesterday.head, ledger.head])
        #expect(code { try yesterday.check(remembered: [ledger.head]) } == .ledgerBehind)
        var forked = yesterday
        _ = try forked.reserve(try charge(study: "other"), time: 3000)
        #expect(code { try forked.check(remembered: [ledger.head]) } == .ledgerFork)
        _ = try forked.reserve(try charge(study: "other", round: 2), time: 3000)
        #expect(code { try forked.check(remembered: [yesterday.head, ledger.head]) } == .ledgerFork)
        try forked.check(remembered: [])
        #expect(ledger.head.bytes.count == 32 && ledger.head.bytes.prefix(8) == [0, 0, 0, 0, 0, 0, 0, 3])
    }

    @Test("datasets share their units unless declared parallel; a person's guarantee counts for the row, not the reverse")
    func sharing() throws {
        var (ledger, _) = try opened(epsilon: 1)
        _ = try ledger.append(.dataset("heart-2", protectedUnits: 500, parallelTo: []), time: 1000)
        _ = try ledger.append(.dataset("lungs", protectedUnits: 500, parallelTo: ["heart", "heart-2"]), time: 1000)
        for name in ["heart-2", "lungs"] {
            let budget = try PrivacyBudget(epsilon: 8, delta: 1e-5)
            _ = try ledger.append(.budget(BudgetChange(dataset: name, unit: .record, budget: budget), approvals: []), time: 1000)
        }
        let person = try PrivacyBudget(epsilon: 8, delta: 1e-5)
        _ = try ledger.append(.budget(BudgetChange(dataset: "lungs", unit: .subject, budget: person), approvals: []), time: 1000)
        let large = { (name: String, unit: PrivacyUnit) in try charge(name, unit: unit, study: name, round: unit == .record ? 1 : 2, steps: 60) }
        // Its own budget would allow it; the older dataset's, which may hold the same rows, does not.
        #expect(code { try ledger.check(large("heart-2", .record)) } == .budget)
        try ledger.check(large("lungs", .record))
        _ = try ledger.reserve(large("lungs", .subject), time: 1000)
        #expect(ledger.account(dataset: "lungs", unit: .record).spent > 1)
        #expect(ledger.account(dataset: "heart", unit: .record).spent == 0)
        _ = try ledger.reserve(large("lungs", .record), time: 1000)
        let subject = ledger.account(dataset: "lungs", unit: .subject)
        #expect(subject.spent < ledger.account(dataset: "lungs", unit: .record).spent && subject.studies.count == 1)
    }

    @Test("what was never declared or budgeted cannot be spent")
    func unknown() throws {
        var (ledger, _) = try opened()
        #expect(code { try ledger.check(try charge("lungs")) } == .dataset)
        #expect(code { _ = try ledger.reserve(try charge("lungs"), time: 2000) } == .dataset)
        #expect(code { try ledger.check(try charge(unit: .subject)) } == .noBudget)
        #expect(code { _ = try ledger.append(.dataset("heart", protectedUnits: 9, parallelTo: []), time: 2000) } == .dataset)
        #expect(code { _ = try ledger.append(.dataset("x", protectedUnits: 9, parallelTo: ["y"]), time: 2000) } == .dataset)
        #expect(code { _ = try ledger.append(.outside(dataset: "z", study: "a", task: "b", round: 1), time: 2000) } == .dataset)
        _ = try ledger.append(.outside(dataset: "heart", study: "a", task: "b", round: 1), time: 2000)
    }

    @Test("a budget is raised by two operators, lowered by anybody, and keeps the δ rule")
    func budgets() throws {
        let keys = (0..<3).map { SigningKey.generate(random: SeededRandom(seed: UInt64($0))) }
        var ledger = PrivacyLedger(operators: keys.prefix(2).map { $0.publicKey.bytes })
        var file = try ledger.append(.dataset("bank", protectedUnits: 10_000_000, parallelTo: []), time: 1)
        func change(_ epsilon: Double, _ delta: Double = 1e-8, exception: Bool = false) throws -> BudgetChange {
            BudgetChange(dataset: "bank", unit: .record, budget: try PrivacyBudget(epsilon: epsilon, delta: delta), isException: exception)
        }
        func approvals(_ change: BudgetChange, _ signers: [SigningKey]) -> [BudgetApproval] {
            signers.map { BudgetApproval(key: $0.publicKey.bytes, signature: $0.sign(change.signedBytes(after: ledger.head))) }
        }
        #expect(code { _ = try ledger.append(.budget(try change(3, 1e-6), approvals: []), time: 1) } == .delta)
        file += try ledger.append(.budget(try change(3), approvals: []), time: 1)
        let higher = try change(8)
        for signers in [[], [keys[0]], [keys[0], keys[0]], [keys[0], keys[2]]] {
            #expect(code { _ = try ledger.append(.budget(higher, approvals: approvals(higher, signers)), time: 1) } == .budgetChange)
        }
        let old = approvals(higher, [keys[0], keys[1]])
        file += try ledger.append(.budget(higher, approvals: old), time: 1)
        file += try ledger.append(.budget(try change(1), approvals: []), time: 1)
        // Signatures are good for one place in the ledger.
        #expect(code { _ = try ledger.append(.budget(higher, approvals: old), time: 1) } == .budgetChange)
        let exception = try change(20, exception: true)
        #expect(code { _ = try ledger.append(.budget(try change(20), approvals: approvals(try change(20), [keys[0], keys[1]])), time: 1) } == .budgetChange)
        file += try ledger.append(.budget(exception, approvals: approvals(exception, [keys[0], keys[1]])), time: 1)
        #expect(try PrivacyLedger.read(file, operators: ledger.operators).ledger.head == ledger.head)
        // Operators come and go: what two of them signed then stands, and what one signed does not.
        #expect(try PrivacyLedger.read(file).ledger.head == ledger.head)
        var alone = try PrivacyLedger.read(file).ledger
        let next = try change(30, exception: true)
        let line = alone.encodedLine(.budget(next, approvals: approvals(next, [keys[0]])), time: 2)
        #expect(code { try alone.take(line) } == .ledgerRecord)
        #expect(PrivacyBudget.deltaMax(protectedUnits: 920) == 1e-5 && PrivacyBudget.deltaMax(protectedUnits: 10_000_000) == 1e-8)
    }

    @Test("divergences are whole numbers, rounded up, that stop where they bound nothing")
    func charged() throws {
        let curve = try RenyiAccountant([.poissonGaussian(samplingRate: 0.01, noiseMultiplier: 0.3, steps: 1000)]).total
        let charged = ChargedDivergences(curve)
        for (exact, kept) in zip(curve.divergences, charged.curve.divergences) {
            #expect(kept >= exact && (kept == .infinity || kept <= exact * (1 + 2e-9) + 2e-12))
        }
        var sum = charged
        sum += charged
        for (one, two) in zip(charged.units, sum.units) { #expect(two == min(2 * one, ChargedDivergences.unbounded)) }
        #expect(charged.units.last == ChargedDivergences.unbounded)
        #expect(ChargedDivergences(units: [1, 2, 3]) == nil)
    }

    @Test("noise of many sites keeps its numbers in a record")
    func distributedCharge() throws {
        var (ledger, file) = try opened()
        let noise = try DistributedDiscreteGaussian(localDeviation: 5000.25, parties: 4, l2Sensitivity: 9000.5, dimension: 61)
        let charge = try PrivacyCharge(
            dataset: "heart", unit: .record, study: "s", task: "t", round: 7, attempt: 2, context: SHA256.hash([]),
            mode: .recordDistributed, clippingNorm: 0.75, event: PrivacyEvent(noise: .distributed(noise), samplingRate: 0.1, steps: 1))
        file += try ledger.reserve(charge, time: 5000).line
        let read = try PrivacyLedger.read(file).ledger
        #expect(read.events(dataset: "heart", unit: .record) == [charge.event] && read.accounts() == ledger.accounts())
    }

    @Test("ten thousand rounds fold to their sum")
    func manyRounds() throws {
        let count = samplingIsLong ? 10_000 : 50
        var (ledger, file) = try opened(epsilon: 10)
        for round in 1...count { file += try ledger.reserve(try charge(round: round, q: 0.001, sigma: 2, steps: 1), time: 1000).line }
        let read = try PrivacyLedger.read(file).ledger
        let spent = read.account(dataset: "heart", unit: .record).spent
        let exact = try RenyiAccountant([.poissonGaussian(samplingRate: 0.001, noiseMultiplier: 2, steps: count)]).total.epsilon(delta: 1e-5).value
        #expect(spent >= exact && spent < exact * 1.001)
    }
}

@Suite("Terms of a round against the approved plan")
struct GuaranteeTermsTests {
    private let approved = GuaranteeTerms(
        mode: .recordDistributed, unit: .record, samplingRate: 0.1, noiseMultiplier: 1.5, clippingNorm: 1, honestSites: 3, delta: 1e-6)

    private func code(_ terms: GuaranteeTerms, units: Int = 1000, poisson: Bool = true, secure: Bool = true) -> PrivacyRefusal.Code? {
        do throws(PrivacyRefusal) {
            try terms.check(against: approved, protectedUnits: units, samplesByPoisson: poisson, usesSecureAggregation: secure)
            return nil
        } catch { return error.code }
    }

    @Test("as approved, or stronger, passes")
    func passes() {
        #expect(code(approved) == nil)
        var stronger = approved
        stronger.noiseMultiplier = 2
        stronger.samplingRate = 0.01
        stronger.clippingNorm = 0.5
        stronger.honestSites = 4
        stronger.delta = 1e-7
        stronger.unit = .subject
        #expect(code(stronger) == nil)
    }

    @Test("each thing that is weaker is refused by its own code")
    func weaker() {
        func changed(_ change: (inout GuaranteeTerms) -> Void) -> GuaranteeTerms {
            var terms = approved
            change(&terms)
            return terms
        }
        #expect(code(changed { $0.mode = .recordLocal }) == .mode)
        #expect(code(changed { $0.samplingRate = 0.11 }) == .samplingRate)
        #expect(code(changed { $0.noiseMultiplier = 1.4 }) == .noise)
        #expect(code(changed { $0.clippingNorm = 1.1 }) == .clippingNorm)
        #expect(code(changed { $0.honestSites = 2 }) == .honestSites)
        #expect(code(changed { $0.delta = 1e-5 }) == .delta)
        #expect(code(approved, units: 1_000_000) == .delta)
        #expect(code(approved, poisson: false) == .sampler)
        #expect(code(approved, secure: false) == .secureAggregation)
        #expect(code(approved, units: 9) == .expectedBatch)
        #expect(code(changed { $0.noiseMultiplier = .nan }) == .noise)
        #expect(code(changed { $0.samplingRate = .nan }) == .samplingRate)
    }

    @Test("a sum with too few honest noise shares is refused")
    func survivors() throws {
        try approved.checkSurvivors(4, colluders: 1)
        #expect(throws: PrivacyRefusal.self) { try approved.checkSurvivors(3, colluders: 1) }
        var local = approved
        local.mode = .recordLocal
        try local.checkSurvivors(1, colluders: 1)
    }
}
