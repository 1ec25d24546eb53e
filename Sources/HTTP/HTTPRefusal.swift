/// Why a message is not accepted: a status for the peer and a sentence that repeats none of its
/// bytes.
package struct HTTPRefusal: Error, Equatable, Sendable, CustomStringConvertible {
    package var status: Int
    package var message: String

    package init(_ status: Int, _ message: String) {
        self.status = status
        self.message = message
    }

    package var description: String { "HTTP \(status): \(message)" }
}
