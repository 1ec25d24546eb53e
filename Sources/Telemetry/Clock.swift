// Time comes in as a parameter: nothing below the shells reads a clock.

import Glibc

/// A moment: milliseconds since 1970 in UTC.
package struct Timestamp: Hashable, Comparable, Sendable {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    package var milliseconds: Int64

    /// - Parameter milliseconds: since 1970 in UTC.
    package init(milliseconds: Int64) { self.milliseconds = milliseconds }

    package static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.milliseconds < right.milliseconds
    }

    /// A later (or, with a negative number, earlier) moment.
    package func adding(seconds: Double) -> Timestamp {
        Timestamp(milliseconds: milliseconds + Int64(seconds * 1000))
    }

    /// Such as `2026-11-24T21:00:00.000Z`; years 0 to 9999 have four digits.
    package var iso8601: String {
        let days = milliseconds.floorDivided(by: 86_400_000)
        let ofDay = milliseconds - days * 86_400_000
        let (year, month, day) = civil(days)
        func padded(_ value: Int64, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
        }
        let date = "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
        let time =
            "\(padded(ofDay / 3_600_000, 2)):\(padded(ofDay / 60_000 % 60, 2)):\(padded(ofDay / 1000 % 60, 2))"
        return "\(date)T\(time).\(padded(ofDay % 1000, 3))Z"
    }

    /// Reads `2026-11-24T21:00:00Z` with or without milliseconds, or a date alone; nil for anything else.
    package init?(iso8601 text: String) {
        let bytes = Array(text.utf8)
        func number(_ range: Range<Int>) -> Int64? {
            guard range.upperBound <= bytes.count else { return nil }
            var value: Int64 = 0
            for byte in bytes[range] {
                guard (0x30...0x39).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - 0x30)
            }
            return value
        }
        func has(_ byte: UInt8, at index: Int) -> Bool {
            index < bytes.count && bytes[index] == byte
        }
        guard let year = number(0..<4), has(0x2d, at: 4), let month = number(5..<7),
            has(0x2d, at: 7),
            let day = number(8..<10), (1...12).contains(month), (1...31).contains(day)
        else { return nil }
        let days = daysSince1970(year, month, day)
        // 31 February would be another day.
        guard civil(days) == (year, month, day) else { return nil }
        var result = days * 86_400_000
        if bytes.count > 10 {
            guard has(0x54, at: 10), let hour = number(11..<13), has(0x3a, at: 13),
                let minute = number(14..<16),
                has(0x3a, at: 16), let second = number(17..<19), hour < 24, minute < 60, second < 60
            else { return nil }
            result += ((hour * 60 + minute) * 60 + second) * 1000
            if has(0x2e, at: 19) {
                guard bytes.count == 24, let thousandth = number(20..<23), bytes[23] == 0x5a else {
                    return nil
                }
                result += thousandth
            } else {
                guard bytes.count == 20, bytes[19] == 0x5a else { return nil }
            }
        }
        milliseconds = result
    }
}

/// Days since 1970-01-01 to year, month, day (Howard Hinnant, chrono-compatible date algorithms).
private func civil(_ days: Int64) -> (Int64, Int64, Int64) {
    let shifted = days + 719_468
    let era = shifted.floorDivided(by: 146_097)
    let ofEra = shifted - era * 146_097
    let yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
    let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * ofYear + 2) / 153
    let day = ofYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
}

private func daysSince1970(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let shiftedYear = month <= 2 ? year - 1 : year
    let era = shiftedYear.floorDivided(by: 400)
    let yearOfEra = shiftedYear - era * 400
    let ofYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + ofYear - 719_468
}

extension Int64 {
    fileprivate func floorDivided(by divisor: Int64) -> Int64 {
        self >= 0 ? self / divisor : (self - divisor + 1) / divisor
    }
}

/// Tells the time.
package protocol Clock: Sendable {
    /// The present moment.
    func now() -> Timestamp
}

/// The machine's clock.
package struct SystemClock: Clock {
    /// The clock.
    package init() {}

    package func now() -> Timestamp {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }
}

/// A clock for tests and simulations: it stands until it is set.
package final class ManualClock: Clock {
    private let time: Locked<Timestamp>

    /// - Parameter start: the first moment.
    package init(_ start: Timestamp = Timestamp(milliseconds: 1_790_000_000_000)) {
        time = Locked(start)
    }

    package func now() -> Timestamp { time.withLock { $0 } }

    /// Moves on.
    package func advance(seconds: Double) { time.withLock { $0 = $0.adding(seconds: seconds) } }

    /// Jumps, backwards as well.
    package func set(_ moment: Timestamp) { time.withLock { $0 = moment } }
}
