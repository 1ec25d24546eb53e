import Codec
import Cryptography
import Glibc
import HTTP
import Telemetry
import Testing
import Transport

/// The bytes of a file, nil if it cannot be read.
func readFile(_ path: String) -> [UInt8]? {
    guard let file = unsafe fopen(path, "r") else { return nil }
    defer { unsafe fclose(file) }
    var content: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = unsafe fread(&chunk, 1, chunk.count, file)
        if count == 0 { return content }
        content += chunk[..<count]
    }
}

/// One request of `vectors/http/requests.json`; its README explains the fields.
struct RequestVector: Sendable, CustomStringConvertible {
    var id: String
    var bytes: [UInt8]
    var status: Set<Int>
    var answeredBefore: Int
    var closes: Bool
    var isTolerated: Bool
    var isUnfinished: Bool
    var parsed: [Parsed]
    var ifAccepted: Parsed?
    var rule: String

    struct Parsed: Sendable {
        var method: String
        var target: String
        var version: String?
        var headers: [[String]]?
        var body: [UInt8]

        init(_ value: JSONValue) {
            method = value["method"]?.stringValue ?? ""
            target = value["target"]?.stringValue ?? ""
            version = value["version"]?.stringValue
            headers = value["headers"]?.arrayValue?.map {
                $0.arrayValue?.compactMap(\.stringValue) ?? []
            }
            body = Base64.decode(value["body_b64"]?.stringValue ?? "") ?? []
        }

        /// Whether `request` is this request; one character of a vector's text is one byte.
        func matches(_ request: HTTPRequest) -> Bool {
            let fields = request.headers.rawFields.map { field in
                [
                    latin1(field.name.map { (0x41...0x5a).contains($0) ? $0 + 32 : $0 }),
                    latin1(field.value),
                ]
            }
            return request.method == method && request.target == target && request.body == body
                && (version.map { $0 == "HTTP/1.\(request.minorVersion)" } ?? true)
                && (headers.map { $0 == fields } ?? true)
        }
    }

    init(_ value: JSONValue) {
        id = value["id"]?.stringValue ?? ""
        rule = value["rule"]?.stringValue ?? ""
        bytes = Base64.decode(value["request_b64"]?.stringValue ?? "") ?? []
        status = Set(value["status"]?.arrayValue?.compactMap(\.intValue) ?? [])
        answeredBefore = value["answered_before"]?.intValue ?? 0
        closes = value["closes"]?.boolValue ?? false
        isTolerated = value["body_accepted"]?.boolValue ?? false
        isUnfinished = value["unfinished"]?.boolValue ?? false
        parsed = value["parsed"]?.arrayValue?.map(Parsed.init) ?? []
        ifAccepted = value["if_accepted"].map(Parsed.init)
    }

    var description: String { id }
}

func latin1(_ bytes: [UInt8]) -> String {
    String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) }))
}

/// The vector file, found by `CONSILIUM_VECTORS` or beside the package.
struct RequestVectors: Sendable {
    var refused: [RequestVector] = []
    var valid: [RequestVector] = []
    var prefix: [UInt8] = []

    static let shared = RequestVectors()

    private init() {
        let besides = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
        let folder =
            unsafe getenv("CONSILIUM_VECTORS").map { unsafe String(cString: $0) }
            ?? "/\(besides)/shared/vectors"
        guard let text = readFile(folder + "/http/requests.json"),
            let file = try? JSONValue.parse(text, dialect: .strict)
        else {
            print("skipped: no http/requests.json in \(folder) (set CONSILIUM_VECTORS)")
            return
        }
        refused = file["cases"]?.arrayValue?.map(RequestVector.init) ?? []
        valid = file["valid"]?.arrayValue?.map(RequestVector.init) ?? []
        prefix = Base64.decode(file["prefix_b64"]?.stringValue ?? "") ?? []
    }
}

/// What a parser makes of some bytes.
struct ParserRun {
    var requests: [HTTPRequest] = []
    var refusal: HTTPRefusal?
    var keepsAlive: [Bool] = []
    var continues = 0
    /// Bytes of an unfinished request are left.
    var isUnfinished = false

    /// Feeds the pieces one after another.
    init(_ pieces: some Sequence<ArraySlice<UInt8>>, bodyBytesMax: Int = 1_048_576) {
        var parser = HTTPRequestParser(limits: HTTPLimits(bodyBytesMax: bodyBytesMax))
        var input = ReceiveBuffer()
        for piece in pieces {
            input.append(piece)
            take: while refusal == nil, keepsAlive.last != false {
                switch parser.next(&input) {
                case .needsMore: break take
                case .head, .discarded: break
                case .continueExpected: continues += 1
                case .request(let request):
                    requests.append(request)
                    keepsAlive.append(parser.keepsAlive)
                case .refused(let refused): refusal = refused
                }
            }
        }
        isUnfinished = parser.stage != .idle
    }
}

