// What a site has spent, and who may let it spend more. `protocol/differential-privacy.md` §4 and §5.

import Codec
import Cryptography
import DifferentialPrivacy
import Simulation
import Storage

let privacyLedgerCommands: [Command] = [
    Command(
        words: ["privacy", "status"], summary: "what a site's rows have cost in ε and what is left, by dataset, unit and study",
        options: [nodeDirectory]
    ) { invocation in try status(invocation) },
    Command(
        words: ["privacy", "budget", "key"], summary: "make an operator's key for changes of privacy budgets",
        options: [.required("output", "FILE", "where the private key goes; it stays with this one person")]
    ) { invocation in try makeKey(invocation) },
    Command(
        words: ["privacy", "budget", "sign"], summary: "sign a higher privacy budget: two operators do, each with a key of their own",
        options: [nodeDirectory] + budgetChange + [.required("key-file", "FILE", "the operator's private key")]
    ) { invocation in try signBudget(invocation) },
    Command(
        words: ["privacy", "budget", "set"], summary: "set the privacy budget of a dataset: lower at once, higher with two signatures",
        options: [nodeDirectory] + budgetChange + [.repeated("approval", "TEXT", "what `privacy budget sign` printed")]
    ) { invocation in try setBudget(invocation) },
]

private let nodeDirectory = Option.required("dir", "DIR", "the node's directory; the node has to run")
private let budgetChange: [Option] = [
    .required("dataset", "HASH", "the dataset's fingerprint, or its first digits, at least 8: see `privacy status`"),
    .value("unit", "UNIT", "record, subject or site (default record)"),
    .required("epsilon", "E", "ε that all studies together may spend"),
    .value("delta", "D", "δ (default: as it is)"),
    .flag("exception", "an ε above 10, which the signers call an exception"),
]

private func status(_ invocation: Invocation) throws {
    let answer = try RunningProcess.node(try invocation.require("dir")).call("GET", "/v1/node/privacy", timeoutSeconds: 60)
    Output(invocation).answer(answer, PrivacyText.status(answer))
}

private enum PrivacyText {
    static func status(_ answer: JSONValue) -> String {
        let accounts = answer["accounts"]?.arrayValue ?? []
        var lines: [String] = []
        for account in accounts {
            func text(_ key: String) -> String { account[key]?.stringValue ?? "none" }
            lines.append("Dataset \(text("dataset").prefix(16)), unit \(text("unit")), \(account["protectedUnits"]?.intValue ?? 0) rows")
            lines.append("  spent ε \(text("spent")) of \(text("budget")) at δ \(text("delta")), left \(text("left"))\(account["pld"]?.stringValue.map { "; ε \($0) by privacy loss distributions" } ?? "")")
            for study in account["studies"]?.arrayValue ?? [] {
                lines.append("  study \(study["study"]?.stringValue ?? ""): ε \(study["alone"]?.stringValue ?? "") on its own, \(study["charges"]?.intValue ?? 0) charges")
            }
            for study in account["outside"]?.arrayValue ?? [] {
                lines.append("  study \(study["study"]?.stringValue ?? ""): \(study["results"]?.intValue ?? 0) exact results outside the guarantee (statistics, evaluations)")
            }
        }
        if accounts.isEmpty { lines.append("Nothing was ever spent: no consent to a plan with differential privacy.") }
        lines.append("Ledger: \(answer["sequence"]?.intValue ?? 0) records")
        if let refusal = answer["lastRefusal"], refusal != .null {
            lines.append("Last round refused, \(refusal["time"]?.stringValue ?? ""): \(refusal["code"]?.stringValue ?? ""): \(refusal["sentence"]?.stringValue ?? "")")
        }
        if answer["behind"]?.boolValue ?? false {
            lines.append("REFUSED: the federation has seen a later ledger of this site: an older copy of its directory was restored. What was spent since is spent. Restore the latest copy.")
        }
        return lines.joined(separator: "\n")
    }
}

