/// A Swift file as the rules see it: its lines as written, and its lines with comments and the contents of
/// strings blanked out, so that a word in either is never taken for code. Code inside interpolations stays.
struct SwiftText {
    let path: String
    let lines: [String]
    let code: [String]

    init(path: String, _ text: String) {
        self.path = path
        var blanker = Blanker(bytes: Array(text.utf8))
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        code = String(decoding: blanker.run(), as: UTF8.self)
            .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    /// The words of a line of code: runs of letters, digits and underscores.
    static func words(_ line: String) -> [String] {
        line.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init)
    }
}

/// Walks over Swift's lexical structure as far as comments and strings need it.
private struct Blanker {
    private enum Mode {
        /// Code, with the parentheses open since an interpolation began.
        case code(parentheses: Int)
        case string(hashes: Int, isLong: Bool)
    }

    private let bytes: [UInt8]
    private var output: [UInt8]
    private var position = 0
    private var modes: [Mode] = [.code(parentheses: 0)]

    init(bytes: [UInt8]) {
        self.bytes = bytes
        output = bytes
    }

    mutating func run() -> [UInt8] {
        while position < bytes.count {
            switch modes[modes.count - 1] {
            case .code(let parentheses): code(parentheses)
            case .string(let hashes, let isLong): string(hashes, isLong)
            }
        }
        return output
    }

    private func has(_ text: String, at index: Int) -> Bool {
        var at = index
        for byte in text.utf8 {
            guard at < bytes.count, bytes[at] == byte else { return false }
            at += 1
        }
        return true
    }

    private mutating func blank(_ count: Int) {
        for index in position..<min(position + count, bytes.count) where bytes[index] != 0x0a {
            output[index] = 0x20
        }
        position += count
    }

    private mutating func code(_ parentheses: Int) {
        if has("//", at: position) {
            while position < bytes.count, bytes[position] != 0x0a { blank(1) }
        } else if has("/*", at: position) {
            blockComment()
        } else if bytes[position] == 0x22 || bytes[position] == 0x23 {
            openString()
        } else {
            if modes.count > 1, bytes[position] == 0x28 {
                modes[modes.count - 1] = .code(parentheses: parentheses + 1)
            }
            if modes.count > 1, bytes[position] == 0x29 {
                if parentheses == 0 {
                    modes.removeLast()
                } else {
                    modes[modes.count - 1] = .code(parentheses: parentheses - 1)
                }
            }
            position += 1
        }
    }

    private mutating func blockComment() {
        var depth = 0
        repeat {
            if has("/*", at: position) {
                depth += 1
                blank(2)
            } else if has("*/", at: position) {
                depth -= 1
                blank(2)
            } else {
                blank(1)
            }
        } while depth > 0 && position < bytes.count
    }

    private mutating func openString() {
        var hashes = 0
        while position + hashes < bytes.count, bytes[position + hashes] == 0x23 { hashes += 1 }
        guard has("\"", at: position + hashes) else {
            position += max(hashes, 1)
            return
        }
        let isLong = has("\"\"\"", at: position + hashes)
        blank(hashes + (isLong ? 3 : 1))
        modes.append(.string(hashes: hashes, isLong: isLong))
    }

    private mutating func string(_ hashes: Int, _ isLong: Bool) {
        let marks = String(repeating: "#", count: hashes)
        let close = (isLong ? "\"\"\"" : "\"") + marks
        if has("\\" + marks + "(", at: position) {
            blank(hashes + 2)
            modes.append(.code(parentheses: 0))
        } else if has("\\" + marks, at: position) {
            blank(hashes + 2)
        } else if has(close, at: position) {
            blank(close.utf8.count)
            modes.removeLast()
        } else if !isLong, bytes[position] == 0x0a {
            // Not closed: the compiler will say so; go on as code.
            modes.removeLast()
        } else {
            blank(1)
        }
    }
}
