import FoundationEssentials

/// The files of this repository, found from where this file was compiled.
enum Repository {
    struct File {
        let path: String
        let target: String
        let text: String
        var isSwift: Bool { path.hasSuffix(".swift") }
    }

    static let root: String = {
        // …/Tests/ArchitectureTests/Repository.swift
        #filePath.split(separator: "/").dropLast(3).reduce(into: "") { $0 += "/" + $1 }
    }()

    static func read(_ path: String) throws -> String {
        try String(contentsOfFile: root + "/" + path, encoding: .utf8)
    }

    static func names(_ path: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: root + "/" + path).sorted()
    }

    /// Every Swift, C and header file below Sources, in order of paths.
    static func sources() throws -> [File] {
        try names("Sources").flatMap { target in
            try FileManager.default.subpathsOfDirectory(atPath: "\(root)/Sources/\(target)")
                .sorted()
                .filter { [".swift", ".c", ".h", ".inc"].contains(where: $0.hasSuffix) }
                .map {
                    File(
                        path: "Sources/\(target)/\($0)", target: target,
                        text: try read("Sources/\(target)/\($0)"))
                }
        }
    }
}
