// `Content-Encoding` of bodies (RFC 9110 §8.4): gzip (RFC 1952) and deflate, which is the zlib format (RFC 1950).
//
//   gzip   1f 8b 08 flags mtime(4) xfl os [extra] [name] [comment] [crc16]  deflate  crc32 le  size le
//   zlib   cmf flg                                                          deflate  adler32 be
//
// One member, and nothing after it. Checksums are checked. A preset dictionary is refused.

/// A way to compress a body.
package enum ContentCoding: String, CaseIterable, Sendable {
    case gzip, deflate

    /// The plain body of a request.
    ///
    /// - Parameters:
    ///   - header: the value of `Content-Encoding`; nil, empty and `identity` give the body as it is.
    ///   - bytesMax: how long the plain body may be; output stops there.
    /// - Throws: `HTTPRefusal` 415 for another coding, 413 for too long a body, 400 for damaged data.
    /// - Cost: some ten nanoseconds a byte of output.
    package static func decode(_ body: [UInt8], header: String?, bytesMax: Int) throws(HTTPRefusal)
        -> [UInt8]
    {
        let name = header?.lowercased() ?? ""
        if name.isEmpty || name == "identity" { return body }
        guard let coding = ContentCoding(rawValue: name == "x-gzip" ? "gzip" : name) else {
            throw HTTPRefusal(415, "the Content-Encoding must be gzip or deflate")
        }
        do {
            return coding == .gzip
                ? try decodeGzip(body, bytesMax) : try decodeZlib(body, bytesMax)
        } catch {
            switch error {
            case .tooLarge:
                throw HTTPRefusal(413, "the body is larger than \(bytesMax) bytes once unpacked")
            case .truncated: throw HTTPRefusal(400, "the \(coding.rawValue) body ends too early")
            case .malformed:
                throw HTTPRefusal(400, "the body is not what Content-Encoding \(coding.rawValue) says")
            }
        }
    }

    /// The coding that an `Accept-Encoding` value asks for, gzip before deflate at equal weight; nil for none.
    package init?(accepting header: String?) {
        guard let header, header.utf8.count <= Self.headerBytesMax else { return nil }
        var weights: [String: Double] = [:]
        for item in header.lowercased().split(separator: ",") {
            let parts = item.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" } }
            guard let name = parts.first else { continue }
            let weight = parts.dropFirst().first { $0.hasPrefix("q=") }
            weights[name] = weight.map { Double($0.dropFirst(2)) ?? 0 } ?? 1
        }
        func weight(_ name: String) -> Double { weights[name] ?? weights["*"] ?? 0 }
        let (gzip, deflate) = (weight("gzip"), weight("deflate"))
        guard max(gzip, deflate) > 0 else { return nil }
        self = gzip >= deflate ? .gzip : .deflate
    }

    /// The compressed form of a body.
    package func encode(_ body: [UInt8]) -> [UInt8] {
        let packed = Deflate.encode(body)
        switch self {
        case .gzip:
            return [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255] + packed
                + Self.littleEndian(Checksum.crc32(body))
                + Self.littleEndian(UInt32(truncatingIfNeeded: body.count))
        case .deflate:
            return [0x78, 0x01] + packed + Self.littleEndian(Checksum.adler32(body)).reversed()
        }
    }

    private static let headerBytesMax = 1024
    /// Bytes before which compressing costs more than it saves.
    package static let worthwhileBytes = 1024

    private static func littleEndian(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
    }

    private static func decodeZlib(_ body: [UInt8], _ bytesMax: Int) throws(Inflate.Failure)
        -> [UInt8]
    {
        guard body.count >= 2 else { throw .truncated }
        let header = Int(body[0]) << 8 | Int(body[1])
        guard header % 31 == 0, body[0] & 15 == 8, body[0] >> 4 <= 7, body[1] & 0x20 == 0 else {
            throw .malformed
        }
        let (data, end) = try Inflate.decode(body.span, from: 2, bytesMax: bytesMax)
        try checkEnd(body, end, 4)
        guard body[end...].reversed() == littleEndian(Checksum.adler32(data)) else {
            throw .malformed
        }
        return data
    }

    private static func decodeGzip(_ body: [UInt8], _ bytesMax: Int) throws(Inflate.Failure)
        -> [UInt8]
    {
        let start = try gzipHeaderEnd(body)
        let (data, end) = try Inflate.decode(body.span, from: start, bytesMax: bytesMax)
        try checkEnd(body, end, 8)
        let trailer =
            littleEndian(Checksum.crc32(data)) + littleEndian(UInt32(truncatingIfNeeded: data.count))
        guard Array(body[end...]) == trailer else { throw .malformed }
        return data
    }

    private static func checkEnd(_ body: [UInt8], _ end: Int, _ trailer: Int)
        throws(Inflate.Failure)
    {
        guard body.count - end >= trailer else { throw .truncated }
        guard body.count - end == trailer else { throw .malformed }
    }

    private static func gzipHeaderEnd(_ body: [UInt8]) throws(Inflate.Failure) -> Int {
        guard body.count >= 10 else { throw .truncated }
        let flags = body[3]
        guard body[0] == 0x1f, body[1] == 0x8b, body[2] == 8, flags & 0xE0 == 0 else {
            throw .malformed
        }
        var end = 10
        if flags & 4 != 0 {
            guard body.count >= end + 2 else { throw .truncated }
            end += 2 + Int(body[end]) + Int(body[end + 1]) << 8
        }
        for flag in [UInt8(8), 16] where flags & flag != 0 {
            guard end < body.count, let zero = body[end...].firstIndex(of: 0) else {
                throw .truncated
            }
            end = zero + 1
        }
        if flags & 2 != 0 {
            guard body.count >= end + 2 else { throw .truncated }
            let sum = Checksum.crc32(Array(body[..<end])) & 0xFFFF
            guard UInt32(body[end]) | UInt32(body[end + 1]) << 8 == sum else { throw .malformed }
            end += 2
        }
        guard end <= body.count else { throw .truncated }
        return end
    }
}

/// The checksums of gzip and zlib. They find accidents, not attackers.
enum Checksum {
    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in
            value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1
        }
    }

    static func crc32(_ bytes: [UInt8]) -> UInt32 {
        let table = table
        var sum: UInt32 = 0xFFFF_FFFF
        for byte in bytes { sum = table[Int((sum ^ UInt32(byte)) & 0xFF)] ^ sum >> 8 }
        return ~sum
    }

    static func adler32(_ bytes: [UInt8]) -> UInt32 {
        var (low, high): (UInt32, UInt32) = (1, 0)
        for byte in bytes {
            low = (low + UInt32(byte)) % 65_521
            high = (high + low) % 65_521
        }
        return high << 16 | low
    }
}
