/// Why bytes do not decode. Holds no part of the input.
package enum CodecError: Error, Equatable, CustomStringConvertible {
    /// The input ends before the value does.
    case truncated
    /// A length is above the limit for its place.
    case tooLong(limit: Int)
    /// Bytes follow the last field.
    case leftover(count: Int)
    /// A text is not UTF-8.
    case notUTF8

    package var description: String {
        switch self {
        case .truncated: "the bytes end too early"
        case .tooLong(let limit): "a field is longer than \(limit) bytes"
        case .leftover(let count): "\(count) bytes are left over after the last field"
        case .notUTF8: "a text is not valid UTF-8"
        }
    }
}
