// The numbers of a plan: local work, server step, cohort.

import Codec
import Cryptography
import Models

/// Rounds and local work.
package struct TrainingPlan: Equatable, Sendable {
    /// Training rounds of a run, 1 to 1,000.
    package var rounds: Int
    /// What each site does in a round.
    package var local: LocalTraining
    /// What the coordinator does with the mean update.
    package var server: ServerOptimizer
    /// Bound B of each coordinate of an update: a site clamps to ±B before it is encoded.
    package var updateBound: Double
    /// Seed of the initial parameters and of the order of rows, so that a run can be repeated.
    package var seed: Int

    init(_ source: JSONFields) throws(FieldError) {
        var fields = source
        rounds = try fields.integer("rounds", in: 1...1000)
        local = try LocalTraining(json: fields.value("local") ?? .null, path: "training.local")
        server = try ServerOptimizer(json: fields.value("server") ?? .null, path: "training.server")
        updateBound = try fields.optionalNumber("updateBound", in: 1e-6...1024) ?? 4
        seed = try fields.optionalInteger("seed", in: 0...Int(Int32.max)) ?? 1
        try fields.finish()
    }

    /// What the first model of every run is drawn from.
    package var initialSeed: [UInt8] { SHA256.hash(Array("consilium/initial/v1/\(seed)".utf8)).bytes }

    var json: JSONValue {
        [
            "rounds": .integer(Int64(rounds)), "local": local.json, "server": server.json,
            "updateBound": .number(updateBound), "seed": .integer(Int64(seed)),
        ]
    }
}

/// Which sites a round needs and how long it waits for them.
package struct CohortPlan: Equatable, Sendable {
    /// Sites that must be in every secure sum, at least 3.
    package var sitesMin: Int
    /// Most sites of a cohort.
    package var sitesMax: Int
    /// Sites assumed to collude with the coordinator, at least 1.
    package var colluders: Int
    /// Most rows that count for one site; the weight bound W_max of the secure sum.
    package var rowsPerSiteMax: Int
    /// Seconds that the coordinator waits for a protocol message.
    package var messageSeconds: Int
    /// Seconds that it waits for the masked update, which follows the local training.
    package var trainingSeconds: Int
    /// Attempts per round before the run fails.
    package var attempts: Int

    init(_ source: JSONFields?) throws(FieldError) {
        guard var fields = source else {
            self.init()
            return
        }
        self.init()
        sitesMin = try fields.optionalInteger("sitesMin", in: 3...1024) ?? sitesMin
        sitesMax = try fields.optionalInteger("sitesMax", in: 3...1024) ?? sitesMax
        colluders = try fields.optionalInteger("colluders", in: 1...512) ?? colluders
        rowsPerSiteMax =
            try fields.optionalInteger("rowsPerSiteMax", in: 1...100_000_000) ?? rowsPerSiteMax
        messageSeconds =
            try fields.optionalInteger("messageSeconds", in: 1...3600) ?? messageSeconds
        trainingSeconds =
            try fields.optionalInteger("trainingSeconds", in: 1...86_400) ?? trainingSeconds
        attempts = try fields.optionalInteger("attempts", in: 1...5) ?? attempts
        try fields.finish()
    }

    init() {
        (sitesMin, sitesMax, colluders, rowsPerSiteMax) = (3, 64, 1, 100_000)
        (messageSeconds, trainingSeconds, attempts) = (20, 600, 2)
    }

    var json: JSONValue {
        [
            "sitesMin": .integer(Int64(sitesMin)), "sitesMax": .integer(Int64(sitesMax)),
            "colluders": .integer(Int64(colluders)),
            "rowsPerSiteMax": .integer(Int64(rowsPerSiteMax)),
            "messageSeconds": .integer(Int64(messageSeconds)),
            "trainingSeconds": .integer(Int64(trainingSeconds)),
            "attempts": .integer(Int64(attempts)),
        ]
    }
}
