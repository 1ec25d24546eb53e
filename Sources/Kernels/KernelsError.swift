/// What a caller's numbers can get wrong.
package enum KernelsError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Sizes that do not fit one another, or exceed `KernelsLimits`. Carries sizes only, never a value.
    case shape(String)

    package var description: String {
        switch self {
        case .shape(let problem): "matrix shape: \(problem)"
        }
    }
}

/// Sizes beyond which a matrix is refused.
package enum KernelsLimits {
    /// Rows of one matrix.
    package static let rowsMax = 100_000_000
    /// Columns of one matrix, and inputs or outputs of one layer.
    package static let columnsMax = 16_384
}
