import Telemetry

extension AuditLog {
    /// The first entry from a time on whose bytes hold a text, such as the name of a prediction. Entries are in the order of
    /// their times, so the place where to look is found by halving; from there on the log is read.
    /// - Returns: its number and bytes; nil when there is none.
    package func find(_ text: [UInt8], notBefore time: Timestamp) throws(AuditLogError) -> (index: UInt64, bytes: [UInt8])? {
        let end = size
        var (low, high) = (minimumIndex, end)
        while low < high {
            let middle = low + (high - low) / 2
            if try milliseconds(bytes(at: middle)) < time.milliseconds { low = middle + 1 } else { high = middle }
        }
        while low < end {
            let next = min((low & ~255) + 256, end)
            for (offset, entry) in try bytes(in: low..<next).enumerated() where Self.holds(entry, text) {
                return (low + UInt64(offset), entry)
            }
            low = next
        }
        return nil
    }

    private func milliseconds(_ entry: [UInt8]) throws(AuditLogError) -> Int64 {
        do { return try EntryScanner.scan(entry[...]).milliseconds } catch { throw .entry(error) }
    }

    private static func holds(_ bytes: [UInt8], _ text: [UInt8]) -> Bool {
        guard let first = text.first, bytes.count >= text.count else { return false }
        return (0...bytes.count - text.count).contains { bytes[$0] == first && bytes[$0...].starts(with: text) }
    }
}
