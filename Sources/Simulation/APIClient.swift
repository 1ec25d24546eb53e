// A caller of a process's HTTPS interface, as an operator's tool would be: CA file, bearer key, JSON.

import Codec
import Cryptography
import HTTP
import Storage
import Transport
import Study

/// Calls one server.
package final class APIClient {
    private let client: HTTPClient
    private let key: String

    /// - Parameters:
    ///   - url: `https://host:port`, or `http://host:port` of a node behind a proxy that ends TLS.
    ///   - authorityPath: PEM file of the CA; not read for `http`.
    ///   - key: bearer key.
    package init(url: String, authorityPath: String, key: String) throws {
        let isPlain = url.hasPrefix("http://")
        let address = try ListenAddress(text: String(url.dropFirst((isPlain ? "http://" : "https://").count)), path: "url")
        var tls: TLSContext?
        if !isPlain {
            let authority = try Certificate(pem: String(decoding: DurableFile.read(authorityPath, maxBytes: 1 << 16), as: UTF8.self))
            tls = try TLSContext.client(trust: .authority(authority))
        }
        client = try HTTPClient(configuration: HTTPClientConfiguration(host: address.host, port: address.port, tls: tls))
        self.key = key
    }

    /// Sends a request and reads JSON.
    ///
    /// - Throws: `APIFailure` with the server's sentence for a status other than 2xx.
    package func call(_ method: String, _ path: String, body: [UInt8] = [], timeoutSeconds: Double = 60) throws -> JSONValue {
        let request = HTTPRequest(method: method, target: path, headers: ["Authorization": "Bearer \(key)"], body: body)
        let response = try client.send(request, timeoutSeconds: timeoutSeconds)
        let value = (try? JSONValue.parse(response.body, dialect: .strict)) ?? .null
        guard response.isSuccess else {
            throw APIFailure(status: response.status, code: value["code"]?.stringValue, message: response.errorMessage ?? "status \(response.status)")
        }
        return value
    }

    /// Closes the connection.
    package func close() { client.close() }
}

/// An answer other than success.
package struct APIFailure: Error, CustomStringConvertible {
    package let status: Int
    package let code: String?
    package let message: String

    package var description: String { message }
}
