import Cryptography
import Kernels
import Models
import Tabular
import Testing

/// Federated training on the public datasets, without the protocol: do the models reach the figures that the product
/// promises? Skipped with a printed line where the data is absent.
@Suite struct RealDataTests {
    static let hospitals = ["cleveland", "hungarian", "switzerland", "va"]

    static func heartSchema(flamby: Bool) -> Schema {
        func number(_ name: String, _ range: ClosedRange<Double>, _ codes: [String] = []) -> Feature
        {
            Feature(
                name: name,
                kind: .numeric(
                    unit: nil, range: flamby ? 0 - 5...range.upperBound : range, integer: false),
                missing: flamby ? .refuse : .impute, missingCodes: flamby ? [] : codes)
        }
        func category(_ name: String, _ codes: [String], indicator: Bool = false) -> Feature {
            Feature(
                name: name, kind: .categorical(categories: codes, dropFirst: flamby),
                missing: flamby ? .refuse : indicator ? .imputeWithIndicator : .impute)
        }
        func flag(_ name: String) -> Feature {
            Feature(
                name: name, kind: .binary(zero: "0", one: "1"), missing: flamby ? .refuse : .impute)
        }
        var features = [
            number("age", 18...110), flag("sex"), category("cp", ["1", "2", "3", "4"]),
            number("trestbps", 50...260, ["0"]),
            number("chol", 50...700, ["0"]), flag("fbs"), category("restecg", ["0", "1", "2"]),
            number("thalach", 40...250),
            flag("exang"), number("oldpeak", -5...10),
        ]
        if !flamby {
            var ca = number("ca", 0...9)
            ca.missing = .imputeWithIndicator
            features += [
                category("slope", ["1", "2", "3"], indicator: true), ca,
                category("thal", ["3", "6", "7"], indicator: true),
            ]
        }
        return Schema(
            features: features,
            label: Label(column: "num", positive: .greaterThan(0), range: 0...4), hasHeader: false,
            columns: [
                "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang",
                "oldpeak", "slope", "ca", "thal", "num",
            ],
            otherColumns: .ignore, rowFilter: flamby ? .complete : .all)
    }

    static func hearts(_ folder: String, split: Int) throws -> [(
        train: FeatureMatrix, test: FeatureMatrix
    )] {
        let schema = heartSchema(flamby: false)
        return try prepared(
            hospitals.map { site in
                let table = try Ingest.read(
                    .file("\(folder)/heart-disease/processed.\(site).data"), schema: schema
                ).table
                return (
                    table,
                    try table.split(
                        .rowNumberRule(datasetKey: "heart-disease/\(site)", split: split))
                )
            }, schema: schema)
    }

    /// Mean pooled AUC over splits 0 to 4.
    static func heartAUC(
        _ folder: String, _ family: ModelFamily, _ local: LocalTraining, rounds: Int
    ) throws -> Double {
        var total = 0.0
        var largest: Float = 0
        for split in 0..<5 {
            var federation = Federation(family, local, try hearts(folder, split: split))
            try federation.run(rounds: rounds)
            let pooled = try federation.pooled()
            total += try #require(Metrics.auc(pooled.scores, pooled.labels))
            largest = max(largest, federation.largestUpdate)
        }
        print(
            "heart disease, \(family), \(rounds) rounds: mean AUC \(total / 5), largest update coordinate \(largest)"
        )
        return total / 5
    }

    static let gentle = LocalTraining(
        optimizer: .sgd(learningRate: 0.1, momentum: 0), epochs: 2, batchSize: 32)
    static let brisk = LocalTraining(
        optimizer: .sgd(learningRate: 0.05, momentum: 0.9), epochs: 1, batchSize: 32)

