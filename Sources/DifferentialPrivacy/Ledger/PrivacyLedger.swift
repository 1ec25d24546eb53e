// The ledger of what a site has spent: one record a line, canonical JSON, each with the SHA-256 of the line before.
// This is the fold over those lines; the node writes a line and makes it durable before it acts.
//
//     {"attempt":0,…,"previous":"00…","sequence":1,"state":"reserved",…,"time":1764000000000}
//
// `protocol/differential-privacy.md` §5.

import Codec
import Cryptography

/// Everything that was spent, by dataset, unit and study, and where the chain stands.
package struct PrivacyLedger: Sendable {
    /// Datasets of one ledger.
    package static let datasetsMax = 1_000
    /// Bytes of one line.
    package static let lineBytesMax = 16 << 10
    /// Records of one ledger.
    package static let recordsMax = 10_000_000

    /// Keys of the operators of whom two must sign a higher budget: held against what is appended. What was written before
    /// is only held against its own signatures, as operators come and go.
    package var operators: [[UInt8]]
    /// Milliseconds since 1970 of the last record.
    package private(set) var time: Int64 = 0
    private(set) var datasets: [String: (protectedUnits: Int, parallelTo: Set<String>)] = [:]
    private(set) var budgets: [Account: PrivacyBudget] = [:]
    private(set) var spending: [Payer: Spending] = [:]
    private(set) var exactResults: [Payer: Int] = [:]
    private var charges: [Int: ChargeState] = [:]
    private var attempts: [Attempt: Int] = [:]
    private var hashes: [Digest] = []

    /// A budget's key.
    struct Account: Hashable {
        var dataset: String
        var unit: PrivacyUnit
    }

    /// Who spent.
    struct Payer: Hashable {
        var account: Account
        var study: String
    }

    struct Spending {
        var cost = ChargedDivergences.zero
        /// Steps by mechanism, for privacy loss distributions.
        var steps: [PrivacyEvent.Mechanism: Int] = [:]
        var charges = 0
    }

    private struct Attempt: Hashable {
        var task: String
        var round: Int
        var attempt: Int
    }

    /// How far a charge has come. All three count as spent for ever.
    package enum ChargeState: String, Sendable {
        /// Nothing has left yet.
        case reserved
        /// Something may have left.
        case sent
        /// Over.
        case closed
    }

    /// An empty ledger.
    ///
    /// - Parameter operators: Ed25519 keys of the site's operators.
    package init(operators: [[UInt8]] = []) { self.operators = operators }

    /// The fold over all lines.
    ///
    /// - Parameter lines: without their newlines.
    /// - Throws: `PrivacyRefusal`: `privacy.ledger-chain` where a line does not follow from the one before,
    ///   `privacy.ledger-record` where it says what cannot be; the line's number stands in the sentence.
    package init(lines: [[UInt8]], operators: [[UInt8]] = []) throws(PrivacyRefusal) {
        self.init(operators: operators)
        for line in lines { try take(line) }
    }

    /// The ledger of a file, and how many of its bytes are whole lines: a last line without newline was never acted on.
    ///
    /// - Throws: as `init(lines:operators:)`.
    package static func read(_ bytes: [UInt8], operators: [[UInt8]] = []) throws(PrivacyRefusal)
        -> (ledger: PrivacyLedger, wholeBytes: Int)
    {
        var ledger = PrivacyLedger(operators: operators)
        var start = 0
        while let end = bytes[start...].firstIndex(of: 0x0a) {
            try ledger.take(Array(bytes[start..<end]))
            start = end + 1
        }
        return (ledger, start)
    }

    /// Where the ledger stands: what a site says of it in each round.
    package var head: LedgerPosition { position(hashes.count) ?? .empty }

    /// The position after a number of records; nil beyond the end.
    func position(_ sequence: Int) -> LedgerPosition? {
        if sequence == 0 { return .empty }
        guard hashes.indices.contains(sequence - 1) else { return nil }
        return LedgerPosition(sequence: sequence, hash: Array(hashes[sequence - 1].bytes.prefix(LedgerPosition.hashBytes)))
    }

    /// Whether a dataset was declared.
    package func knows(dataset: String) -> Bool { datasets[dataset] != nil }

    /// The state of a charge by its record's number.
    package func state(ofCharge sequence: Int) -> ChargeState? { charges[sequence] }

    /// The number of the record that reserved for an attempt of a round; nil when none did. A node that comes back after a
    /// crash goes on with it as long as its state is `reserved`.
    package func charge(task: String, round: Int, attempt: Int) -> Int? {
        attempts[Attempt(task: task, round: round, attempt: attempt)]
    }

    /// Appends a record. The line, newline included, must be durable before anything that it stands for happens.
    ///
    /// - Parameter time: milliseconds since 1970, not before the last record's.
    /// - Returns: the line's bytes.
    /// - Throws: `PrivacyRefusal`; the ledger is then unchanged.
    package mutating func append(_ entry: LedgerEntry, time: Int64) throws(PrivacyRefusal) -> [UInt8] {
        try append(entry, time: time, signers: operators)
    }

    /// - Parameter signers: keys whose signatures count under a higher budget.
    private mutating func append(_ entry: LedgerEntry, time: Int64, signers: [[UInt8]]) throws(PrivacyRefusal) -> [UInt8] {
        let line = encodedLine(entry, time: time)
        try apply(entry, time: time, signers)
        hashes.append(SHA256.hash(line))
        self.time = time
        return line + [0x0a]
    }

    /// Reserves what an event costs, and tells its record's number. Does not look at the budget: see `check(_:)`.
    ///
    /// - Throws: `PrivacyRefusal` (`privacy.dataset`, `privacy.already-charged`, `privacy.ledger-clock`).
    package mutating func reserve(_ charge: PrivacyCharge, time: Int64) throws(PrivacyRefusal) -> (line: [UInt8], charge: Int) {
        let cost = RenyiAccountant([charge.event]).total
        let line = try append(.reserved(charge, ChargedDivergences(cost)), time: time)
        return (line, hashes.count)
    }

    /// The next record's line without its newline.
    package func encodedLine(_ entry: LedgerEntry, time: Int64) -> [UInt8] {
        var fields = entry.fields
        fields["sequence"] = .integer(Int64(hashes.count + 1))
        fields["previous"] = .string(hashes.last?.hex ?? String(repeating: "0", count: 64))
        fields["time"] = .integer(time)
        return JSONValue.object(fields).canonicalBytes()
    }

    /// Takes the next line of a ledger that was written before.
    ///
    /// - Parameter line: without its newline.
    /// - Throws: as `init(lines:operators:)`.
    package mutating func take(_ line: [UInt8]) throws(PrivacyRefusal) {
        let number = hashes.count + 1
        let (entry, time): (LedgerEntry, Int64)
        let previous: String
        do {
            guard line.count <= PrivacyLedger.lineBytesMax else { throw FieldError(path: "", problem: "is too long") }
            var fields = try JSONFields(JSONValue.parse(line, dialect: .strict), path: "")
            previous = try fields.string("previous")
            time = Int64(try fields.integer("time", in: 0...1 << 53))
            guard try fields.integer("sequence", in: 1...PrivacyLedger.recordsMax) == number else {
                throw PrivacyRefusal(.ledgerChain, "record \(number) of the privacy ledger carries another number; restore the whole file from where it was last")
            }
            entry = try LedgerEntry(&fields)
            try fields.finish()
        } catch let refusal as PrivacyRefusal { throw refusal } catch {
            throw PrivacyRefusal(.ledgerRecord, "record \(number) of the privacy ledger cannot be read: \(error)")
        }
        guard previous == hashes.last?.hex ?? String(repeating: "0", count: 64), line == encodedLine(entry, time: time) else {
            throw PrivacyRefusal(.ledgerChain, "record \(number) of the privacy ledger does not follow from the one before it: the file was changed; restore it from where it was last whole")
        }
        var signers: [[UInt8]] = []
        if case .budget(_, let approvals) = entry { signers = approvals.map(\.key) }
        do { _ = try append(entry, time: time, signers: signers) } catch {
            throw PrivacyRefusal(.ledgerRecord, "record \(number) of the privacy ledger contradicts earlier ones: \(error.sentence)")
        }
    }

    private mutating func apply(_ entry: LedgerEntry, time: Int64, _ signers: [[UInt8]]) throws(PrivacyRefusal) {
        guard time >= self.time else {
            throw PrivacyRefusal(.ledgerClock, "the clock is \(self.time - time) ms before the privacy ledger's last record; set it right")
        }
        guard hashes.count < PrivacyLedger.recordsMax else { throw PrivacyRefusal(.ledgerRecord, "the ledger is full") }
        switch entry {
        case .dataset(let name, let units, let parallel): try declare(name, units, parallel)
        case .budget(let change, let approvals): try set(change, approvals, signers)
        case .reserved(let charge, let cost): try reserve(charge, cost)
        case .sent(let charge): try move(charge, from: [.reserved], to: .sent)
        case .closed(let charge): try move(charge, from: [.reserved, .sent], to: .closed)
        case .outside(let dataset, let study, let task, _):
            for (what, name) in [("study", study), ("task", task)] { try checkName(what, name) }
            try known(dataset)
            exactResults[Payer(account: Account(dataset: dataset, unit: .record), study: study), default: 0] += 1
        }
    }

    private func known(_ dataset: String) throws(PrivacyRefusal) {
        guard datasets[dataset] != nil else {
            throw PrivacyRefusal(.dataset, "the dataset is not in the privacy ledger; declare it first, with the number of units it protects")
        }
    }

    private mutating func declare(_ name: String, _ units: Int, _ parallel: [String]) throws(PrivacyRefusal) {
        try checkName("dataset", name)
        guard datasets[name] == nil else { throw PrivacyRefusal(.dataset, "a dataset is declared once; give another population another name") }
        guard datasets.count < PrivacyLedger.datasetsMax else { throw PrivacyRefusal(.dataset, "a ledger holds at most \(PrivacyLedger.datasetsMax) datasets") }
        for other in parallel { try known(other) }
        guard parallel == Set(parallel).sorted(), units >= 1 else {
            throw PrivacyRefusal(.dataset, "parallel datasets are listed once each, sorted, and a dataset protects at least one unit")
        }
        datasets[name] = (units, Set(parallel))
    }

    private mutating func set(_ change: BudgetChange, _ approvals: [BudgetApproval], _ keys: [[UInt8]]) throws(PrivacyRefusal) {
        try known(change.dataset)
        let account = Account(dataset: change.dataset, unit: change.unit)
        try checkDelta(change)
        guard change.budget.epsilon <= PrivacyBudget.epsilonWithoutException || change.isException else {
            throw PrivacyRefusal(.budgetChange, "a budget above ε \(sentenceNumber(PrivacyBudget.epsilonWithoutException)) has to be called an exception, by two operators")
        }
        let isLooser = budgets[account].map { change.budget.epsilon > $0.epsilon || change.budget.delta > $0.delta } ?? false
        if isLooser || change.isException {
            let bytes = change.signedBytes(after: head)
            let signers = Set(approvals.filter { approval in
                keys.contains(approval.key)
                    && (VerifyingKey(bytes: approval.key)?.isValid(approval.signature, for: bytes) ?? false)
            }.map(\.key))
            guard signers.count >= 2 else {
                throw PrivacyRefusal(.budgetChange, "a budget is raised by two operators, each with a signature of their own; \(signers.count) valid")
            }
        }
        budgets[account] = change.budget
    }

    private func checkDelta(_ change: BudgetChange) throws(PrivacyRefusal) {
        let units = change.unit == .site ? 1 : datasets[change.dataset]?.protectedUnits ?? 1
        let most = PrivacyBudget.deltaMax(protectedUnits: units)
        guard change.budget.delta <= most else {
            throw PrivacyRefusal(.delta, "delta of a budget must be at most min(1e-5, 1/(10 N)) = \(ecmaScript(most)) for the N protected units of this dataset")
        }
    }

    private mutating func reserve(_ charge: PrivacyCharge, _ cost: ChargedDivergences) throws(PrivacyRefusal) {
        try known(charge.dataset)
        let attempt = Attempt(task: charge.task, round: charge.round, attempt: charge.attempt)
        guard attempts[attempt] == nil else {
            throw PrivacyRefusal(.alreadyCharged, "attempt \(charge.attempt) of round \(charge.round) was charged before: go on with that charge, or count another attempt")
        }
        attempts[attempt] = hashes.count + 1
        charges[hashes.count + 1] = .reserved
        let payer = Payer(account: Account(dataset: charge.dataset, unit: charge.unit), study: charge.study)
        spending[payer, default: Spending()].cost += cost
        spending[payer, default: Spending()].steps[charge.event.single, default: 0] += charge.event.steps
        spending[payer, default: Spending()].charges += 1
    }

    private mutating func move(_ charge: Int, from: Set<ChargeState>, to state: ChargeState) throws(PrivacyRefusal) {
        guard let old = charges[charge], from.contains(old) else {
            throw PrivacyRefusal(.ledgerRecord, "record \(charge) is no charge that can become \(state.rawValue) now")
        }
        charges[charge] = state
    }
}
