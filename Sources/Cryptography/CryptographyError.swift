import COpenSSL

/// What a peer, a file or an operator can get wrong. Descriptions never contain keys, plaintext or
/// peer bytes.
package enum CryptographyError: Error, Equatable {
    /// A key or other fixed-size value has the wrong length.
    case wrongLength(what: String, expected: Int, got: Int)
    /// Decryption failed: wrong key, nonce or additional data, or the bytes were changed.
    case authenticationFailed
    /// X25519 refused the peer's public key: it is a small-order point, so the result would be no
    /// secret.
    case agreementRefused
    /// A PEM or DER value does not parse as what it should be.
    case malformed(what: String, reason: String)
    /// A well-formed value that policy forbids: key type, size, name, lifetime, missing proof of
    /// possession.
    case refused(what: String, reason: String)
    /// A key file that cannot be written or must not be trusted.
    case keyFile(path: String, problem: String)
    /// OpenSSL failed where only the system (memory, entropy, configuration) can be at fault.
    case library(operation: String, reason: String)
}

extension CryptographyError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .wrongLength(let what, let expected, let got):
            "\(what): must be \(expected) bytes, is \(got)"
        case .authenticationFailed:
            "decryption failed: wrong key or context, or the message was altered"
        case .agreementRefused:
            "key agreement refused: the peer's X25519 public key is a small-order point"
        case .malformed(let what, let reason):
            "\(what): does not parse (\(reason))"
        case .refused(let what, let reason):
            "\(what): refused, \(reason)"
        case .keyFile(let path, let problem):
            "key file \(path): \(problem)"
        case .library(let operation, let reason):
            "OpenSSL could not \(operation) (\(reason)); check its installation and configuration"
        }
    }
}

/// OpenSSL's per-thread error queue: cleared before an operation, drained after a failed one.
enum ErrorQueue {
    static func clear() { ERR_clear_error() }

    /// The newest reason as fixed library text (no attached data, which may quote input), leaving
    /// the queue empty.
    static func drain() -> String {
        let code = ERR_peek_last_error()
        ERR_clear_error()
        // Safe: a static, null-terminated string of the library, or null.
        guard let text = unsafe ERR_reason_error_string(code) else { return "no reason given" }
        return unsafe String(cString: text)
    }
}
