// What the log says about a run: its rounds, who took part, what came out.

import AuditLog
import Codec
import Cryptography
import Study
import Telemetry

/// A run as the log tells it.
package struct RunHistory: Sendable {
    /// How a run stands.
    package enum Status: String, Sendable {
        case running
        /// Released a version.
        case released
        /// Finished, but a gate was missed.
        case gatesMissed = "gates-missed"
        /// Ended without a model.
        case failed
    }

    /// One secure round, one attempt.
    package struct Round: Sendable {
        package var number: UInt64
        package var kind: String
        package var step: Int
        package var attempt: Int
        package var invited: [String]
        package var started: Timestamp
        package var ended: Timestamp?
        /// Sites whose vectors are in the sum.
        package var participants: [String] = []
        package var totalWeight: Int64?
        /// Mean training loss before the round's step, by rows.
        package var loss: Double?
        /// Share of update coordinates that hit the bound.
        package var clipped: Double?
        package var sumDigest: String?
        package var abortCode: String?
        package var metrics: [String: Double] = [:]
    }

    package let identifier: String
    package let study: String
    package let planHash: Digest
    package let sites: [String]
    package let started: Timestamp
    package internal(set) var ended: Timestamp?
    package internal(set) var status: Status = .running
    package internal(set) var reason: String?
    package internal(set) var rounds: [Round] = []
    package internal(set) var metrics: [String: Double] = [:]
    package internal(set) var gates: [JSONValue] = []
    package internal(set) var version: Int?
    /// What the run says about the rows behind it, once it is over; null without differential privacy.
    package internal(set) var privacy: JSONValue = .null

    init(identifier: String, study: String, planHash: Digest, sites: [String], started: Timestamp) {
        self.identifier = identifier
        self.study = study
        self.planHash = planHash
        self.sites = sites
        self.started = started
    }

    mutating func apply(_ type: EntryType, _ details: EntryDetails, at time: Timestamp) throws {
        switch type {
        case .roundStart:
            rounds.append(
                Round(
                    number: UInt64(try details.integer("number")), kind: try details.text("kind"),
                    step: Int(try details.integer("step")), attempt: Int(try details.integer("attempt")),
                    invited: try details.texts("sites"), started: time))
        case .roundCompleted:
            try change(details) { round in
                round.ended = time
                round.participants = try details.texts("participants")
                round.totalWeight = try details.integer("weight")
                round.loss = details.value("loss")?.stringValue.flatMap(Double.init)
                round.clipped = details.value("clipped")?.stringValue.flatMap(Double.init)
                round.sumDigest = try details.text("sum")
            }
        case .roundAborted:
            try change(details) { round in
                round.ended = time
                round.abortCode = try details.text("code")
            }
        case .evaluationCompleted:
            let values = try details.decimals("metrics")
            try change(details) { $0.metrics = values }
            if !(try details.flag("curve")) { metrics = values }
        case .gatesChecked:
            gates = details.value("gates")?.arrayValue ?? []
        case .runCompleted, .runAborted:
            ended = time
            status = Status(rawValue: try details.text("status")) ?? .failed
            reason = details.value("reason")?.stringValue
            privacy = details.value("privacy") ?? .null
        default: break
        }
    }

    private mutating func change(_ details: EntryDetails, _ body: (inout Round) throws -> Void) throws {
        let number = UInt64(try details.integer("number"))
        guard let position = rounds.lastIndex(where: { $0.number == number }) else {
            throw CoordinatorError.corrupt("result of an unknown round")
        }
        try body(&rounds[position])
    }

    /// For the operator's interface and the report.
    package var json: JSONValue {
        [
            "run": .string(identifier), "study": .string(study), "plan": .string(planHash.hex),
            "status": .string(status.rawValue), "reason": reason.map { .string($0) } ?? .null,
            "sites": .array(sites.map { .string($0) }), "started": .string(started.iso8601),
            "ended": ended.map { .string($0.iso8601) } ?? .null,
            "metrics": .object(metrics.mapValues { .number($0) }), "gates": .array(gates),
            "version": version.map { .integer(Int64($0)) } ?? .null, "privacy": privacy,
            "rounds": .array(rounds.map(\.json)),
        ]
    }
}

extension RunHistory.Round {
    var json: JSONValue {
        [
            "number": .integer(Int64(number)), "kind": .string(kind), "step": .integer(Int64(step)),
            "attempt": .integer(Int64(attempt)), "invited": .array(invited.map { .string($0) }),
            "participants": .array(participants.map { .string($0) }),
            "started": .string(started.iso8601), "ended": ended.map { .string($0.iso8601) } ?? .null,
            "milliseconds": ended.map { .integer($0.milliseconds - started.milliseconds) } ?? .null,
            "rows": totalWeight.map { .integer($0) } ?? .null, "loss": loss.map { .number($0) } ?? .null,
            "clipped": clipped.map { .number($0) } ?? .null, "sum": sumDigest.map { .string($0) } ?? .null,
            "abort": abortCode.map { .string($0) } ?? .null,
            "metrics": .object(metrics.mapValues { .number($0) }),
        ]
    }
}
