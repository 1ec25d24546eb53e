// The rules of the house, each a function from text to violations, so that a test can feed them bad text.

enum Rules {
    /// Modules that a file imports, with the line of each.
    static func imports(_ file: SwiftText) -> [(name: String, line: Int)] {
        file.code.enumerated().compactMap { index, line in
            var words = line.split { $0 == " " || $0 == ";" }.map(String.init)
            // Attributes and access levels before, the kind of an imported declaration after.
            while let first = words.first, first.hasPrefix("@") || accessLevels.contains(first) {
                words.removeFirst()
            }
            guard words.first == "import", words.count > 1 else { return nil }
            let name = importedKinds.contains(words[1]) && words.count > 2 ? words[2] : words[1]
            return (String(name.prefix { $0 != "." }), index + 1)
        }
    }

    /// Imports that the floor table does not give to the file's target.
    static func forbiddenImports(_ file: SwiftText, target: String, table: FloorTable) -> [String] {
        imports(file).compactMap { name, line in
            if name == "Foundation" || name == "FoundationNetworking" {
                return
                    "\(file.path):\(line): imports \(name); FoundationEssentials does, or the kernel's own calls"
            }
            if table.allows(target, name)
                || (FloorTable.executables.contains(target) && FloorTable.cTargets.contains(name))
            {
                return nil
            }
            return
                "\(file.path):\(line): \(target) may not import \(name); the table in Package.swift says what it may"
        }
    }

    /// Every `package` declaration has a `///` comment. It stands directly above, with nothing between but
    /// attributes and plain comments, or above the first of a block of one-line declarations that follow one
    /// another without a blank line; for the first declaration of a file, the comment that opens the file is enough.
    /// Not asked of extensions, of what a protocol documents already
    /// (`witnesses`: ours; `standardWitnesses` and operators: the standard library's), and of members that
    /// `isPlainMember` describes, which have a rule of their own.
    static func undocumented(_ file: SwiftText, witnesses: Set<String>) -> [String] {
        bareDeclarations(file).filter {
            !isPlainMember(file.code[$0]) && !isWitness(file.code[$0], witnesses)
        }
        .map { "\(file.path):\($0 + 1): a package declaration without a /// comment" }
    }

    /// Stored properties and initialisers without a comment of their own: where the names are in the field's words,
    /// the comment of the type may be all that there is to say. Their number is held by a ratchet.
    static func undocumentedMembers(_ file: SwiftText) -> Int {
        bareDeclarations(file).count { isPlainMember(file.code[$0]) }
    }

    /// Names of the requirements that the protocols of a file describe with a comment.
    static func requirements(_ file: SwiftText) -> Set<String> {
        var names: Set<String> = []
        var end: Int?
        for index in file.code.indices {
            let indent = file.code[index].prefix { $0 == " " }.count
            let words = SwiftText.words(file.code[index])
            if end == nil, words.contains("protocol"), file.code[index].hasSuffix("{") {
                end = indent
            }
            if let outside = end, indent > outside,
                let keyword = words.firstIndex(where: declared.contains),
                keyword + 1 < words.count, isDocumented(index, file)
            {
                names.insert(words[keyword + 1])
            }
            if end == indent, file.code[index].drop(while: { $0 == " " }).hasPrefix("}") {
                end = nil
            }
        }
        return names
    }

    /// Marks of unfinished work, in comments or code.
    static func unfinished(path: String, _ text: String) -> [String] {
        text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().compactMap {
            index, line in
            SwiftText.words(String(line)).contains { $0 == "TODO" || $0 == "FIXME" }
                ? "\(path):\(index + 1): unfinished work" : nil
        }
    }

    /// `try!` and `as!`: what can fail is handled, what cannot is a precondition with a sentence.
    static func forced(_ file: SwiftText) -> [String] {
        file.code.enumerated().compactMap { index, line in
            let words = line.split { " ()[]{},:".contains($0) }
            return words.contains("try!") || words.contains("as!")
                ? "\(file.path):\(index + 1): a forced try or cast" : nil
        }
    }

    /// `unsafe` expressions in a file.
    static func unsafeCount(_ file: SwiftText) -> Int {
        file.code.reduce(0) { count, line in
            count + SwiftText.words(line).filter { $0 == "unsafe" }.count
        }
    }

