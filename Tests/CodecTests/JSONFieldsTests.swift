import Testing

@testable import Codec

@Suite struct JSONFieldsTests {
    private let document: JSONValue = [
        "name": "heart", "count": 5, "rate": 0.25, "whole": 3.0, "on": true, "list": ["a", "b"],
        "inner": ["x": 1], "none": nil,
    ]

    private func problem(_ body: () throws(FieldError) -> Void) -> String {
        do { try body() } catch { return error.description }
        return "no error"
    }

    @Test func readsFieldsWithTypesAndLimits() throws {
        var fields = try JSONFields(document, path: "plan")
        #expect(try fields.string("name") == "heart")
        #expect(try fields.integer("count", in: 1...5) == 5)
        #expect(try fields.integer("whole", in: 0...9) == 3)
        #expect(try fields.number("rate", in: 0...1) == 0.25)
        #expect(try fields.bool("on"))
        #expect(try fields.bool("off", default: true))
        #expect(try fields.strings("list", maxCount: 2) == ["a", "b"])
        var inner = try fields.fields("inner")
        #expect(try inner.integer("x", in: 0...1) == 1)
        try inner.finish()
        #expect(try fields.optionalString("none") == nil)
        #expect(try fields.optionalInteger("absent", in: 0...1) == nil)
        #expect(!fields.has("none") && fields.has("name"))
        try fields.finish()
    }

    @Test func namesTheFieldByItsPath() throws {
        var fields = try JSONFields(document, path: "plan")
        #expect(
            problem { () throws(FieldError) in _ = try fields.integer("count", in: 1...4) }
                == "plan.count: must be between 1 and 4")
        #expect(
            problem { () throws(FieldError) in _ = try fields.string("absent") }
                == "plan.absent: is missing")
        #expect(
            problem { () throws(FieldError) in _ = try fields.string("none") }
                == "plan.none: is missing")
        #expect(
            problem { () throws(FieldError) in _ = try fields.string("name", maxBytes: 4) }
                == "plan.name: must be at most 4 bytes long")
        #expect(
            problem { () throws(FieldError) in _ = try fields.integer("rate", in: 0...1) }
                == "plan.rate: must be a whole number")
        #expect(
            problem { () throws(FieldError) in _ = try fields.strings("list", maxCount: 1) }
                == "plan.list: must have at most 1 elements")
        #expect(
            problem { () throws(FieldError) in _ = try fields.fields("name") }
                == "plan.name: must be an object")
        #expect(
            problem { () throws(FieldError) in _ = try fields.bool("count") }
                == "plan.count: must be true or false")
        var inner = try fields.fields("inner")
        #expect(
            problem { () throws(FieldError) in _ = try inner.string("x") }
                == "plan.inner.x: must be a text")
        #expect(
            problem { () throws(FieldError) in _ = try JSONFields(1, path: "") }
                == "the document must be an object")
    }

    @Test func refusesFieldsThatNobodyAskedFor() throws {
        var fields = try JSONFields(["b": 1, "a": 2, "known": 3], path: "")
        _ = fields.value("known")
        #expect(
            problem { () throws(FieldError) in try fields.finish() }
                == "a: is not a known field here; check its spelling")
    }
}
