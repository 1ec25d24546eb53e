// Addresses in configuration files and tokens: `host:port`, IPv6 in brackets.

import Codec

/// A host and a port.
package struct ListenAddress: Equatable, Sendable {
    /// A DNS name or an IP address, IPv6 without brackets; at most 253 bytes.
    package var host: String
    /// 0 lets the system choose, for listening.
    package var port: Int

    static let hostBytesMax = 253
    static let portDigitsMax = 5

    /// An address whose parts are known to be good.
    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `host:port` or `[IPv6]:port`.
    ///
    /// - Throws: `FieldError` at `path`.
    package init(text: String, path: String) throws(FieldError) {
        let error = FieldError(
            path: path, problem: "must be host:port, such as 127.0.0.1:8443 or [::1]:8443")
        // Byte by byte: no character that only looks like a digit or a colon.
        let bytes = Array(text.utf8)
        guard let colon = bytes.lastIndex(of: UInt8(ascii: ":")),
            let port = ListenAddress.port(bytes[(colon + 1)...])
        else { throw error }
        var host = bytes[..<colon]
        if host.first == UInt8(ascii: "["), host.last == UInt8(ascii: "]") {
            host = host.dropFirst().dropLast()
            guard host.contains(UInt8(ascii: ":")),
                host.allSatisfy({
                    ListenAddress.isHostByte($0) || $0 == UInt8(ascii: ":")
                        || $0 == UInt8(ascii: "%")
                })
            else { throw error }
        } else if !host.allSatisfy(ListenAddress.isHostByte) {
            throw error
        }
        guard (1...ListenAddress.hostBytesMax).contains(host.count) else { throw error }
        self.host = String(decoding: host, as: UTF8.self)
        self.port = port
    }

    private static func port(_ digits: ArraySlice<UInt8>) -> Int? {
        guard (1...portDigitsMax).contains(digits.count),
            digits.allSatisfy({ (0x30...0x39).contains($0) })
        else { return nil }
        let port = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        return port <= 65_535 ? port : nil
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }

    /// The form that `init(text:path:)` reads.
    package var text: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// The host by which programs on the same machine reach a server that listens here: a server on all
    /// interfaces is dialled by a name that its certificate has.
    ///
    /// - Parameter names: hosts in the server's certificate, at least one.
    package func dialledHost(names: [String]) -> String {
        guard host == "0.0.0.0" || host == "::" else { return host }
        return ["127.0.0.1", "localhost", "::1"].first { names.contains($0) } ?? names.first ?? host
    }

    /// The names that a server's certificate needs: those by which others call it, and those by which the commands on
    /// its own machine do.
    ///
    /// - Parameters: the configured names, and the addresses the server listens on.
    package static func certificateNames(_ names: [String], listening addresses: [ListenAddress]) -> [String] {
        let own = addresses.map(\.host).filter { $0 != "0.0.0.0" && $0 != "::" }
        var result: [String] = []
        for name in names + own + ["localhost", "127.0.0.1", "::1"] where !result.contains(name) { result.append(name) }
        return result
    }
}
