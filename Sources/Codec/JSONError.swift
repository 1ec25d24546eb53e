/// Where and why a text is not JSON. Holds no part of it.
package struct JSONError: Error, Equatable, CustomStringConvertible {
    /// From 1.
    package let line: Int
    /// From 1, in bytes.
    package let column: Int
    /// What is wrong and, where it is not plain, what to do: a phrase.
    package let problem: String

    package var description: String { "line \(line), column \(column): \(problem)" }

    /// - Parameters: the document, the offset of the culprit in it, and the phrase.
    init(_ bytes: [UInt8], at position: Int, _ problem: String) {
        var (line, lineStart) = (1, 0)
        let end = min(position, bytes.count)
        for index in 0..<end where bytes[index] == 0x0a {
            (line, lineStart) = (line + 1, index + 1)
        }
        self.line = line
        column = end - lineStart + 1
        self.problem = problem
    }
}

/// What is wrong at the place where a helper of the parser stopped.
struct JSONProblem: Error {
    let text: String
    init(_ text: String) { self.text = text }
}

/// Bounds of a document.
package struct JSONLimits: Sendable {
    /// Size of the text.
    package var bytesMax: Int
    /// Nesting.
    package var depthMax: Int
    /// Values in the whole document, elements and members included.
    package var valuesMax: Int
    /// UTF-8 bytes of one string or key.
    package var stringBytesMax: Int

    /// The default: 16 MiB, 64 levels, 2 million values, strings of 4 MiB.
    package static let `default` = JSONLimits()

    /// - Parameters: see the properties. `depthMax` is at most 512, as the parser recurses.
    package init(
        bytesMax: Int = 16 << 20, depthMax: Int = 64, valuesMax: Int = 2_000_000,
        stringBytesMax: Int = 4 << 20
    ) {
        precondition(depthMax <= 512, "deeper JSON could exhaust the stack")
        self.bytesMax = bytesMax
        self.depthMax = depthMax
        self.valuesMax = valuesMax
        self.stringBytesMax = stringBytesMax
    }
}

/// Refuses what no parser should begin with: a text that is too long or not UTF-8.
func checkText(_ bytes: [UInt8], bytesMax: Int) throws(JSONError) {
    guard bytes.count <= bytesMax else {
        throw JSONError(bytes, at: 0, "the text is longer than \(bytesMax) bytes")
    }
    do { _ = try UTF8Span(validating: bytes.span) } catch {
        throw JSONError(
            bytes, at: error.byteOffsets.lowerBound, "the text is not valid UTF-8; save it as UTF-8"
        )
    }
}
