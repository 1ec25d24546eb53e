/// What can go wrong when rows, parameters and a model family meet.
package enum ModelsError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Sizes or tensor names that do not fit one another. Carries sizes and names only.
    case shape(String)
    /// Training or evaluation was asked of rows without labels.
    case unlabelled(rows: Int)
    /// Training was asked of no rows.
    case noRows
    /// Training left the range of finite numbers.
    case diverged(epoch: Int)
    /// A parameter or a feature is not a finite number.
    case notFinite(String)
    /// The lattice of clipped gradients does not fit the model.
    case lattice(parameters: Int)
    /// Counts of an evaluation that cannot come from real rows.
    case impossibleCounts(String)

    package var description: String {
        switch self {
        case .shape(let problem): "model shape: \(problem)"
        case .unlabelled(let rows):
            "the \(rows) rows have no labels: choose rows whose outcome is known"
        case .noRows:
            "there are no rows to train on: check the split and the quarantine list of the data source"
        case .diverged(let epoch):
            "training diverged in local epoch \(epoch): lower the learning rate or raise l2"
        case .notFinite(let what): "\(what) is not a finite number"
        case .lattice(let parameters):
            "the grid of clipped gradients does not fit \(parameters) parameters: choose a larger clipping norm, a smaller expected batch or a smaller update bound"
        case .impossibleCounts(let problem): "evaluation counts: \(problem)"
        }
    }
}