    /// Names at the top of the repository that do not belong there. `ignored` holds the lines of .gitignore.
    static func strangers(_ names: [String], ignored: [String]) -> [String] {
        names.sorted().filter { name in
            !name.hasPrefix(".") && !topLevel.contains(name)
                && !ignored.contains { pattern in
                    let bare = pattern.split(separator: "/").joined(separator: "/")
                    return bare == name || (bare.hasPrefix("*") && name.hasSuffix(bare.dropFirst()))
                }
        }.map { "\($0): does not belong at the top of the repository" }
    }

    static let topLevel: Set = [
        "Package.swift", "Sources", "Tests", "protocol", "scenarios", "docker-compose.yml",
        "README.md",
    ]
    private static let accessLevels: Set = [
        "public", "package", "internal", "fileprivate", "private",
    ]
    private static let importedKinds: Set = [
        "struct", "class", "enum", "protocol", "func", "var", "let", "typealias",
    ]
    private static let declared: Set = [
        "func", "var", "let", "init", "struct", "class", "enum", "protocol", "actor", "typealias",
        "subscript", "case", "macro", "operator",
    ]
    /// Members of `CustomStringConvertible`, `Hashable`, `Sequence` and the literal protocols.
    private static let standardWitnesses: Set = [
        "description", "debugDescription", "hash", "makeIterator",
    ]

    private static func isPackageDeclaration(_ line: String) -> Bool {
        // A member named `package` is no access level.
        guard !line.contains(".package") else { return false }
        let words = SwiftText.words(line)
        guard let access = words.firstIndex(of: "package"),
            words[..<access].allSatisfy({ !declared.contains($0) })
        else { return false }
        return words[access...].contains { declared.contains($0) } && !words.contains("import")
            && !words.contains("extension")
    }

    /// Indices of package declarations with no comment.
    private static func bareDeclarations(_ file: SwiftText) -> [Int] {
        file.code.indices.filter { isPackageDeclaration(file.code[$0]) && !isDocumented($0, file) }
    }

    /// A stored property of an instance, or an initialiser that cannot fail.
    private static func isPlainMember(_ line: String) -> Bool {
        let words = SwiftText.words(line)
        guard let keyword = words.first(where: declared.contains), !words.contains("static") else {
            return false
        }
        if keyword == "init" { return !words.contains("throws") && !line.contains("init?") }
        let isComputed = line.split(separator: "=", maxSplits: 1)[0].contains("{")
        return keyword == "let" || (keyword == "var" && !isComputed)
    }

    private static func isWitness(_ line: String, _ witnesses: Set<String>) -> Bool {
        let words = SwiftText.words(line)
        if let keyword = words.firstIndex(where: declared.contains), keyword + 1 < words.count,
            standardWitnesses.contains(words[keyword + 1]) || witnesses.contains(words[keyword + 1])
        {
            return true
        }
        // An operator: after `func` comes no letter.
        guard let tail = line.range(ofWord: "func") else { return false }
        return line[tail...].drop { $0 == " " }.first.map {
            !($0.isLetter || $0 == "_" || $0 == "`")
        } ?? false
    }

    private static func isDocumented(_ index: Int, _ file: SwiftText) -> Bool {
        if file.lines[0].hasPrefix("//"), file.code.firstIndex(where: isPackageDeclaration) == index
        {
            return true
        }
        let indent = file.lines[index].prefix { $0 == " " }.count
        var above = index - 1
        while above >= 0 {
            let line = file.lines[above].drop { $0 == " " }
            if line.hasPrefix("///") || line.hasSuffix("*/") { return true }
            let isBetween = line.hasPrefix("@") || line.hasPrefix("//")
            let isSibling =
                isPackageDeclaration(file.code[above])
                && file.lines[above].prefix { $0 == " " }.count == indent
            guard isBetween || isSibling else { return false }
            above -= 1
        }
        return false
    }
}

extension String {
    /// Where the text after a word begins; nil when the word is not there.
    fileprivate func range(ofWord word: String) -> Index? {
        var start = startIndex
        while let found = self[start...].firstIndex(of: word[word.startIndex]) {
            let after = index(found, offsetBy: word.count, limitedBy: endIndex) ?? endIndex
            if self[found..<after] == word,
                found == startIndex || self[index(before: found)] == " ",
                after == endIndex || self[after] == " "
            {
                return after
            }
            start = index(after: found)
        }
        return nil
    }
}
