/// The rows `module("X", floor: n, imports: [...])` of Package.swift.
struct FloorTable {
    struct Row: Equatable {
        var floor: Double
        var imports: [String]
    }

    private(set) var rows: [String: Row] = [:]

    /// C targets, floor 0.
    static let cTargets: Set = ["COpenSSL", "CShims", "CKernels"]
    /// Executables stand on top and may import every module.
    static let executables: Set = ["consilium", "consilium-bench"]
    /// What comes with the toolchain and any module may import.
    static let toolchain: Set = [
        "Swift", "Glibc", "Dispatch", "Synchronization", "FoundationEssentials",
    ]

    init(manifest: String) {
        for line in manifest.split(separator: "\n") {
            let parts = line.split(separator: "\"", omittingEmptySubsequences: false)
            guard parts.count >= 3, parts[0].allSatisfy({ $0 == " " }) == false,
                parts[0].hasSuffix("module(")
            else { continue }
            guard parts[0].drop(while: { $0 == " " }) == "module(",
                let floor = FloorTable.floor(parts[2])
            else { continue }
            // Between the quotes of the list every second part is a name.
            let imports = stride(from: 3, to: parts.count - 1, by: 2).map { String(parts[$0]) }
            rows[String(parts[1])] = Row(floor: floor, imports: imports)
        }
    }

    /// The number in `, floor: 2.5, imports: [`.
    private static func floor(_ text: Substring) -> Double? {
        guard let colon = text.firstIndex(of: ":") else { return nil }
        return Double(text[text.index(after: colon)...].prefix { $0 != "," }.drop { $0 == " " })
    }

    /// Imports that do not point down, or point to nothing.
    var violations: [String] {
        rows.sorted { $0.key < $1.key }.flatMap { name, row in
            row.imports.compactMap { imported -> String? in
                if FloorTable.cTargets.contains(imported) { return nil }
                guard let below = rows[imported] else {
                    return "Package.swift: \(name) imports \(imported), which is no module"
                }
                return below.floor < row.floor
                    ? nil
                    : "Package.swift: \(name) (floor \(row.floor)) imports \(imported) (floor \(below.floor)), which is not below it"
            }
        }
    }

    /// Whether a file of `target` may import `name`.
    func allows(_ target: String, _ name: String) -> Bool {
        if FloorTable.toolchain.contains(name) { return true }
        if FloorTable.executables.contains(target) { return rows[name] != nil }
        return rows[target]?.imports.contains(name) ?? false
    }
}
