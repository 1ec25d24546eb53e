/// Timers by deadline: a binary heap. Cancelled timers stay until they are due.
struct TimerHeap {
    private struct Entry {
        var deadline: UInt64
        var number: UInt64
        var body: () -> Void

        /// Equal deadlines fire in the order they were set.
        func isBefore(_ other: Entry) -> Bool {
            (deadline, number) < (other.deadline, other.number)
        }
    }

    private var entries: [Entry] = []
    private var cancelled: Set<UInt64> = []
    private var lastNumber: UInt64 = 0

    /// When the next timer is due, in milliseconds of ``EventLoop/now``.
    var nextDeadline: UInt64? { entries.first?.deadline }

    /// O(log n). The number cancels the timer.
    mutating func insert(deadline: UInt64, _ body: @escaping () -> Void) -> UInt64 {
        lastNumber += 1
        entries.append(Entry(deadline: deadline, number: lastNumber, body: body))
        var child = entries.count - 1
        while child > 0, entries[child].isBefore(entries[(child - 1) / 2]) {
            entries.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
        return lastNumber
    }

    /// The timer will not fire; unknown and fired numbers do nothing.
    mutating func cancel(_ number: UInt64) {
        if entries.contains(where: { $0.number == number }) { cancelled.insert(number) }
    }

    /// Takes the first timer that is due at `now`.
    mutating func popDue(_ now: UInt64) -> (() -> Void)? {
        while let first = entries.first, first.deadline <= now {
            removeFirst()
            if cancelled.remove(first.number) == nil { return first.body }
        }
        return nil
    }

    private mutating func removeFirst() {
        entries.swapAt(0, entries.count - 1)
        entries.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < entries.count && entries[child].isBefore(entries[least]) {
                least = child
            }
            if least == parent { return }
            entries.swapAt(parent, least)
            parent = least
        }
    }
}
