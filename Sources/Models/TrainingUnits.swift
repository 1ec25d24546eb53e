import Cryptography
import DifferentialPrivacy
import Kernels

/// Which rows belong to one subject, so that a patient with many rows is sampled, clipped and protected as one.
package struct TrainingUnits: Equatable, Sendable {
    /// Rows of each unit, ascending; units in order of their first rows.
    package let rows: [[Int]]

    /// Groups rows by subject.
    ///
    /// - Parameter keys: one a row; rows of equal keys are one unit.
    package init<Key: Hashable>(keys: [Key]) {
        var position: [Key: Int] = [:]
        var rows: [[Int]] = []
        for (row, subject) in keys.enumerated() {
            if let known = position[subject] {
                rows[known].append(row)
            } else {
                position[subject] = rows.count
                rows.append([row])
            }
        }
        self.rows = rows
    }

    /// Rows of all units.
    var rowCount: Int { rows.reduce(0) { $0 + $1.count } }
}

/// Poisson batches of units, handed to the sum of clipped gradients.
struct UnitBatches: ~Copyable {
    private let units: TrainingUnits?
    private let count: Int
    private let sampler: PoissonSampler
    private var stream: NoiseStream
    private var batch: [Int] = []

    init(_ units: TrainingUnits?, rows: Int, samplingRate: Double, random: any RandomSource) {
        self.units = units
        count = units?.rows.count ?? rows
        sampler = PoissonSampler(samplingRate: samplingRate)
        stream = NoiseStream(purpose: "batch", random: random)
    }

    /// Draws the next batch and adds its units' gradients.
    mutating func addNext(to gradients: inout ClippedGradients, _ matrix: FeatureMatrix, _ network: Network) {
        sampler.draw(units: count, into: &batch, &stream)
        guard let units else { return gradients.add(rows: batch, of: matrix, network) }
        let single = batch.compactMap { units.rows[$0].count == 1 ? units.rows[$0][0] : nil }
        gradients.add(rows: single, of: matrix, network)
        for unit in batch where units.rows[unit].count > 1 {
            gradients.add(unit: units.rows[unit], of: matrix, network)
        }
    }
}
