// Prediction and outcome ids: UUID version 7, strictly ascending within one process. Rows of a request follow one another.

import AuditLog
import Cryptography
import Telemetry

/// The name of one prediction or outcome.
package typealias PredictionID = RecordID

/// Makes ids and salts. Ids ascend even when the clock steps back.
struct PredictionIDSource {
    private let random: any RandomSource
    private var last: UInt64
    /// Unused random bytes: one call to the generator serves about fifty predictions.
    private var pool: [UInt8] = []
    private var position = 0
    private static let poolBytes = 2048
    /// Ids in one call at most: those of one millisecond's counter, from its middle on.
    static let rowsMax = 2048

    init(random: any RandomSource) {
        self.random = random
        last = 0
    }

    /// The first of `rows` ids that follow one another.
    mutating func next(milliseconds: Int64, rows: Int = 1) -> PredictionID {
        precondition((1...Self.rowsMax).contains(rows), "a request has rows, up to a limit")
        let time = UInt64(max(0, milliseconds)) & 0xFFFF_FFFF_FFFF
        // A new millisecond starts its counter in the lower half, so that it seldom overflows into the next one.
        var first = time << 16 | 0x7000 | UInt64(byte()) << 3
        if first <= last { first = last + 1 }
        if first >> 12 & 0xF != 7 || first & 0xFFF + UInt64(rows - 1) > 0xFFF {
            first = (max(first - 1, last) >> 16 + 1) << 16 | 0x7000
        }
        last = first + UInt64(rows - 1)
        var low: UInt64 = 0
        for _ in 0..<8 { low = low << 8 | UInt64(byte()) }
        return PredictionID(high: first, low: low & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000)
    }

    /// 32 random bytes for the commitments of each of some rows.
    mutating func salts(_ rows: Int) -> [UInt8] {
        let count = rows * 32
        if count > Self.poolBytes { return random.bytes(count) }
        if position + count > pool.count { refill() }
        let salts = Array(pool[position..<position + count])
        position += count
        return salts
    }

    private mutating func byte() -> UInt8 {
        if position >= pool.count { refill() }
        position += 1
        return pool[position - 1]
    }

    private mutating func refill() {
        pool = random.bytes(Self.poolBytes)
        position = 0
    }
}