extension [UInt8] {
    var wholly: [ArraySlice<UInt8>] { [self[...]] }
    var byteByByte: [ArraySlice<UInt8>] { indices.map { self[$0...$0] } }
    func split(at position: Int) -> [ArraySlice<UInt8>] { [self[..<position], self[position...]] }
}

/// A CA with server and site credentials for loopback.
struct TestCredentials: Sendable {
    let authority: CertificateAuthority
    let server: TLSContext
    let client: TLSContext
    let siteSerial: String

    init(isRevoked: @escaping @Sendable (String) -> Bool = { _ in false }) throws {
        let now = Int64(time(nil))
        authority = try CertificateAuthority.create(name: "Test CA", now: now - 86_400, days: 10)
        let serverKey = CertificateKey.generate()
        let leaf = try authority.issueServer(
            key: serverKey, hosts: ["127.0.0.1", "localhost"], now: now, lifetimeSeconds: 3_600)
        server = try TLSContext.server(
            chain: [leaf, authority.certificate], key: serverKey,
            clients: .required(clientCA: authority.certificate),
            isRevoked: isRevoked)
        let siteKey = CertificateKey.generate()
        let request = try CertificateRequest.make(key: siteKey, commonName: "site-a")
        let site = try authority.issueSite(
            requestDER: request, siteName: "site-a", now: now, lifetimeSeconds: 3_600)
        siteSerial = site.serialHex
        client = try TLSContext.client(
            trust: .authority(authority.certificate), identity: ([site], siteKey))
    }
}

/// A started server on loopback that stops with its last reference.
final class TestServer: Sendable {
    let server: HTTPServer
    let events = Locked<[HTTPServerEvent]>([])
    var port: Int { server.port }

    init(
        tls: TLSContext? = nil, configure: (inout HTTPServerConfiguration) -> Void = { _ in },
        handler: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void
    ) throws {
        var configuration = HTTPServerConfiguration(host: "127.0.0.1", port: 0, tls: tls)
        let events = events
        configuration.observe = { event in events.withLock { $0.append(event) } }
        configuration.stopSeconds = 1
        configure(&configuration)
        server = HTTPServer(configuration: configuration, handler: handler)
        try server.start()
    }

    convenience init(
        tls: TLSContext? = nil, configure: (inout HTTPServerConfiguration) -> Void = { _ in }
    ) throws {
        try self.init(
            tls: tls, configure: configure,
            handler: { _, responder in responder.respond(.text("ok")) })
    }

    deinit { server.stop() }

    func client(_ tls: TLSContext? = nil) throws -> HTTPClient {
        try HTTPClient(
            configuration: HTTPClientConfiguration(host: "127.0.0.1", port: port, tls: tls))
    }

    func stream(_ tls: TLSContext? = nil) throws -> ClientStream {
        let deadline = Deadline(afterSeconds: 5)
        let stream = try ClientStream(
            host: "127.0.0.1", port: port, interrupter: Interrupter(), until: deadline)
        if let tls { try stream.startTLS(tls, peerName: "127.0.0.1", until: deadline) }
        return stream
    }
}

/// Everything the server sends until it ends the stream or `seconds` pass.
struct StreamAnswers {
    var statuses: [Int] = []
    var bodies: [[UInt8]] = []
    var isClosed = false
    var hasLeftovers = false

    /// - Parameter heads: which answers are to HEAD, by position.
    init(_ stream: ClientStream, seconds: Double = 5, count: Int = .max, heads: Set<Int> = []) {
        var buffer = ReceiveBuffer()
        let deadline = Deadline(afterSeconds: seconds)
        var parser = HTTPResponseParser(limits: HTTPLimits(), answersHead: heads.contains(0))
        while statuses.count < count {
            if case .response(let response) = parser.next(&buffer, isEnd: isClosed) {
                statuses.append(response.status)
                bodies.append(response.body)
                parser = HTTPResponseParser(
                    limits: HTTPLimits(), answersHead: heads.contains(statuses.count))
                continue
            }
            if isClosed { break }
            do {
                if try !stream.read(into: &buffer, until: deadline) { isClosed = true }
            } catch TransportError.timedOut { break } catch { isClosed = true }
        }
        hasLeftovers = !buffer.isEmpty
    }
}

extension [UInt8] {
    init(_ text: String) { self = Array(text.utf8) }
}
