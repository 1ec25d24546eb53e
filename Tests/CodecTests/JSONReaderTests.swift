import Testing

@testable import Codec

@Suite struct JSONReaderTests {
    private func reader(_ text: String) throws -> JSONReader { try JSONReader(Array(text.utf8)) }

    @Test func readsNamedNumbersWithoutBuildingValues() throws {
        var reader = try reader(
            " {\"age\": 63.5 , \"sex\":1,\"note\":\"a\\n\\u00e9\",\"list\":[true,null,[]],\"last\":-2e-3}\n"
        )
        var found: [String: Double] = [:]
        var note = ""
        try reader.enterObject()
        while let key = try reader.nextKey() {
            switch try reader.peek() {
            case .number: found[reader.string(key)] = try reader.number()
            case .string: note = reader.string(try reader.text())
            default: try reader.skip()
            }
        }
        try reader.finish()
        #expect(found == ["age": 63.5, "sex": 1, "last": -0.002])
        #expect(note == "a\né")
    }

    @Test func readsEmptyContainersAndArrays() throws {
        var reader = try reader("[[],{},[1,[2]],\"\"]")
        try reader.enterArray()
        var kinds: [JSONReader.Kind] = []
        while try reader.nextElement() {
            kinds.append(try reader.peek())
            try reader.skip()
        }
        try reader.finish()
        #expect(kinds == [.array, .object, .array, .string])
    }

    /// Every text that the parser refuses is refused by `skip` plus `finish`, and the other way round,
    /// duplicate keys aside, which a reader leaves to its caller.
    @Test func agreesWithTheParser() {
        for text in JSONSamples.good + JSONSamples.bad.map(\.text) + JSONSamples.mutations {
            let parsed = Result { () throws(JSONError) in
                try JSONValue.parse(text, dialect: .strict)
            }
            let read = Result { () throws(JSONError) in
                var reader = try JSONReader(text)
                try reader.skip()
                try reader.finish()
            }
            switch (parsed, read) {
            case (.success, .success), (.failure, .failure): break
            case (.failure(let error), .success) where error.problem.contains("twice"): break
            default:
                Issue.record("parser and reader differ on \(String(decoding: text, as: UTF8.self))")
            }
        }
    }

    @Test func refusesNestingBeyondItsLimit() throws {
        let deep = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        var fits = try reader(deep)
        try fits.skip()
        try fits.finish()
        var tooDeep = try reader("[" + deep + "]")
        #expect(throws: JSONError.self) { try tooDeep.skip() }
    }

    @Test func refusesWhatTheCallerDoesNotExpect() throws {
        var number = try reader("\"12\"")
        #expect(throws: JSONError.self) { try number.number() }
        var flag = try reader("1")
        #expect(throws: JSONError.self) { try flag.bool() }
        var object = try reader("[]")
        #expect(throws: JSONError.self) { try object.enterObject() }
        var open = try reader("[1")
        try open.enterArray()
        _ = try open.nextElement()
        _ = try open.number()
        #expect(throws: JSONError.self) { try open.finish() }
        #expect(throws: JSONError.self) { try open.nextElement() }
        #expect(throws: JSONError.self) { try JSONReader(Array("[1,2]".utf8), bytesMax: 4) }
    }

    @Test func placesErrorsByLineAndColumn() throws {
        var reader = try reader("{\n  \"a\": 1,\n  \"b\": 01\n}")
        do {
            try reader.skip()
            Issue.record("accepted a superfluous zero")
        } catch {
            #expect(error.line == 3 && error.column == 8)
        }
    }

    @Test func keyTableFindsEveryNameInAnyOrder() throws {
        let names = (0..<300).map { "feature_\($0 * 7919)" } + ["é", "", "a\"b"]
        let table = JSONKeyTable(names)
        let text = JSONValue.object(
            Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, .integer(Int64($0))) }))
        var reader = try JSONReader(text.canonicalBytes())
        try reader.enterObject()
        var expected = 0
        var seen = Set<Int>()
        while let key = try reader.nextKey() {
            let index = try #require(table.index(of: key, in: reader, expected: expected))
            #expect(Int(try reader.number()) == index)
            seen.insert(index)
            expected = index + 1
        }
        #expect(seen.count == names.count)
    }

    @Test func keyTableKnowsEscapedKeysAndNoOthers() throws {
        let table = JSONKeyTable(["age", "sex"])
        var reader = try reader("{\"\\u0061ge\":1,\"ag\":2,\"agee\":3,\"SEX\":4,\"sex\":5}")
        var found: [Int?] = []
        try reader.enterObject()
        while let key = try reader.nextKey() {
            found.append(table.index(of: key, in: reader, expected: found.count))
            try reader.skip()
        }
        #expect(found == [0, nil, nil, nil, 1])
    }
}
