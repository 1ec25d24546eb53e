/// What the model predicts: a column and the rule that makes its values positive.
package struct Label: Equatable, Sendable {
    package var column: String
    package var positive: Positive
    /// The values that count as negative. Empty: any value that is not positive, so that a typing error
    /// counts as negative; name them where you can. Only for `equals`.
    package var negative: [String]
    /// Allowed numbers, for `greaterThan`.
    package var range: ClosedRange<Double>?
    package var description: String

    /// Which values of the label are the positive class.
    package enum Positive: Equatable, Sendable {
        /// Equal to any of these, as numbers when both are numbers.
        case equals([String])
        /// A number greater than this.
        case greaterThan(Double)
    }

    package init(
        column: String, positive: Positive, negative: [String] = [],
        range: ClosedRange<Double>? = nil, description: String = ""
    ) {
        self.column = column
        self.positive = positive
        self.negative = negative
        self.range = range
        self.description = description
    }
}
