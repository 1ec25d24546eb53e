// Loops over rows of raw values, in front of `CKernels`: the checks and the scaling that every row of a request goes through.

import CKernels

/// Whether every number of every row lies within the bounds of its column; false when one is NaN.
/// - Parameters:
///   - rows: row-major, whole rows.
///   - lower: one bound for each column.
package func areWithin(_ rows: [Double], lower: [Double], upper: [Double], path: KernelPath = .best) -> Bool {
    precondition(!lower.isEmpty && lower.count == upper.count && rows.count % lower.count == 0, "whole rows only")
    // Reason: the C loop reads exactly the sizes checked above.
    return unsafe ck_rows_within(path.flag, rows.count / lower.count, lower.count, rows, lower, upper)
}

/// Columns of raw values that become inputs of a model one by one.
package struct Standardisation: Equatable, Sendable {
    private let imputed: [Double], centre: [Double], scale: [Double]
    private let clip: Double

    /// - Parameters:
    ///   - columns: what stands for a missing value, what is taken off, and by what the rest is divided.
    ///   - clip: inputs are cut at this and at its negative.
    package init(_ columns: [(imputed: Double, centre: Double, scale: Double)], clip: Double) {
        (imputed, centre, scale, self.clip) = (columns.map(\.imputed), columns.map(\.centre), columns.map(\.scale), clip)
    }

    /// The inputs of some rows.
    /// - Parameter rows: row-major, whole rows; NaN for missing.
    package func inputs(_ rows: [Double], path: KernelPath = .best) -> [Float] {
        precondition(!centre.isEmpty && rows.count % centre.count == 0, "whole rows only")
        return unsafe [Float](unsafeUninitializedCapacity: rows.count) { inputs, count in
            // Reason: the C loop reads and writes exactly the sizes checked above.
            unsafe ck_standardise(
                path.flag, rows.count / centre.count, centre.count, rows, imputed, centre, scale, clip, inputs.baseAddress)
            count = rows.count
        }
    }
}
