/// Header fields in their order. Names compare without case; equal names stay apart.
///
/// The fields of a received message lie in one array of bytes and one of ranges, so a message of
/// any number of fields costs two allocations. Strings are made when asked for.
package struct HTTPHeaders: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    struct Field: Sendable {
        var nameStart: UInt32
        var nameEnd: UInt32
        var valueStart: UInt32
        var valueEnd: UInt32
    }

    private var storage: [UInt8]
    private var fields: [Field]

    package init() {
        storage = []
        fields = []
    }

    package init(dictionaryLiteral elements: (String, String)...) {
        self.init()
        for (name, value) in elements { append(name, value) }
    }

    /// Fields whose ranges lie in `storage`.
    init(storage: [UInt8], fields: [Field]) {
        self.storage = storage
        self.fields = fields
    }

    /// Fields, repeated ones counted each time.
    package var count: Int { fields.count }
    /// Whether there is no field.
    package var isEmpty: Bool { fields.isEmpty }

    /// The first field of this name, without the blanks around its value; nil if there is none.
    /// Bytes that are no UTF-8 are replaced: use ``bytes(of:)`` where that matters.
    package subscript(name: String) -> String? {
        firstIndex(of: name).map { String(decoding: valueBytes($0), as: UTF8.self) }
    }

    /// All values of this name, in order.
    package func values(_ name: String) -> [String] {
        fields.indices.filter { matches($0, name) }.map {
            String(decoding: valueBytes($0), as: UTF8.self)
        }
    }

    /// Whether a field of this name is there, whatever its case.
    package func contains(_ name: String) -> Bool { firstIndex(of: name) != nil }

    /// The first value of this name, byte for byte.
    package func bytes(of name: String) -> [UInt8]? {
        firstIndex(of: name).map { Array(valueBytes($0)) }
    }

    /// Name and value of every field, byte for byte as sent.
    package var rawFields: [(name: [UInt8], value: [UInt8])] {
        fields.indices.map { (Array(nameBytes($0)), Array(valueBytes($0))) }
    }

    /// Adds a field at the end.
    /// - Precondition: the name is a token and the value has no control characters, as our own
    ///   fields do. A CR or LF here would let a value become another field.
    package mutating func append(_ name: String, _ value: String) {
        precondition(
            !name.isEmpty && name.utf8.allSatisfy(CharacterClass.isToken), "a field name is a token"
        )
        precondition(
            value.utf8.allSatisfy(CharacterClass.isFieldValue),
            "a field value has no control characters")
        let nameStart = UInt32(storage.count)
        storage += name.utf8
        let valueStart = UInt32(storage.count)
        storage += value.utf8
        fields.append(
            Field(
                nameStart: nameStart, nameEnd: valueStart, valueStart: valueStart,
                valueEnd: UInt32(storage.count)))
    }

    /// Replaces all fields of this name by one at the end. The precondition of ``append(_:_:)``
    /// holds.
    package mutating func set(_ name: String, _ value: String) {
        remove(name)
        append(name, value)
    }

    /// Drops all fields of this name.
    package mutating func remove(_ name: String) {
        let kept = fields.indices.filter { !matches($0, name) }
        if kept.count != fields.count { fields = kept.map { fields[$0] } }
    }

    package static func == (left: HTTPHeaders, right: HTTPHeaders) -> Bool {
        left.count == right.count
            && left.fields.indices.allSatisfy { index in
                left.nameBytes(index).elementsEqual(right.nameBytes(index)) {
                    CharacterClass.lowered($0) == CharacterClass.lowered($1)
                } && left.valueBytes(index).elementsEqual(right.valueBytes(index))
            }
    }

    /// Writes `name: value CR LF` for each field that `isWritten` says.
    func encode(into output: inout [UInt8]) {
        for index in fields.indices {
            output += nameBytes(index)
            output.append(UInt8(ascii: ":"))
            output.append(UInt8(ascii: " "))
            output += valueBytes(index)
            output.append(UInt8(ascii: "\r"))
            output.append(UInt8(ascii: "\n"))
        }
    }

    private func nameBytes(_ index: Int) -> ArraySlice<UInt8> {
        storage[Int(fields[index].nameStart)..<Int(fields[index].nameEnd)]
    }

    private func valueBytes(_ index: Int) -> ArraySlice<UInt8> {
        storage[Int(fields[index].valueStart)..<Int(fields[index].valueEnd)]
    }

    private func firstIndex(of name: String) -> Int? { fields.indices.first { matches($0, name) } }

    private func matches(_ index: Int, _ name: String) -> Bool {
        let field = fields[index]
        let utf8 = name.utf8
        guard Int(field.nameEnd - field.nameStart) == utf8.count else { return false }
        var position = Int(field.nameStart)
        for byte in utf8 {
            guard CharacterClass.lowered(storage[position]) == CharacterClass.lowered(byte) else {
                return false
            }
            position += 1
        }
        return true
    }
}
