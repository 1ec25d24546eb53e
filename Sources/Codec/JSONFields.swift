/// What is wrong with a field of a document, by its path and never by its value.
package struct FieldError: Error, Equatable, CustomStringConvertible {
    /// The field, dotted from the document's root; empty for the document itself.
    package let path: String
    /// What is wrong with it.
    package let problem: String

    /// - Parameters: the path and a phrase such as "must be a text".
    package init(path: String, problem: String) {
        self.path = path
        self.problem = problem
    }

    package var description: String { path.isEmpty ? problem : "\(path): \(problem)" }
}

/// Reads the members of one object, field by field, with types and limits; at the end `finish` refuses
/// members that nobody asked for, so a mistyped key is an error and not a silent default.
package struct JSONFields {
    /// Where the object stands in its document.
    package let path: String
    private let members: [String: JSONValue]
    private var asked: Set<String> = []

    /// - Throws: `FieldError` when the value is not an object.
    package init(_ value: JSONValue, path: String) throws(FieldError) {
        guard case .object(let members) = value else {
            throw FieldError(
                path: path,
                problem: path.isEmpty ? "the document must be an object" : "must be an object")
        }
        self.path = path
        self.members = members
    }

    /// The object's keys, sorted.
    package var names: [String] { members.keys.sorted() }

    /// Whether the key is there, with null counting as absent.
    package func has(_ key: String) -> Bool { members[key] != nil && members[key] != .null }

    /// The raw member; nil when absent.
    package mutating func value(_ key: String) -> JSONValue? {
        asked.insert(key)
        return members[key]
    }

    /// A text.
    package mutating func string(_ key: String, maxBytes: Int = 4096) throws(FieldError) -> String {
        guard let text = try optionalString(key, maxBytes: maxBytes) else { throw missing(key) }
        return text
    }

    /// A text, or nil when absent or null.
    package mutating func optionalString(_ key: String, maxBytes: Int = 4096) throws(FieldError)
        -> String?
    {
        guard let value = present(key) else { return nil }
        guard let text = value.stringValue else { throw wrong(key, "must be a text") }
        guard text.utf8.count <= maxBytes else {
            throw wrong(key, "must be at most \(maxBytes) bytes long")
        }
        return text
    }

    /// A whole number in a range.
    package mutating func integer(_ key: String, in range: ClosedRange<Int>) throws(FieldError)
        -> Int
    {
        guard let number = try optionalInteger(key, in: range) else { throw missing(key) }
        return number
    }

    /// A whole number in a range, or nil when absent or null.
    package mutating func optionalInteger(_ key: String, in range: ClosedRange<Int>)
        throws(FieldError) -> Int?
    {
        guard let value = present(key) else { return nil }
        guard let number = value.intValue else { throw wrong(key, "must be a whole number") }
        guard range.contains(number) else {
            throw wrong(key, "must be between \(range.lowerBound) and \(range.upperBound)")
        }
        return number
    }

    /// A number in a range.
    package mutating func number(_ key: String, in range: ClosedRange<Double>) throws(FieldError)
        -> Double
    {
        guard let number = try optionalNumber(key, in: range) else { throw missing(key) }
        return number
    }

    /// A number in a range, or nil when absent or null.
    package mutating func optionalNumber(_ key: String, in range: ClosedRange<Double>)
        throws(FieldError) -> Double?
    {
        guard let value = present(key) else { return nil }
        guard let number = value.doubleValue else { throw wrong(key, "must be a number") }
        guard range.contains(number) else {
            throw wrong(key, "must be between \(range.lowerBound) and \(range.upperBound)")
        }
        return number
    }

    /// A truth value.
    package mutating func bool(_ key: String) throws(FieldError) -> Bool {
        guard let value = present(key) else { throw missing(key) }
        guard let flag = value.boolValue else { throw wrong(key, "must be true or false") }
        return flag
    }

    /// A truth value, or the default when absent or null.
    package mutating func bool(_ key: String, default fallback: Bool) throws(FieldError) -> Bool {
        has(key) ? try bool(key) : fallbackFor(key, fallback)
    }

    /// An array.
    package mutating func array(_ key: String, maxCount: Int) throws(FieldError) -> [JSONValue] {
        guard let values = try optionalArray(key, maxCount: maxCount) else { throw missing(key) }
        return values
    }

    /// An array, or nil when absent or null.
    package mutating func optionalArray(_ key: String, maxCount: Int) throws(FieldError)
        -> [JSONValue]?
    {
        guard let value = present(key) else { return nil }
        guard let values = value.arrayValue else { throw wrong(key, "must be an array") }
        guard values.count <= maxCount else {
            throw wrong(key, "must have at most \(maxCount) elements")
        }
        return values
    }

    /// An array of texts.
    package mutating func strings(_ key: String, maxCount: Int) throws(FieldError) -> [String] {
        let values = try array(key, maxCount: maxCount)
        var texts: [String] = []
        for (index, value) in values.enumerated() {
            guard let text = value.stringValue, text.utf8.count <= 4096 else {
                throw FieldError(
                    path: "\(place(key))[\(index)]", problem: "must be a text of at most 4096 bytes"
                )
            }
            texts.append(text)
        }
        return texts
    }

    /// A nested object.
    package mutating func fields(_ key: String) throws(FieldError) -> JSONFields {
        guard let nested = try optionalFields(key) else { throw missing(key) }
        return nested
    }

    /// A nested object, or nil when absent or null.
    package mutating func optionalFields(_ key: String) throws(FieldError) -> JSONFields? {
        guard let value = present(key) else { return nil }
        return try JSONFields(value, path: place(key))
    }

    /// Ends the reading.
    ///
    /// - Throws: `FieldError` that names the first member, in order of keys, that nobody asked for.
    package func finish() throws(FieldError) {
        guard let unknown = members.keys.filter({ !asked.contains($0) }).sorted().first else {
            return
        }
        throw FieldError(
            path: place(unknown), problem: "is not a known field here; check its spelling")
    }

    private mutating func present(_ key: String) -> JSONValue? {
        asked.insert(key)
        guard let value = members[key], value != .null else { return nil }
        return value
    }

    private mutating func fallbackFor(_ key: String, _ fallback: Bool) -> Bool {
        asked.insert(key)
        return fallback
    }

    private func place(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }
    private func missing(_ key: String) -> FieldError {
        FieldError(path: place(key), problem: "is missing")
    }
    private func wrong(_ key: String, _ problem: String) -> FieldError {
        FieldError(path: place(key), problem: problem)
    }
}
