// How a released version gets into service at a site: `deployment.rollout` of a plan. `protocol/plan.md` §2.
//
// The object may be left out, and then is absent from the canonical form: plans that were agreed on before it existed keep
// their hash.

import Codec

/// What must be true of a version, and who must agree, before it answers.
package struct RolloutPlan: Equatable, Sendable {
    /// People who must approve a version, none of them its submitter: 0, 1 or, for four eyes, 2.
    package var approvals: Int
    /// Hours for which an approval holds.
    package var approvalHours: Int
    /// Largest gaps between the groups of a sensitive feature on the site's own held-out rows.
    package var groupGaps: [GroupGap]
    /// How much worse than the live version a new one may be on the same rows.
    package var notWorseThanLive: [LiveBound]
    /// Steps by which a version takes over; nil: at once.
    package var canary: CanaryPlan?

    /// The rollout of a plan that says nothing about it.
    package init() {
        (approvals, approvalHours) = (0, 72)
        (groupGaps, notWorseThanLive, canary) = ([], [], nil)
    }

    /// Reads the object; also from the text that a log entry holds.
    package init(_ source: JSONFields) throws {
        self.init()
        var fields = source
        approvals = try fields.optionalInteger("approvals", in: 0...2) ?? approvals
        approvalHours = try fields.optionalInteger("approvalHours", in: 1...8760) ?? approvalHours
        groupGaps = try RolloutPlan.list(&fields, "groupGaps", GroupGap.init)
        notWorseThanLive = try RolloutPlan.list(&fields, "notWorseThanLive", LiveBound.init)
        canary = try fields.optionalFields("canary").map(CanaryPlan.init)
        try fields.finish()
    }

    private static let boundsMax = 16

    private static func list<Bound>(
        _ fields: inout JSONFields, _ key: String, _ read: (inout JSONFields) throws -> Bound
    ) throws -> [Bound] {
        try (fields.optionalArray(key, maxCount: boundsMax) ?? []).enumerated().map { index, value in
            var item = try JSONFields(value, path: "\(fields.path).\(key)[\(index)]")
            let bound = try read(&item)
            try item.finish()
            return bound
        }
    }

    /// The form that plans carry.
    package var json: JSONValue {
        var object: [String: JSONValue] = [
            "approvals": .integer(Int64(approvals)), "approvalHours": .integer(Int64(approvalHours)),
            "groupGaps": .array(groupGaps.map(\.json)),
            "notWorseThanLive": .array(notWorseThanLive.map(\.json)),
        ]
        if let canary { object["canary"] = canary.json }
        return .object(object)
    }
}

/// A bound on the gap between groups of a sensitive feature.
package struct GroupGap: Equatable, Sendable {
    /// What is compared between groups.
    package enum Metric: String, Sendable, CaseIterable {
        /// Area under the ROC curve.
        case auc
        /// Share of right decisions.
        case accuracy
        /// Share decided positive: demographic parity.
        case selectionRate
        /// Share of the positive rows decided positive: equal opportunity.
        case truePositiveRate
        /// Share of the negative rows decided positive.
        case falsePositiveRate
    }

    /// What is compared.
    package var metric: Metric
    /// Largest value minus smallest value, at most.
    package var atMost: Double
    /// Groups with fewer rows are left out.
    package var rowsMin: Int

    init(_ fields: inout JSONFields) throws {
        metric = try fields.word("metric")
        atMost = try fields.number("atMost", in: 0...1)
        rowsMin = try fields.optionalInteger("rowsMin", in: 1...1_000_000) ?? 20
    }

    var json: JSONValue {
        ["metric": .string(metric.rawValue), "atMost": .number(atMost), "rowsMin": .integer(Int64(rowsMin))]
    }
}

/// A bound on how much worse than the live version a new one may be.
package struct LiveBound: Equatable, Sendable {
    /// Metrics with a better direction.
    package enum Metric: String, Sendable, CaseIterable {
        case auc, accuracy, logLoss, brier

        /// How much worse `new` is than `live`; negative when it is better.
        func loss(new: Double, live: Double) -> Double {
            switch self {
            case .auc, .accuracy: live - new
            case .logLoss, .brier: new - live
            }
        }
    }

    /// What is compared.
    package var metric: Metric
    /// δ: worse by this much still passes.
    package var by: Double

    init(_ fields: inout JSONFields) throws {
        metric = try fields.word("metric")
        by = try fields.number("by", in: 0...1)
    }

    var json: JSONValue { ["metric": .string(metric.rawValue), "by": .number(by)] }
}

extension JSONFields {
    /// One word of a closed list.
    mutating func word<Word: RawRepresentable & CaseIterable>(_ key: String) throws(FieldError) -> Word
    where Word.RawValue == String {
        guard let word = Word(rawValue: try string(key, maxBytes: 64)) else {
            throw FieldError(
                path: "\(path).\(key)", problem: "must be one of \(Word.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return word
    }
}
