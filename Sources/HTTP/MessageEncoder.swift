/// Writes requests and responses (RFC 9112). No I/O.
enum MessageEncoder {
    /// Appends a response.
    /// - Parameters:
    ///   - isHead: whether it answers HEAD, so that the body is described but not sent.
    ///   - connection: value of the `Connection` field, none if nil.
    ///   - date: value of the `Date` field.
    static func encode(
        _ response: HTTPResponse, isHead: Bool, connection: StaticString?, date: [UInt8],
        into output: inout [UInt8]
    ) {
        append("HTTP/1.1 ", to: &output)
        append(decimal: response.status, to: &output)
        output.append(UInt8(ascii: " "))
        output += HTTPStatus.reason(response.status).utf8
        append("\r\nDate: ", to: &output)
        output += date
        append("\r\n", to: &output)
        encode(response.headers, into: &output)
        let hasBody = HTTPStatus.hasBody(response.status)
        if hasBody { appendLength(response.body.count, to: &output) }
        if let connection {
            append("Connection: ", to: &output)
            append(connection, to: &output)
            append("\r\n", to: &output)
        }
        append("\r\n", to: &output)
        if hasBody, !isHead { output += response.body }
    }

    /// A request. `host` is the value of the Host field.
    /// - Precondition: method and target have no blanks or control characters.
    static func encode(_ request: HTTPRequest, host: String) -> [UInt8] {
        precondition(
            !request.method.isEmpty && request.method.utf8.allSatisfy(CharacterClass.isToken),
            "a method is a token")
        precondition(
            request.target.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }, "a target is visible ASCII")
        var output: [UInt8] = []
        output.reserveCapacity(256 + request.body.count)
        output += request.method.utf8
        output.append(UInt8(ascii: " "))
        output += request.target.utf8
        append(" HTTP/1.1\r\nHost: ", to: &output)
        output += host.utf8
        append("\r\n", to: &output)
        encode(request.headers, into: &output)
        if !request.body.isEmpty || ["POST", "PUT", "PATCH"].contains(request.method) {
            appendLength(request.body.count, to: &output)
        }
        append("\r\n", to: &output)
        output += request.body
        return output
    }

    /// The fields without those that the encoder itself writes.
    private static func encode(_ headers: HTTPHeaders, into output: inout [UInt8]) {
        var headers = headers
        for name in ["Content-Length", "Transfer-Encoding", "Connection", "Host"]
        where headers.contains(name) { headers.remove(name) }
        headers.encode(into: &output)
    }

    static func append(_ text: StaticString, to output: inout [UInt8]) {
        // Safe: a static string's bytes live for ever.
        text.withUTF8Buffer { unsafe output.append(contentsOf: $0) }
    }

    private static func appendLength(_ count: Int, to output: inout [UInt8]) {
        append("Content-Length: ", to: &output)
        append(decimal: count, to: &output)
        append("\r\n", to: &output)
    }

    static func append(decimal number: Int, to output: inout [UInt8]) {
        precondition(number >= 0, "lengths and status codes are not negative")
        var divisor = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            output.append(UInt8(0x30 + number / divisor % 10))
            divisor /= 10
        }
    }
}

/// `Tue, 24 Nov 2026 21:00:00 GMT` (RFC 9110 §5.6.7).
package enum HTTPDate {
    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// - Parameter seconds: unix time, 1970 to 9999.
    package static func text(_ seconds: Int64) -> String {
        let days = Int(seconds / 86_400)
        let time = Int(seconds % 86_400)
        let (year, month, day) = civil(days)
        return "\(Self.days[days % 7]), \(two(day)) \(months[month - 1]) \(year) "
            + "\(two(time / 3_600)):\(two(time / 60 % 60)):\(two(time % 60)) GMT"
    }

    private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }

    /// Gregorian date of a day number since 1970-01-01 (Hinnant, "chrono-compatible low-level date
    /// algorithms").
    private static func civil(_ days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (
            yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month,
            dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        )
    }
}
