import COpenSSL

/// Compares in time that depends on the lengths only; different lengths are different at once.
package func constantTimeEqual(_ left: RawSpan, _ right: RawSpan) -> Bool {
    guard left.byteCount == right.byteCount else { return false }
    return unsafe left.withUnsafeBytes { left in
        unsafe right.withUnsafeBytes { right in
            // Safe: both buffers have `count` bytes; with no bytes nothing is read.
            unsafe left.count == 0
                || CRYPTO_memcmp(left.baseAddress, right.baseAddress, left.count) == 0
        }
    }
}

/// Compares in time that depends on the lengths only; different lengths are different at once.
package func constantTimeEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    // Safe: every byte of a byte array is initialised.
    unsafe constantTimeEqual(left.span.bytes, right.span.bytes)
}
