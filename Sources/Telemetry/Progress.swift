// Progress of anything long: a bar with rate and remaining time on a terminal, plain lines otherwise.

import Glibc

/// Shows how far a piece of work is, on standard error.
package final class Progress: Sendable {
    private struct State {
        var done = 0
        var total: Int?
        var note = ""
        var lastShown = -Double.infinity
        var isFinished = false
    }

    private let title: String
    private let unit: String
    private let isTerminal: Bool
    private let start: Double
    private let sink: @Sendable (String) -> Void
    private let state: Locked<State>

    /// - Parameters:
    ///   - total: amount of work in `unit`, if known.
    ///   - isTerminal: whether to draw a bar; found out unless given.
    package init(
        _ title: String, total: Int?, unit: String, isTerminal: Bool? = nil,
        sink: @escaping @Sendable (String) -> Void = Logger.standardError
    ) {
        self.title = title
        self.unit = unit
        self.isTerminal = isTerminal ?? (isatty(2) == 1)
        self.sink = sink
        start = Progress.seconds()
        state = Locked(State(total: total))
    }

    /// Sets how much is done; shown ten times a second at most, as lines every two seconds.
    package func update(_ done: Int, note: String = "") {
        state.withLock { state in
            guard !state.isFinished else { return }
            state.done = done
            state.note = note
            let now = Progress.seconds()
            guard now - state.lastShown >= (isTerminal ? 0.1 : 2) else { return }
            state.lastShown = now
            show(state, at: now, last: false)
        }
    }

    /// Ends with a last line that says all was done; later calls do nothing.
    package func finish(note: String = "") { end(isComplete: true, note) }

    /// Ends with a last line that says how far it came; later calls do nothing.
    package func stop(note: String = "") { end(isComplete: false, note) }

    private func end(isComplete: Bool, _ note: String) {
        state.withLock { state in
            guard !state.isFinished else { return }
            state.isFinished = true
            if isComplete, let total = state.total { state.done = total }
            state.note = note
            show(state, at: Progress.seconds(), last: true)
        }
    }

    private func show(_ state: State, at now: Double, last: Bool) {
        let elapsed = max(now - start, 1e-6)
        let rate = Double(state.done) / elapsed
        var line = title
        if let total = state.total, total > 0 {
            let share = min(1, Double(state.done) / Double(total))
            if isTerminal {
                let filled = Int(share * 24)
                line +=
                    " [" + String(repeating: "#", count: filled)
                    + String(repeating: ".", count: 24 - filled) + "]"
            }
            line += " \(Int(share * 100)) % (\(state.done)/\(total) \(unit))"
            if !last, rate > 0 {
                line += ", \(duration(Double(max(0, total - state.done)) / rate)) left"
            }
        } else {
            line += " \(state.done) \(unit)"
        }
        line +=
            ", \(rate >= 10 ? String(Int(rate)) : String(Double(Int(rate * 10)) / 10)) \(unit)/s"
        if last { line += ", took \(duration(elapsed))" }
        if !state.note.isEmpty { line += " – \(state.note)" }
        // A bar that wraps could not be drawn over: it is cut at the width of the terminal.
        sink(
            isTerminal
                ? "\r\u{1b}[K" + line.prefix(last ? Int.max : columns - 1) + (last ? "\n" : "")
                : line + "\n")
    }

    private func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 1e7 else { return "a long time" }
        if seconds < 10 { return "\(Double(Int(seconds * 10)) / 10) s" }
        if seconds < 120 { return "\(Int(seconds)) s" }
        return "\(Int(seconds / 60)) min"
    }

    private var columns: Int {
        var size = winsize()
        guard unsafe ioctl(2, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 20 else { return 80 }
        return Int(size.ws_col)
    }

    private static func seconds() -> Double {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
