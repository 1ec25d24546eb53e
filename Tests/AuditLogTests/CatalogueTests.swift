import Storage
import Testing

@testable import AuditLog

/// `protocol/audit-log.md` §3 held against the program, both read as text: no type, route or command without its row.
@Suite struct CatalogueTests {
    private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    private static func text(_ path: String) throws -> String {
        String(decoding: try DurableFile.read(root + "/" + path, maxBytes: 1 << 22), as: UTF8.self)
    }

    /// The sources of modules, by path.
    private static func sources(_ modules: [String]) throws -> [String: String] {
        var texts: [String: String] = [:]
        for module in modules { try collect("Sources/" + module, &texts) }
        return texts
    }

    private static func collect(_ directory: String, _ texts: inout [String: String]) throws {
        for name in try DurableFile.list(root + "/" + directory) {
            let path = directory + "/" + name
            if DurableFile.isDirectory(root + "/" + path) { try collect(path, &texts) }
            if name.hasSuffix(".swift") { texts[path] = try text(path) }
        }
    }

    private static func section() throws -> Substring {
        let page = try text("protocol/audit-log.md")
        let start = try #require(page.firstRange(of: "## 3. Events"))
        let end = try #require(page.firstRange(of: "## 4. Durability"))
        return page[start.upperBound..<end.lowerBound]
    }

    /// Rows of tables with this many columns, each as its cells.
    private static func rows(_ columns: Int) throws -> [[Substring]] {
        try section().split(separator: "\n").filter { $0.hasPrefix("| ") }
            .map { $0.dropFirst().dropLast().split(separator: "|", omittingEmptySubsequences: false) }.filter { $0.count == columns }
    }

    /// What stands between backticks.
    private static func quoted(_ text: Substring) -> [String] {
        text.matches(of: #/`([^`]+)`/#).map { String($0.output.1) }
    }

    @Test func everyTypeIsInTheCatalogueAndTheOtherWayRound() throws {
        let listed = try Self.rows(3).flatMap { Self.quoted($0[0]) }
        #expect(Set(listed) == Set(EntryType.allCases.map(\.rawValue)))
        // One row for each; `plan.withdrawn` has one at each party.
        #expect(listed.count == EntryType.allCases.count + 1)
    }

    /// A type that nothing writes has a dash, and only such a type.
    @Test func dashesStandForTypesThatNothingWrites() throws {
        let kept = Set(try Self.rows(3).filter { $0[1].contains("–") }.flatMap { Self.quoted($0[0]) })
        let modules = ["Coordinator", "SiteNode", "Serving", "AuditLog"]
        let names = try Self.caseNames()
        var written: Set<String> = []
        for (path, text) in try Self.sources(modules) where !path.hasSuffix("EntryType.swift") {
            for match in text.matches(of: #/(?:LogEntry\(|coordinator\(|node\(|operated\(|site\(|\? |: )\s*\.([a-zA-Z]+)(?=,| : |$)/#.anchorsMatchLineEndings()) {
                if let name = names[String(match.output.1)] { written.insert(name) }
            }
        }
        for type in EntryType.allCases.map(\.rawValue) {
            #expect(
                kept.contains(type) != written.contains(type),
                "\(type): \(written.contains(type) ? "is written, take the dash from its row" : "nothing writes it, its row needs a dash")")
        }
    }

    /// Type by the name of its case.
    private static func caseNames() throws -> [String: String] {
        let text = try text("Sources/AuditLog/Entry/EntryType.swift")
        return Dictionary(uniqueKeysWithValues: text.matches(of: #/case (\w+) = "([a-z.]+)"/#).map { (String($0.output.1), String($0.output.2)) })
    }

    @Test func everyRequestThatIsNoGETHasARowWithItsEvent() throws {
        let table = try Self.rows(4)
        let listed = Set(table.flatMap { Self.quoted($0[1]) })
        let routes = try Self.routes()
        #expect(routes.count > 20)
        #expect(routes.subtracting(listed) == [], "routes without a row")
        #expect(listed.filter { !$0.hasPrefix("GET ") }.filter { !routes.contains($0) } == [], "rows without a route")
        for row in table where row[1].contains("`") {
            let events = Self.quoted(row[3])
            #expect(events.isEmpty == row[3].contains(" none: "), "\(row[1])")
            #expect(events.allSatisfy { EntryType(rawValue: $0) != nil }, "\(events)")
        }
    }

    /// `METHOD /path` of every route that may change something: those added by text, and those of endpoint tables.
    private static func routes() throws -> Set<String> {
        var routes: Set<String> = []
        for (_, text) in try sources(["Coordinator", "SiteNode", "Serving"]) {
            for match in text.matches(of: #/add\((?:&router, )?"(POST|PUT|PATCH|DELETE)", "(\/[^"]*)"/#) {
                routes.insert("\(match.output.1) \(match.output.2)")
            }
            for match in text.matches(of: #/request\.method == "(POST)", request\.path == "(\/[^"]*)"/#) {
                routes.insert("\(match.output.1) \(match.output.2)")
            }
            routes.formUnion(endpoints(text))
        }
        return routes
    }

    /// Routes of an `enum …Endpoint` with its `method` and `path`.
    private static func endpoints(_ text: String) -> Set<String> {
        guard text.contains(#/enum \w*Endpoint\b/#), let method = text.firstRange(of: "var method: String"), let path = text.firstRange(of: "var path: String")
        else { return [] }
        let methods = words(text[method.upperBound..<path.lowerBound])
        let rest = text[path.upperBound...]
        let paths = words(rest[..<(rest.firstRange(of: "\n    }\n")?.lowerBound ?? rest.endIndex)])
        return Set(methods.compactMap { name, method in paths[name].map { "\(method) \($0)" } })
    }

    /// The text that a switch gives for each case.
    private static func words(_ body: Substring) -> [String: String] {
        var words: [String: String] = [:]
        for match in body.matches(of: #/case ([.\w,\s]+):\s*"([^"]+)"/#) {
            for name in match.output.1.matches(of: #/\.(\w+)/#) { words[String(name.output.1)] = String(match.output.2) }
        }
        return words
    }

    @Test func everyCommandIsNamed() throws {
        let named = Set(Self.quoted(try Self.section()))
        var commands: Set<String> = []
        for (_, text) in try Self.sources(["consilium"]) {
            for match in text.matches(of: #/words: \[("[^\]]+)\]/#) {
                commands.insert(match.output.1.matches(of: #/"([^"]+)"/#).map { String($0.output.1) }.joined(separator: " "))
            }
        }
        #expect(commands.count > 30)
        #expect(commands.subtracting(named) == [], "commands that the page does not name")
    }
}
