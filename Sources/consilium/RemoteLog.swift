// An audit log that is read over HTTPS instead of from a directory: `GET <prefix>/checkpoint`, `…/tile/…`, c2sp.org/tlog-tiles.

import AuditLog
import Cryptography
import HTTP
import Storage
import Study
import Telemetry
import Transport

/// Where a server of logs or cosignatures is: `https://host[:port][/prefix]`; `http://` on this machine only.
struct ServerAddress {
    let host: String
    let port: Int
    let isPlain: Bool
    /// Before every path; empty or with a slash in front and none behind.
    let prefix: String

    static func isURL(_ text: String) -> Bool { text.hasPrefix("https://") || text.hasPrefix("http://") }

    /// - Parameter defaultPrefix: when the URL names none.
    init(_ text: String, defaultPrefix: String) throws {
        let isPlain = text.hasPrefix("http://")
        let rest = text.dropFirst(isPlain ? "http://".count : "https://".count)
        let authority = rest.prefix { $0 != "/" }
        var path = String(rest.dropFirst(authority.count))
        while path.hasSuffix("/") { path.removeLast() }
        let hasPort = authority.last != "]" && authority.split(separator: "]").last?.contains(":") ?? false
        let address = try ListenAddress(text: hasPort ? String(authority) : "\(authority):\(isPlain ? 80 : 443)", path: "URL")
        guard path.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") }) else {
            throw Failure(.usage, "usage", "the URL must be https://host:port/prefix, without a query")
        }
        guard !isPlain || ServerAddress.isLoopback(address.host) else {
            throw Failure(.usage, "usage", "http:// is for this machine only (localhost, 127.0.0.1, [::1]): use https://")
        }
        (host, port, self.isPlain) = (address.host, address.port, isPlain)
        prefix = path.isEmpty ? defaultPrefix : path
    }

    private static func isLoopback(_ host: String) -> Bool {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return host == "localhost" || host == "::1" || (parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil })
    }

    var text: String { "\(isPlain ? "http" : "https")://\(ListenAddress(host: host, port: port).text)" }
}

/// Options that say how to reach a server and whom to believe.
let remoteOptions: [Option] = [
    .value("ca", "FILE", "for a URL: the CA of its server, PEM"),
    .value("key-file", "FILE", "for a URL: file with the API key to send; a node's log wants one of any role"),
    .value("dir", "DIR", "for a URL: take CA and key from the directory of the coordinator or node that runs there"),
]

/// Connections to one server. Several threads may ask at the same time, each over a connection of its own.
final class RemoteServer: Sendable {
    let address: ServerAddress
    private let tls: TLSContext?
    private let key: String?
    private let idle = Locked<[HTTPClient]>([])
    private static let timeoutSeconds = 60.0
    private static let bodyBytesMax = 32 << 20

    /// - Parameters:
    ///   - authority: PEM file of the CA; needed for https.
    ///   - keyFile: file with the API key to send.
    init(_ address: ServerAddress, authority path: String?, keyFile: String? = nil) throws {
        self.address = address
        key = try keyFile.map(RemoteServer.readKey)
        guard !address.isPlain else {
            tls = nil
            return
        }
        guard let path else {
            throw Failure(.usage, "usage", "say whose certificates to believe: name a file with the CA of \(address.text)")
        }
        let authority = try Certificate(pem: String(decoding: DurableFile.read(path, maxBytes: 1 << 16), as: UTF8.self))
        tls = try TLSContext.client(trust: .authority(authority))
    }

    private static func readKey(_ path: String) throws -> String {
        let text = String(decoding: try KeyFile.read(path).exposedCopy(), as: UTF8.self).filter { !$0.isWhitespace }
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw Failure(.configuration, "key-file", "\(path) holds no API key")
        }
        return text
    }

    /// Sends one request to a path below the prefix.
    func send(_ method: String, _ path: String, body: [UInt8] = []) throws(HTTPClientError) -> HTTPResponse {
        let client = if let kept = idle.withLock({ $0.popLast() }) { kept } else { try newClient() }
        let headers: HTTPHeaders = key.map { ["Authorization": "Bearer \($0)"] } ?? [:]
        let request = HTTPRequest(method: method, target: address.prefix + path, headers: headers, body: body)
        let response = try client.send(request, timeoutSeconds: Self.timeoutSeconds)
        idle.withLock { $0.append(client) }
        return response
    }

    private func newClient() throws(HTTPClientError) -> HTTPClient {
        var configuration = HTTPClientConfiguration(host: address.host, port: address.port, tls: tls)
        configuration.limits.bodyBytesMax = Self.bodyBytesMax
        do throws(TransportError) { return try HTTPClient(configuration: configuration) } catch { throw .transport(error) }
    }
}

/// The files of a log behind a URL.
struct RemoteLog: TileSource {
    private let server: RemoteServer

    /// - Throws: `Failure` when the server cannot be reached, does not let the caller in, or has no log there.
    init(_ url: String, _ invocation: Invocation) throws {
        let keys = invocation["dir"].map { $0 + "/keys/" }
        func own(_ names: [String]) -> String? { keys.flatMap { keys in names.map { keys + $0 }.first(where: DurableFile.exists) } }
        let authority = invocation["ca"] ?? own(["serving-ca.crt.pem", "ca.crt.pem"])
        let address = try ServerAddress(url, defaultPrefix: "/audit")
        guard authority != nil || address.isPlain else {
            if let directory = invocation["dir"] {
                throw Failure(.noInput, "no-directory", "\(directory) is not the directory of a coordinator or node: its keys/ holds no CA")
            }
            throw Failure(.usage, "usage", "say whom to believe: --ca FILE with the server's CA, or --dir DIR of the party that runs there")
        }
        server = try RemoteServer(address, authority: authority, keyFile: invocation["key-file"] ?? own(["operator.key"]))
        let response = try server.send("GET", "/checkpoint")
        switch response.status {
        case 200: return
        case 401, 403:
            throw Failure(
                .noPermission, "log-key",
                "\(server.address.text) gives its log out to API keys only: make one (`consilium node key create --role auditor`) and name its file with --key-file, or give --dir")
        case 404: throw Failure(.noInput, "no-log", "\(server.address.text) serves no audit log below \(server.address.prefix)")
        default: throw Failure(.unavailable, "log-unavailable", "\(server.address.text) answered with status \(response.status)")
        }
    }

    func read(_ path: String) throws(AuditLogError) -> [UInt8]? {
        let response: HTTPResponse
        do throws(HTTPClientError) { response = try server.send("GET", "/" + path) } catch { throw .unreachable("\(error)") }
        switch response.status {
        case 200: return response.body
        case 404: return nil
        default: throw .unreachable("\(server.address.text) answered with status \(response.status) when asked for \(path)")
        }
    }
}
