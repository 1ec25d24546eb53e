/// A number that no accountant can work with: which one, and its range. Never holds the number.
package struct PrivacyParameterError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The parameter in the words of the command line, such as "sampling rate".
    package let parameter: String
    /// What it must be: a phrase that goes on after the parameter's name.
    package let range: String

    package var description: String { "the \(parameter) \(range)" }

    /// - Parameters: the parameter's name and a phrase such as "must be above 0".
    package init(_ parameter: String, _ range: String) {
        self.parameter = parameter
        self.range = range
    }
}

/// Ranges within which the accountants have been tested. Outside them nothing is computed.
package enum PrivacyLimits {
    /// σ. Below 0.01 the loss of one step is in the thousands, and above 10^6 a step costs nothing measurable.
    package static let noiseMultiplier = 0.01...1e6
    /// q. 1 is the full batch.
    package static let samplingRate = 1e-9...1.0
    /// Steps of all events together.
    package static let stepsMax = 100_000_000
    /// δ: from one in 10^20 to one half.
    package static let delta = 1e-20...0.5
    /// ε that may be asked for in a calibration or query.
    package static let epsilon = 1e-4...1e4
    /// Different events of one privacy loss distribution, each of which takes up to 0.3 s. The Rényi accountant has no such limit.
    package static let lossEventsMax = 100

    /// - Throws: `PrivacyParameterError` unless δ is in range.
    static func check(delta: Double) throws(PrivacyParameterError) {
        guard PrivacyLimits.delta.contains(delta) else {
            throw PrivacyParameterError("delta", "must be from 1e-20 to 0.5")
        }
    }

    /// - Throws: `PrivacyParameterError` unless ε is in range.
    static func check(epsilon: Double) throws(PrivacyParameterError) {
        guard PrivacyLimits.epsilon.contains(epsilon) else {
            throw PrivacyParameterError("epsilon", "must be from 0.0001 to 10000")
        }
    }
}
