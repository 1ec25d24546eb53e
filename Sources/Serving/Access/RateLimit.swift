// How many requests a caller may make, and the token bucket that counts them. `protocol/prediction-api.md` §2.

/// At most so many requests per second, minute or hour. Written `20/s`, `600/m`, `5000/h` or `none`.
package enum RateLimit: Hashable, Sendable {
    case unlimited
    case requests(Int, per: Period)

    /// The time in which the count may be used.
    package enum Period: String, Sendable {
        case second = "s"
        case minute = "m"
        case hour = "h"

        var seconds: Double {
            switch self {
            case .second: 1
            case .minute: 60
            case .hour: 3600
            }
        }
    }

    /// The largest count that may be written.
    package static let requestsMax = 1_000_000

    /// - Returns: nil for any other form, a count of 0, or one above ``requestsMax``.
    package init?(_ text: String) {
        if text == "none" {
            self = .unlimited
            return
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let period = Period(rawValue: String(parts[1])),
            (1...7).contains(parts[0].utf8.count), parts[0].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let count = Int(parts[0]), (1...Self.requestsMax).contains(count)
        else { return nil }
        self = .requests(count, per: period)
    }

    /// As it is written.
    package var text: String {
        switch self {
        case .unlimited: "none"
        case .requests(let count, let period): "\(count)/\(period.rawValue)"
        }
    }

    /// What is wrong with a text that is none.
    package static let form = "must be such as 20/s, 600/m, 5000/h (1 to \(requestsMax)) or none"
}

/// A token bucket: holds the count of its limit, fills again within the period, and each request takes one.
///
/// A caller that was quiet may send its whole count at once; over a long time it does not exceed its rate.
struct TokenBucket {
    private let capacity: Double
    private let tokensPerNanosecond: Double
    private var tokens: Double
    private var last: UInt64

    init(_ count: Int, per period: RateLimit.Period, at now: UInt64) {
        capacity = Double(count)
        tokensPerNanosecond = capacity / period.seconds / 1e9
        tokens = capacity
        last = now
    }

    /// Takes a token.
    /// - Parameter now: monotonic nanoseconds; a time before the last one counts as the last one.
    /// - Returns: nil when there was one, else the whole seconds after which there will be, at least 1.
    mutating func take(at now: UInt64) -> Int? {
        fill(at: now)
        guard tokens < 1 else {
            tokens -= 1
            return nil
        }
        return max(1, Int(((1 - tokens) / tokensPerNanosecond / 1e9).rounded(.up)))
    }

    /// Whether it holds all it can: nothing is lost when it is forgotten.
    mutating func isFull(at now: UInt64) -> Bool {
        fill(at: now)
        return tokens >= capacity
    }

    private mutating func fill(at now: UInt64) {
        guard now > last else { return }
        tokens = min(capacity, tokens + Double(now - last) * tokensPerNanosecond)
        last = now
    }
}

/// The buckets of all callers that were seen lately.
struct RateLimiter {
    private struct Caller {
        var limit: RateLimit
        var bucket: TokenBucket
    }
    private var callers: [String: Caller] = [:]

    /// Callers that are remembered; full buckets are forgotten before others.
    static let callersMax = 2 * ServingLimits.accessKeys

    /// - Returns: nil when the caller may come, else the seconds it should wait.
    mutating func take(_ caller: String, _ limit: RateLimit, at now: UInt64) -> Int? {
        guard case .requests(let count, let period) = limit else { return nil }
        if callers[caller]?.limit != limit {
            if callers.count >= Self.callersMax { forget(at: now) }
            callers[caller] = Caller(limit: limit, bucket: TokenBucket(count, per: period, at: now))
        }
        return callers[caller]?.bucket.take(at: now)
    }

    /// Callers that are remembered.
    var count: Int { callers.count }

    private mutating func forget(at now: UInt64) {
        callers = callers.compactMapValues { caller in
            var caller = caller
            return caller.bucket.isFull(at: now) ? nil : caller
        }
        // Only revoked keys can be among so many: the limit of keys is lower.
        if callers.count >= Self.callersMax { callers = [:] }
    }
}
