/// Why the coordinator did not do what was asked.
package enum CoordinatorError: Error, Equatable, CustomStringConvertible {
    /// The log or a blob holds something this program cannot read.
    case corrupt(String)
    /// The configuration file: its path and what is wrong in it.
    case configuration(path: String, problem: String)
    /// The request is refused: a stable code and a sentence.
    case refused(code: String, String)

    package var description: String {
        switch self {
        case .corrupt(let what):
            "the coordinator's log or blobs cannot be read (\(what)): run `consilium audit verify` on its log directory"
        case .configuration(let path, let problem): "\(path): \(problem)"
        case .refused(_, let sentence): sentence
        }
    }

    /// The stable code.
    package var code: String {
        switch self {
        case .corrupt: "coordinator.corrupt"
        case .configuration: "coordinator.configuration"
        case .refused(let code, _): code
        }
    }
}
