// The program's entry: finds the command, runs it, turns whatever went wrong into a sentence and an exit code.

import Codec
import Glibc

@main
enum Consilium {
    static let version = "0.1.0"

    static let commands: [Command] =
        coordinatorCommands + nodeCommands + rolloutCommands + pipelineCommands + manifestCommands + auditCommands + witnessCommands + recordsCommands
        + privacyCommands + privacyLedgerCommands + modelCommands + scenarioCommands + [
            Command(words: ["version"], summary: "print the version") { invocation in
                Output(invocation).answer(["version": .string(version)], "consilium \(version)")
            }
        ]

    static func main() {
        // A dead peer's socket is an error of the write, not a signal; core dumps would hold keys.
        signal(SIGPIPE, SIG_IGN)
        var limit = rlimit(rlim_cur: 0, rlim_max: 0)
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
        umask(0o077)
        exit(run(Array(CommandLine.arguments.dropFirst())).rawValue)
    }

    static func run(_ arguments: [String]) -> ExitCode {
        let wantsJSON = arguments.contains("--json")
        do {
            guard let command = find(arguments) else {
                return try help(arguments)
            }
            let invocation = try Invocation(Array(arguments.dropFirst(command.words.count)), for: command)
            if invocation.has("help") {
                Output.print(text(of: command))
                return .success
            }
            try command.run(invocation)
            return .success
        } catch {
            let failure = Failure(any: error)
            if wantsJSON {
                let value: JSONValue = ["error": .string(failure.message), "code": .string(failure.reason), "exit": .integer(Int64(failure.code.rawValue))]
                Output.print(String(decoding: value.canonicalBytes(), as: UTF8.self))
            } else {
                Output.complain("consilium: \(failure.message)")
            }
            return failure.code
        }
    }

    /// The command whose words stand at the start of the arguments; the longest match.
    private static func find(_ arguments: [String]) -> Command? {
        commands.filter { arguments.starts(with: $0.words) }.max { $0.words.count < $1.words.count }
    }

    private static func help(_ arguments: [String]) throws -> ExitCode {
        let words = arguments.prefix { !$0.hasPrefix("-") }
        let group = commands.filter { !words.isEmpty && $0.words.first == words.first }
        if let first = words.first, first != "help", group.isEmpty {
            throw Failure(.usage, "usage", "there is no command `\(first)`; `consilium help` lists them")
        }
        let shown = group.isEmpty ? commands : group
        var text = "consilium \(version): federated training and serving for sites that keep their rows\n\n"
        for command in shown {
            let words = command.words.joined(separator: " ")
            text += "  " + words + String(repeating: " ", count: max(1, 26 - words.count)) + command.summary + "\n"
        }
        text += "\n`consilium COMMAND --help` shows the options. --json gives machine-readable output everywhere."
        if words.isEmpty || words.first == "help" || arguments.contains("--help") {
            Output.print(text)
            return .success
        }
        if arguments.contains("--json") {
            throw Failure(.usage, "usage", "the command is not complete; `consilium help` lists all")
        }
        Output.complain(text)
        return .usage
    }

    private static func text(of command: Command) -> String {
        var text = "Usage: \(command.usage)\n\n\(command.summary)\n"
        for option in command.options + [.flag("json", "machine-readable output")] {
            let left = "--\(option.name)" + (option.value.map { " \($0)" } ?? "")
            text += "  " + left + String(repeating: " ", count: max(1, 28 - left.count)) + option.help + "\n"
        }
        return text
    }
}

/// What a command says.
struct Output {
    private let wantsJSON: Bool

    init(_ invocation: Invocation) { wantsJSON = invocation.wantsJSON }

    /// Prints the value as JSON, or the text for a person.
    func answer(_ value: JSONValue, _ text: @autoclosure () -> String) {
        Output.print(wantsJSON ? String(decoding: value.canonicalBytes(), as: UTF8.self) : text())
    }

    static func print(_ text: String) { write(text + "\n", to: 1) }
    static func complain(_ text: String) { write(text + "\n", to: 2) }

    private static func write(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        var offset = 0
        while offset < bytes.count {
            let start = offset
            // In bounds: `start` is below the count.
            let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress! + start, $0.count - start) }
            guard count > 0 else { return }
            offset += count
        }
    }
}
