import Codec

/// An HTTP proxy that is asked to CONNECT (RFC 9110 §9.3.6), as the `https_proxy` variable names
/// it.
package struct HTTPProxy: Equatable, Sendable {
    package var host: String
    package var port: Int
    /// Value of `Proxy-Authorization`; a secret.
    package var authorization: String?

    package init(host: String, port: Int, authorization: String? = nil) {
        self.host = host
        self.port = port
        self.authorization = authorization
    }

    /// Reads `http://[user:password@]host[:port]`; the port is 3128 by default, percent-encoding is
    /// decoded.
    /// - Throws: ``HTTPClientError/badProxy(reason:)``, without the password in it.
    package init(url: String) throws(HTTPClientError) {
        var rest = Substring(url)
        if let scheme = url.firstRange(of: "://") {
            guard url[..<scheme.lowerBound].lowercased() == "http" else {
                throw .badProxy(reason: "only proxies with http:// are supported")
            }
            rest = url[scheme.upperBound...]
        }
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        guard !rest.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7f || $0 == UInt8(ascii: "/") })
        else {
            throw .badProxy(reason: "it must be http://host:port")
        }
        authorization = nil
        if let at = rest.lastIndex(of: "@") {
            let decoded = RequestTarget.percentDecoded(rest[..<at].utf8)
            authorization = "Basic " + Base64.encode(decoded)
            rest = rest[rest.index(after: at)...]
        }
        guard let (host, port) = Self.split(rest) else {
            throw .badProxy(reason: "it must be http://host:port")
        }
        self.host = host
        self.port = port
    }

    /// The proxy for `host` by `https_proxy` and `no_proxy` (either case). Loopback is never
    /// proxied.
    /// - Throws: ``HTTPClientError/badProxy(reason:)``.
    package static func fromEnvironment(_ environment: [String: String], for host: String)
        throws(HTTPClientError) -> HTTPProxy?
    {
        let value = { (name: String) in environment[name] ?? environment[name.uppercased()] }
        guard let url = value("https_proxy"), !url.isEmpty, !isLoopback(host) else { return nil }
        let exceptions = (value("no_proxy") ?? "").split { $0 == "," || $0 == " " }
        for exception in exceptions {
            let domain = exception.hasPrefix(".") ? exception.dropFirst() : exception
            if domain == "*" || host.lowercased() == domain.lowercased()
                || host.lowercased().hasSuffix("." + domain.lowercased())
            {
                return nil
            }
        }
        return try HTTPProxy(url: url)
    }

    private static func isLoopback(_ host: String) -> Bool {
        host == "localhost" || host == "::1" || host.hasPrefix("127.")
    }

    private static func split(_ text: Substring) -> (String, Int)? {
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            let after = text[text.index(after: end)...]
            guard after.isEmpty || after.hasPrefix(":"),
                let port = after.isEmpty ? defaultPort : Int(after.dropFirst())
            else { return nil }
            return (String(text[text.index(after: text.startIndex)..<end]), port)
        }
        guard let colon = text.lastIndex(of: ":") else {
            return text.isEmpty ? nil : (String(text), defaultPort)
        }
        guard let port = Int(text[text.index(after: colon)...]), (1...65_535).contains(port),
            colon > text.startIndex
        else { return nil }
        return (String(text[..<colon]), port)
    }

    static let defaultPort = 3_128
}
