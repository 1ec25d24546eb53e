// Arguments: `consilium GROUP COMMAND [OPERANDS] [--option VALUE]`. Every command is a row of a table, so
// help, unknown options and missing values are handled in one place.

import Study

/// An option of a command.
struct Option: Sendable {
    var name: String
    /// Word for the value in help; nil for a flag.
    var value: String?
    var help: String
    var isRequired = false
    var isRepeated = false

    static func flag(_ name: String, _ help: String) -> Option { Option(name: name, value: nil, help: help) }
    static func value(_ name: String, _ value: String, _ help: String) -> Option { Option(name: name, value: value, help: help) }
    static func required(_ name: String, _ value: String, _ help: String) -> Option {
        Option(name: name, value: value, help: help, isRequired: true)
    }
    static func repeated(_ name: String, _ value: String, _ help: String) -> Option {
        Option(name: name, value: value, help: help, isRepeated: true)
    }
}

/// A command of the program.
struct Command: Sendable {
    /// Words that call it, such as `["node", "join"]`.
    var words: [String]
    var summary: String
    /// Names of operands; the last may end in `…`.
    var operands: [String] = []
    var options: [Option] = []
    var run: @Sendable (Invocation) throws -> Void

    var usage: String {
        var text = "consilium " + words.joined(separator: " ")
        for operand in operands { text += " \(operand)" }
        for option in options where option.isRequired { text += " --\(option.name) \(option.value ?? "")" }
        if options.contains(where: { !$0.isRequired }) { text += " [options]" }
        return text
    }
}

/// The parsed command line.
struct Invocation: Sendable {
    var operands: [String] = []
    private var values: [String: [String]] = [:]
    /// Whether the answer is wanted as JSON.
    var wantsJSON: Bool { has("json") }

    subscript(name: String) -> String? { values[name]?.last }
    func all(_ name: String) -> [String] { values[name] ?? [] }
    func has(_ name: String) -> Bool { values[name] != nil }

    func require(_ name: String) throws -> String {
        guard let value = self[name] else { throw Failure(.usage, "usage", "--\(name) is missing") }
        return value
    }

    /// A required name of a site, study or key: it becomes part of a path.
    func name(_ option: String) throws -> String {
        let value = try require(option)
        guard isName(value) else { throw Failure(.usage, "usage", "--\(option) must be 1 to 64 of a-z, 0-9 and -") }
        return value
    }

    func integer(_ name: String, in range: ClosedRange<Int>, default fallback: Int) throws -> Int {
        guard let text = self[name] else { return fallback }
        guard let number = Int(text), range.contains(number) else {
            throw Failure(.usage, "usage", "--\(name) must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// - Throws: `Failure` with a sentence about the first argument that does not fit.
    init(_ arguments: [String], for command: Command) throws {
        let options = command.options + [.flag("json", "machine-readable output"), .flag("help", "this text")]
        var index = 0
        var onlyOperands = false
        while index < arguments.count {
            let argument = arguments[index]
            index += 1
            if onlyOperands || !argument.hasPrefix("--") {
                operands.append(argument)
                continue
            }
            if argument == "--" {
                onlyOperands = true
                continue
            }
            let parts = argument.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            guard let option = options.first(where: { $0.name == name }) else {
                throw Failure(.usage, "usage", "`\(command.words.joined(separator: " "))` has no option --\(name); see --help")
            }
            if option.value == nil {
                guard parts.count == 1 else { throw Failure(.usage, "usage", "--\(name) takes no value") }
                values[name] = [""]
                continue
            }
            let value: String
            if parts.count == 2 {
                value = String(parts[1])
            } else {
                guard index < arguments.count else { throw Failure(.usage, "usage", "--\(name) needs a value (\(option.value ?? ""))") }
                value = arguments[index]
                index += 1
            }
            guard values[name] == nil || option.isRepeated else { throw Failure(.usage, "usage", "--\(name) is given twice") }
            values[name, default: []].append(value)
        }
        if has("help") { return }
        for option in options where option.isRequired && values[option.name] == nil {
            throw Failure(.usage, "usage", "--\(option.name) is missing. Usage: \(command.usage)")
        }
        let takesMore = command.operands.last?.hasSuffix("…") ?? false
        let required = command.operands.filter { !$0.hasPrefix("[") && !$0.hasSuffix("…") }.count
        guard operands.count >= required, takesMore || operands.count <= command.operands.count else {
            throw Failure(.usage, "usage", "Usage: \(command.usage)")
        }
    }
}