    @Test func heartLogisticRegressionReachesItsFigure() throws {
        guard let folder = dataFolder() else { return }
        #expect(
            try Self.heartAUC(
                folder, .logisticRegression(l2: 0.01, perSiteIntercept: false), Self.gentle,
                rounds: 30) >= 0.876)
        #expect(
            try Self.heartAUC(
                folder, .logisticRegression(l2: 0.01, perSiteIntercept: true), Self.gentle,
                rounds: 15) >= 0.89)
    }

    @Test func heartPerceptronReachesItsFigure() throws {
        guard let folder = dataFolder() else { return }
        for own in [false, true] {
            let family = ModelFamily.perceptron(
                hidden: [16], output: .sigmoid, l2: 0.01, perSiteIntercept: own)
            #expect(try Self.heartAUC(folder, family, Self.brisk, rounds: 20) >= 0.86)
        }
    }

    @Test func flambyViewReachesItsFigure() throws {
        guard let folder = dataFolder() else { return }
        let schema = Self.heartSchema(flamby: true)
        let lists = try Self.rowLists("\(folder)/heart-disease/flamby-split.json")
        let sites = try prepared(
            Self.hospitals.map { site in
                let table = try Ingest.read(
                    .file("\(folder)/heart-disease/processed.\(site).data"), schema: schema
                ).table
                let list = try #require(lists[site])
                return (table, try table.split(.rowLists(train: list.train, test: list.test)))
            }, schema: schema)
        #expect(sites[0].train.columns == 13)
        #expect(sites.map(\.train.rows) == [199, 172, 30, 85])
        for own in [false, true] {
            var accuracies: [Double] = []
            for seed in 1...5 {
                var federation = Federation(
                    .logisticRegression(l2: 0.003, perSiteIntercept: own), Self.gentle, sites)
                try federation.run(rounds: 30, seed: UInt64(seed))
                let pooled = try federation.pooled()
                accuracies.append(try #require(Metrics.accuracy(pooled.scores, pooled.labels)))
            }
            print("FLamby view, own intercept \(own): accuracies \(accuracies)")
            if own { #expect(accuracies.allSatisfy { $0 >= 0.785 }) }
        }
    }

    @Test func taiwanPerceptronReachesItsFigureAndItsHistogramAgrees() throws {
        guard let folder = dataFolder() else { return }
        let schema = Self.creditSchema
        let table = try Ingest.read(
            .file("\(folder)/taiwan-credit-default/UCI_Credit_Card.csv"), schema: schema
        ).table
        let rows = try table.split(.rowNumberRule(datasetKey: "taiwan-credit-default", split: 0))
        func site(_ index: Int) -> Int {
            Int(SHA256.hash(Array(String(index + 1).utf8)).hex.prefix(8), radix: 16).map { $0 % 5 }
                ?? 0
        }
        let sites = try prepared(
            (0..<5).map { number in
                var rows = rows
                rows.train.removeAll { site($0) != number }
                rows.test.removeAll { site($0) != number }
                return (table, rows)
            }, schema: schema)
        var federation = Federation(
            .perceptron(hidden: [32], output: .sigmoid, l2: 0.001, perSiteIntercept: false),
            LocalTraining(
                optimizer: .sgd(learningRate: 0.05, momentum: 0.9), epochs: 1, batchSize: 64), sites
        )
        let clock = ContinuousClock()
        let rounds = 20
        let duration = try clock.measure { try federation.run(rounds: rounds) }
        let scored = try federation.scored()
        let (scores, labels) = (scored.flatMap(\.scores), scored.flatMap(\.labels))
        let exact = try #require(Metrics.auc(scores, labels))
        print(
            "Taiwan, \(sites[0].train.columns) columns, \(rounds) rounds: AUC \(exact) in \(duration), largest update \(federation.largestUpdate)"
        )
        #expect(exact >= 0.76)

        let layout = try EvaluationLayout(groups: ["even"])
        let histograms = try scored.map { site in
            try EvaluationHistogram(
                layout: layout, scores: site.scores, labels: site.labels,
                groups: [site.scores.indices.map { $0 % 2 == 0 }])
        }
        let summed = histograms.dropFirst().reduce(histograms[0], +)
        let means = layout.meanShares(of: histograms)
        let decoded = try EvaluationHistogram(layout: layout, meanShares: means, rows: scores.count)
        #expect(
            decoded.counts.prefix(2 * layout.bins + 2) == summed.counts.prefix(2 * layout.bins + 2))
        let metrics = decoded.metrics
        #expect(near(metrics.auc, exact, 0.001))
        #expect(metrics.accuracy == Metrics.accuracy(scores, labels))
        #expect(near(metrics.logLoss, Metrics.logLoss(scores, labels), 1e-4))
        #expect(near(metrics.brier, Metrics.brier(scores, labels), 1e-4))
        #expect(metrics.confusion == Metrics.confusion(scores, labels))
    }

    static var creditSchema: Schema {
        func number(_ name: String, _ range: ClosedRange<Double>) -> Feature {
            Feature(name: name, kind: .numeric(unit: nil, range: range, integer: true))
        }
        func category(_ name: String, _ range: ClosedRange<Int>) -> Feature {
            Feature(
                name: name, kind: .categorical(categories: range.map { "\($0)" }, dropFirst: false))
        }
        var features = [
            number("LIMIT_BAL", 0...2_000_000),
            Feature(name: "SEX", kind: .binary(zero: "1", one: "2"), sensitive: true),
            category("EDUCATION", 0...6), category("MARRIAGE", 0...3), number("AGE", 18...120),
        ]
        features += [0, 2, 3, 4, 5, 6].map { category("PAY_\($0)", -2...9) }
        features += (1...6).map { number("BILL_AMT\($0)", -1_000_000...2_000_000) }
        features += (1...6).map { number("PAY_AMT\($0)", 0...2_000_000) }
        return Schema(
            features: features,
            label: Label(
                column: "default.payment.next.month", positive: .equals(["1"]), negative: ["0"]),
            otherColumns: .ignore)
    }

    /// Reads `{"site": {"train": [..], "test": [..]}, ..}`: a scan for the numbers after each name.
    static func rowLists(_ path: String) throws -> [String: (train: [Int], test: [Int])] {
        var bytes: [UInt8] = []
        try DataSource.file(path).read { bytes += $0 }
        let text = String(decoding: bytes, as: UTF8.self)
        var lists: [String: (train: [Int], test: [Int])] = [:]
        for site in hospitals {
            let after = try #require(text.split(separator: "\"\(site)\"", maxSplits: 1).last)
            func list(_ name: String) throws -> [Int] {
                let start = try #require(after.split(separator: "\"\(name)\"", maxSplits: 1).last)
                    .drop { $0 != "[" }.dropFirst()
                return start.prefix { $0 != "]" }.split(separator: ",").compactMap {
                    Int($0.filter(\.isNumber))
                }
            }
            lists[site] = (try list("train"), try list("test"))
        }
        return lists
    }
}

extension EvaluationLayout {
    /// What a secure sum in 32-bit fixed point would give: the row-weighted mean of the shares, with its rounding.
    func meanShares(of sites: [EvaluationHistogram]) -> [Double] {
        let total = Double(sites.reduce(0) { $0 + $1.rows })
        var sum = [Double](repeating: 0, count: count)
        for site in sites {
            for (index, share) in site.shares.enumerated() {
                sum[index] += (share * 0x1p24).rounded() * Double(site.rows)
            }
        }
        return sum.map { $0 / 0x1p24 / total }
    }
}
