// Starting the parties of a scenario as processes of their own.

// `environ` is a global variable; it is read by posix_spawn, and this program never changes it.
@unsafe @preconcurrency import Glibc
import Storage

/// A process that writes to a log file.
package struct ChildProcess: Sendable {
    package let identifier: Int32
    package let logPath: String

    /// Starts a program in a session of its own, so that it can outlive the scenario.
    ///
    /// - Throws: `ScenarioError.failed`.
    package init(_ program: String, _ arguments: [String], logPath: String) throws {
        var actions = unsafe posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawnattr_init(&attributes)
        defer {
            unsafe posix_spawn_file_actions_destroy(&actions)
            unsafe posix_spawnattr_destroy(&attributes)
        }
        unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        unsafe posix_spawn_file_actions_addopen(&actions, 1, logPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // POSIX_SPAWN_SETSID, which Glibc's module does not export.
        unsafe posix_spawnattr_setflags(&attributes, 0x80)
        var argv: [UnsafeMutablePointer<CChar>?] = unsafe ([program] + arguments).map { unsafe strdup($0) }
        unsafe argv.append(nil)
        defer { for index in unsafe argv.indices { unsafe free(argv[index]) } }
        var pid: pid_t = 0
        let code = unsafe posix_spawn(&pid, program, &actions, &attributes, argv, environ)
        guard code == 0 else { throw ScenarioError.failed(step: "start", "\(program) cannot be started (error \(code))") }
        identifier = pid
        self.logPath = logPath
    }

    /// Runs a program to its end.
    ///
    /// - Throws: with the last lines of its log when it fails.
    package static func run(_ program: String, _ arguments: [String], logPath: String) throws {
        let child = try ChildProcess(program, arguments, logPath: logPath)
        let status = child.wait()
        guard status == 0 else {
            throw ScenarioError.failed(step: arguments.prefix(2).joined(separator: " "), "exit code \(status): \(child.lastLines)")
        }
    }

    /// Path of the running program; nil where the system does not tell.
    package static var ownProgram: String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = unsafe readlink("/proc/self/exe", &buffer, buffer.count - 1)
        return count > 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }

    /// Waits for the end; the exit code, or 128 + the signal.
    package func wait() -> Int32 {
        var status: Int32 = 0
        while unsafe waitpid(identifier, &status, 0) < 0, errno == EINTR {}
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    }

    /// Whether the process still runs; one that has ended is reaped.
    package var isRunning: Bool {
        var status: Int32 = 0
        return unsafe waitpid(identifier, &status, WNOHANG) == 0
    }

    /// Asks the process to end and waits; kills it after `seconds`.
    package func stop(seconds: Double = 10) {
        kill(identifier, SIGTERM)
        for _ in 0..<Int(seconds * 100) {
            if !isRunning { return }
            usleep(10_000)
        }
        kill(identifier, SIGKILL)
        _ = wait()
    }

    /// The end of the log, for messages.
    package var lastLines: String {
        guard let bytes = try? DurableFile.read(logPath, maxBytes: 64 << 20) else { return "no log at \(logPath)" }
        return String(decoding: bytes.suffix(600), as: UTF8.self).split(separator: "\n").suffix(3).joined(separator: " | ")
    }
}
