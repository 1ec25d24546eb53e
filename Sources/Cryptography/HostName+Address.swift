import CShims

extension HostName {
    /// The 4 or 16 bytes of a textual IPv4 or IPv6 address, nil if it is none.
    static func addressBytes(_ text: String) -> [UInt8]? {
        guard !text.utf8.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        // Safe: the text is null-terminated for the call and the buffer has the 16 bytes the shim
        // may write.
        let count = unsafe consilium_address_bytes(text, &bytes)
        return count == 0 ? nil : Array(bytes[..<count])
    }
}
