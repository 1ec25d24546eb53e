import Transport

extension Worker {
    /// Runs `body` soon.
    /// - Throws: `ServingError.overloaded`, `.stopped`; `body` then never runs.
    func run(_ body: @escaping @Sendable () -> Void) throws(ServingError) {
        switch take(body) {
        case .taken: return
        case .overloaded: throw .overloaded
        case .stopped: throw .stopped
        }
    }
}