private func makeKey(_ invocation: Invocation) throws {
    let path = try invocation.require("output")
    guard !DurableFile.exists(path) else { throw Failure(.cannotCreate, "exists", "\(path) is there already; a key is not overwritten") }
    let key = SigningKey.generate(random: SystemRandom.shared)
    try KeyFile.write(key.pem(), to: path)
    let text = Hex.encode(key.publicKey.bytes)
    Output(invocation).answer(["publicKey": .string(text), "file": .string(path)], "\(text)\nPut this public key under budgetKeys in the policy.json5 of the node and restart it.")
}

/// The change that the options ask for, and the ledger's head that a signature is good for.
private func change(_ invocation: Invocation) throws -> (change: BudgetChange, head: LedgerPosition) {
    let ledger = try RunningProcess.node(try invocation.require("dir")).call("GET", "/v1/node/privacy", timeoutSeconds: 60)
    let prefix = try invocation.require("dataset").lowercased()
    let word = invocation["unit"] ?? "record"
    guard let unit = PrivacyUnit(rawValue: word) else { throw Failure(.usage, "usage", "--unit must be record, subject or site") }
    let names = Set((ledger["accounts"]?.arrayValue ?? []).compactMap { $0["dataset"]?.stringValue }.filter { prefix.utf8.count >= 8 && $0.hasPrefix(prefix) })
    guard let dataset = names.first, names.count == 1 else {
        throw Failure(.usage, "usage", "--dataset must be at least 8 first digits of one dataset of `consilium privacy status`")
    }
    let account = (ledger["accounts"]?.arrayValue ?? []).first { $0["dataset"]?.stringValue == dataset && $0["unit"]?.stringValue == word }
    let epsilon = try number(invocation, "epsilon", in: PrivacyLimits.epsilon, "from 0.0001 to 10000")
    let delta: Double
    if invocation["delta"] != nil {
        delta = try number(invocation, "delta", in: PrivacyLimits.delta, "from 1e-20 to 0.5")
    } else if let known = account?["delta"]?.stringValue.flatMap(Double.init) {
        delta = known
    } else {
        throw Failure(.usage, "usage", "give --delta: the dataset has no budget for this unit yet")
    }
    guard let hash = ledger["hash"]?.stringValue.flatMap(Hex.decode), hash.count == LedgerPosition.hashBytes else {
        throw Failure(.protocol, "node", "the node's answer has no ledger head")
    }
    let budget = try PrivacyBudget(epsilon: epsilon, delta: delta)
    return (
        BudgetChange(dataset: dataset, unit: unit, budget: budget, isException: invocation.has("exception")),
        LedgerPosition(sequence: ledger["sequence"]?.intValue ?? 0, hash: hash)
    )
}

private func signBudget(_ invocation: Invocation) throws {
    let (change, head) = try change(invocation)
    let key = try SigningKey(pem: KeyFile.read(try invocation.require("key-file")))
    let approval = BudgetApproval(key: key.publicKey.bytes, signature: key.sign(change.signedBytes(after: head)))
    let text = Hex.encode(approval.key) + ":" + Hex.encode(approval.signature)
    Output(invocation).answer(
        ["approval": .string(text), "sequence": .integer(Int64(head.sequence))],
        "\(text)\nGood for ε \(ecmaScript(change.budget.epsilon)) after record \(head.sequence) of this ledger only: give it to `consilium privacy budget set` as --approval before the next round.")
}

private func setBudget(_ invocation: Invocation) throws {
    let change = try change(invocation).change
    let approvals = try invocation.all("approval").map { text -> BudgetApproval in
        let parts = text.split(separator: ":").compactMap { Hex.decode(String($0)) }
        guard parts.count == 2, parts[0].count == 32, parts[1].count == 64 else {
            throw Failure(.usage, "usage", "--approval must be a line that `consilium privacy budget sign` printed")
        }
        return BudgetApproval(key: parts[0], signature: parts[1])
    }
    let body = change.fields.merging(["approvals": .array(approvals.map(\.json))]) { own, _ in own }
    let answer = try RunningProcess.node(try invocation.require("dir"))
        .call("POST", "/v1/node/privacy/budget", body: JSONValue.object(body).canonicalBytes(), timeoutSeconds: 60)
    Output(invocation).answer(answer, PrivacyText.status(answer))
}
