/// A message that cannot be read.
package enum MessageError: Error, Equatable, CustomStringConvertible {
    /// The bytes do not decode as the named thing.
    case malformed(String)
    /// A type byte of a newer protocol.
    case unknownType(UInt8)

    /// A sentence without any of the message's bytes, but for an unknown type.
    package var description: String {
        switch self {
        case .malformed(let what):
            "the \(what) message is malformed; both sides must run the same protocol version"
        case .unknownType(let type):
            "message type \(type) is not known to this version; update this side"
        }
    }
}
