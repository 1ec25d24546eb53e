/// Why the node did not do what was asked.
package enum NodeError: Error, Equatable, CustomStringConvertible {
    /// The log or a blob holds something this program cannot read.
    case corrupt(String)
    /// A configuration file: its path and what is wrong in it.
    case configuration(path: String, problem: String)
    /// Refused: a stable code and a sentence that holds no data.
    case refused(code: String, String)
    /// The data of a study cannot be used.
    case data(String)

    package var description: String {
        switch self {
        case .corrupt(let what):
            "the node's log or blobs cannot be read (\(what)): run `consilium audit verify` on its log directory"
        case .configuration(let path, let problem): "\(path): \(problem)"
        case .refused(_, let sentence): sentence
        case .data(let sentence): sentence
        }
    }

    /// The stable code.
    package var code: String {
        switch self {
        case .corrupt: "node.corrupt"
        case .configuration: "node.configuration"
        case .refused(let code, _): code
        case .data: "node.data"
        }
    }
}
