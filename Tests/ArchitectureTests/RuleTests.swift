import Testing

/// Each rule against text that breaks it and text that does not.
@Suite struct RuleTests {
    private let table = FloorTable(
        manifest: """
            func module(_ name: String, floor: Double, imports: [String]) -> Module {
            // module("Comment", floor: 1, imports: [])
                module("Low", floor: 1, imports: ["CShims"]),
                module("Peer", floor: 1, imports: ["Low"]),
                module("Half", floor: 1.5, imports: ["Low", "Nowhere"]),
                module("High", floor: 2, imports: ["Low", "Half"]),
                module("Circle", floor: 2, imports: ["Circle"]),
            """)

    private func file(_ text: String) -> SwiftText { SwiftText(path: "X.swift", text) }

    @Test func readsTheTable() {
        #expect(table.rows.keys.sorted() == ["Circle", "Half", "High", "Low", "Peer"])
        #expect(table.rows["High"] == FloorTable.Row(floor: 2, imports: ["Low", "Half"]))
        #expect(table.rows["Low"] == FloorTable.Row(floor: 1, imports: ["CShims"]))
    }

    @Test func findsImportsThatDoNotPointDown() {
        #expect(table.violations.count == 3)
        for name in [
            "Peer (floor 1.0) imports Low", "Half imports Nowhere",
            "Circle (floor 2.0) imports Circle",
        ] {
            #expect(table.violations.contains { $0.contains(name) })
        }
    }

    @Test(arguments: [
        "import Foundation", "@preconcurrency import FoundationNetworking",
        "import struct Foundation.URL", "package import High", "  import Peer",
        "@testable import COpenSSL", "import XCTest", "internal import class Other.Thing",
        "let x = 1; /* */\nimport High // why",
    ])
    func refusesImports(_ text: String) {
        #expect(Rules.forbiddenImports(file(text), target: "Half", table: table).count == 1)
    }

    @Test(arguments: [
        "import Low", "import Glibc", "import FoundationEssentials", "@preconcurrency import Low",
        "import func Low.work", "// import Foundation", "/* \nimport Foundation\n*/",
        "let text = \"\"\"\n    import Foundation\n    \"\"\"", "let imported = Foundation",
        "/* a /* b */\nimport Foundation */",
    ])
    func allowsImports(_ text: String) {
        #expect(Rules.forbiddenImports(file(text), target: "Half", table: table).isEmpty)
    }

    @Test func executablesMayImportEveryModule() {
        for name in ["Low", "High", "CShims"] {
            #expect(
                Rules.forbiddenImports(file("import \(name)"), target: "consilium", table: table)
                    .isEmpty)
        }
        #expect(
            Rules.forbiddenImports(file("import Nowhere"), target: "consilium", table: table).count
                == 1)
    }

    @Test(arguments: [
        "package func a() {}", "\npackage struct A {}", "    package static let a = 1",
        "package var a: Int { 1 }", "@MainActor package func a() {}",
        "let b = 1\n/// A.\n\npackage func a() {}",
        "\n// A.\npackage enum A {}", "// The story.\npackage enum A {}\n\npackage enum B {}",
        "package final class A {}", "package init() throws {}",
        "\n/// A.\nfunc b() {}\npackage func a() {}", "package indirect enum A {}",
        "package init?(b: Int) {",
        "/// A.\npackage struct A {\n    package func b() {}\n}",
        "package subscript(key: String) -> Int { 1 }", "package typealias A = Int",
        "let s = \"\"\"\n    /// A.\n    \"\"\"\npackage func a() {}",
        "package func describe() {}", "/// A.\npackage func a() {\n}\npackage func b() {}",
    ])
    func refusesUndocumentedDeclarations(_ text: String) {
        #expect(Rules.undocumented(file(text), witnesses: ["read"]).count == 1)
    }

    @Test(arguments: [
        "/// A.\npackage func a() {}", "/// A.\n@discardableResult\n// Why.\npackage func a() {}",
        "/// Both.\npackage static let a = 1\npackage static let b = 2",
        "/** A. */\npackage enum A {}",
        "func a() {}", "// package func a() {}", "let a = \"package func a() {}\"",
        "package var description: String { \"\" }",
        "package static func < (a: A, b: A) -> Bool { true }",
        "package func hash(into hasher: inout Hasher) {}", "package extension A {}",
        "package import Low", "let package = Package(name: a)", "public var package = 1",
        "// The story.\n\nimport Low\n\npackage enum A {}", "try install(b.package, case: c)",
        "package func read() {}",
    ])
    func acceptsDocumentedDeclarations(_ text: String) {
        #expect(Rules.undocumented(file(text), witnesses: ["read"]).isEmpty)
        #expect(Rules.undocumentedMembers(file(text)) == 0)
    }

    @Test func countsPlainMembersApart() {
        let text = """
            /// A.
            package struct A {
                package var a = 1
                package let b: Int = { 2 }()

                package private(set) var c: Int
                /// D.
                package let d: Int
                package let e: Int

                package init(a: Int) {}
                package init(b: Int) throws {}
            }
            """
        #expect(Rules.undocumentedMembers(file(text)) == 4)
        #expect(Rules.undocumented(file(text), witnesses: []).count == 1)
    }

    @Test func findsWhatProtocolsDescribe() {
        let text = """
            /// P.
            package protocol P: Sendable {
                /// Reads.
                func read(_ path: String) throws -> [UInt8]
                func bare()
                /// The size.
                var size: Int { get }
            }
            /// Not one.
            func outside() {}
            """
        #expect(Rules.requirements(file(text)) == ["read", "size"])
    }

    @Test func findsUnfinishedWork() {
        #expect(
            Rules.unfinished(path: "a.c", "int a; /* TODO */\n// fixme\n// FIXME: b\n").count == 2)
        #expect(Rules.unfinished(path: "a.c", "TODOS todo autoTODO").isEmpty)
    }

    @Test func findsForce() {
        #expect(Rules.forced(file("let a = try! b()\nlet c = (d as! E)\n")).count == 2)
        #expect(
            Rules.forced(file("let a = try? b() // try! c\nlet c = d as? E; \"as! F\"")).isEmpty)
    }

    @Test func countsUnsafeExpressions() {
        let text = """
            unsafe a(unsafe b) // unsafe c
            let s = "unsafe \\(unsafe d, ["unsafe": (unsafe e)]) unsafe"
            let r = #"unsafe "\\(unsafe f)" \\#(unsafe g)"#
            f(unsafeBitCast(1), notunsafe) /* unsafe */
            let l = \"\"\"
                unsafe " \\(unsafe h)
                \"\"\"
            """
        #expect(Rules.unsafeCount(file(text)) == 6)
    }

    @Test func findsStrangersAtTheTop() {
        let names = [
            "Sources", "README.md", ".git", "notes.txt", "out", "default.profraw", "Makefile",
            "Package.resolved",
        ]
        #expect(
            Rules.strangers(names, ignored: ["/out/", "*.profraw", "Package.resolved", ".build*/"])
                .map { String($0.prefix { $0 != ":" }) } == ["Makefile", "notes.txt"])
    }
}
