// What a site's people ask of and do with the privacy ledger over HTTPS.

import Codec
import Cryptography
import DifferentialPrivacy
import Serving

extension NodeService {
    func privacyJSON() -> JSONValue {
        var object = core.state.ledger.json.objectValue ?? [:]
        object["behind"] = .bool(core.state.isLedgerBehind)
        object["lastRefusal"] = core.state.privacyRefusal.map {
            ["code": .string($0.code), "sentence": .string($0.sentence), "time": .string($0.time.iso8601)]
        } ?? .null
        object["budgetKeys"] = .array(core.policy.budgetKeys.map { .string(Hex.encode($0.bytes)) })
        return .object(object)
    }

    func setBudget(_ body: [UInt8], _ principal: Principal) throws -> JSONValue {
        var fields = try JSONFields(try JSONValue.parse(body, dialect: .strict), path: "")
        let change = try BudgetChange(&fields)
        let approvals = try fields.array("approvals", maxCount: 16).map { try BudgetApproval(JSONFields($0, path: "approvals")) }
        try fields.finish()
        try perform(core.setBudget(change, approvals: approvals, by: principal.identifier, at: clock.now()))
        return privacyJSON()
    }
}
