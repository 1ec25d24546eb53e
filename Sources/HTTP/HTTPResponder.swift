import Telemetry

/// The one answer to one request. May be kept and used later, from any thread.
package struct HTTPResponder: Sendable {
    private enum Target: Sendable {
        case connection(HTTPServerConnection, sequence: UInt64)
        case closure(@Sendable (HTTPResponse) -> Void)
    }

    private let target: Target

    init(_ connection: HTTPServerConnection, sequence: UInt64) {
        target = .connection(connection, sequence: sequence)
    }

    /// An answer that goes to a closure: for tests and for routing without a server.
    package init(_ answer: @escaping @Sendable (HTTPResponse) -> Void) { target = .closure(answer) }

    /// Has a request answered and waits for it. Not for a loop's thread.
    package static func answer(to start: (HTTPResponder) -> Void) -> HTTPResponse {
        let done = Condition()
        let answer = Locked<HTTPResponse?>(nil)
        start(
            HTTPResponder { response in
                done.withLock {
                    answer.withLock { $0 = response }
                    done.broadcast()
                }
            })
        return done.withLock {
            while true {
                if let response = answer.withLock({ $0 }) { return response }
                done.wait()
            }
        }
    }

    /// Sends the answer. The first call counts; a later one, or one to a client that has gone, does
    /// nothing.
    package func respond(_ response: HTTPResponse) {
        switch target {
        case .connection(let connection, let sequence): connection.respond(sequence, response)
        case .closure(let answer): answer(response)
        }
    }

    /// Calls `body` on the loop's thread if the client goes (or stops sending) before the answer.
    /// For long polls. Set it at most once.
    package func onDisconnect(_ body: @escaping @Sendable () -> Void) {
        if case .connection(let connection, let sequence) = target {
            connection.onDisconnect(sequence, body)
        }
    }
}
