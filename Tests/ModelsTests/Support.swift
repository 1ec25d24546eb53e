import Glibc
import Kernels
import Models
import Tabular

/// Folder of the public datasets, or nil with a printed line when it is not there.
func dataFolder(_ test: String = #function) -> String? {
    let named = unsafe getenv("CONSILIUM_DATA").map { unsafe String(cString: $0) }
    let root = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined()
    for folder in [named, "\(root)/../shared/data"].compactMap({ $0 }) {
        if unsafe access("\(folder)/README.md", R_OK) == 0 { return folder }
    }
    print("SKIPPED \(test): no datasets found (set CONSILIUM_DATA)")
    return nil
}

/// Rows of a known logistic model: uniform inputs in ±2, labels drawn with the model's probability.
func drawn(rows: Int, coefficients: [Float], intercept: Float, seed: UInt64) throws -> FeatureMatrix
{
    var generator = SeededGenerator(seed: seed)
    var (values, labels): ([Float], [Float]) = ([], [])
    for _ in 0..<rows {
        let row = coefficients.map { _ in 4 * generator.unitFloat() - 2 }
        let z = zip(row, coefficients).reduce(intercept) { $0 + $1.0 * $1.1 }
        values += row
        labels.append(generator.unitFloat() < 1 / (1 + expf(-z)) ? 1 : 0)
    }
    return try FeatureMatrix(
        rows: rows, columns: coefficients.count, values: values, labels: labels)
}

/// A federation in one process: the arithmetic of rounds without the protocol around it.
struct Federation {
    let family: ModelFamily
    let local: LocalTraining
    var server = ServerOptimizer.fedAvg(learningRate: 1)
    let sites: [(train: FeatureMatrix, test: FeatureMatrix)]
    private(set) var parameters: ModelParameters
    private var state = ServerOptimizer.State()
    private(set) var largestUpdate: Float = 0

    init(
        _ family: ModelFamily, _ local: LocalTraining,
        _ sites: [(train: FeatureMatrix, test: FeatureMatrix)], seed: UInt8 = 1
    ) {
        self.family = family
        self.local = local
        self.sites = sites
        parameters = ModelParameters(family: family, inputs: sites[0].train.columns, seed: [seed])
    }

    mutating func run(rounds: Int, seed: UInt64 = 1) throws {
        let total = Float(sites.reduce(0) { $0 + $1.train.rows })
        for round in 0..<rounds {
            var mean = [Float](repeating: 0, count: parameters.count)
            for (index, site) in sites.enumerated() {
                let result = try local.train(
                    parameters, family: family, on: site.train,
                    seed: seed &* 1_000_003 &+ UInt64(round * 64 + index))
                let update = result.update(from: parameters)
                largestUpdate = max(largestUpdate, update.map(abs).max() ?? 0)
                for position in mean.indices {
                    mean[position] += Float(result.examples) / total * update[position]
                }
            }
            let next = try server.apply(
                previous: parameters.flattened, meanUpdate: mean, state: &state)
            parameters = try parameters.replacing(next)
        }
    }

    /// Scores and labels of every site's test rows, each with the site's own intercept where the family has one.
    func scored() throws -> [(scores: [Float], labels: [Float])] {
        try sites.map { site in
            let intercept =
                family.perSiteIntercept
                ? try SiteIntercept.fit(parameters, family: family, on: site.train) : 0
            return (
                try predict(parameters, family: family, site.test, localIntercept: intercept),
                site.test.labels
            )
        }
    }

    /// All test rows together.
    func pooled() throws -> (scores: [Float], labels: [Float]) {
        let scored = try scored()
        return (scored.flatMap(\.scores), scored.flatMap(\.labels))
    }
}

/// Preprocesses sites as a statistics round would: row-weighted means over the training rows.
func prepared(_ tables: [(table: Table, rows: SplitRows)], schema: Schema) throws -> [(
    train: FeatureMatrix, test: FeatureMatrix
)] {
    let trains = tables.map { $0.table.subset($0.rows.train) }
    let total = trains.reduce(0) { $0 + $1.rowCount }
    var means = [Double](repeating: 0, count: SiteStatistics.layout(schema).count)
    for train in trains {
        for (index, value) in SiteStatistics.encode(train).enumerated() {
            means[index] += value * Double(train.rowCount) / Double(total)
        }
    }
    let statistics = try SiteStatistics.decode(
        weightedMeans: means, totalRows: total, schema: schema)
    let preprocessor = try Preprocessor(schema: schema, statistics: statistics)
    return try zip(tables, trains).map { pair, train in
        (
            try preprocessor.transform(train),
            try preprocessor.transform(pair.table.subset(pair.rows.test))
        )
    }
}

/// Whether a metric is there and within `tolerance` of `expected`.
func near(_ value: Double?, _ expected: Double?, _ tolerance: Double) -> Bool {
    guard let value, let expected else { return false }
    return abs(value - expected) <= tolerance
}
