// `environ` is a global variable; it is read once, by posix_spawn, and this program never changes it.
@unsafe @preconcurrency import Glibc

/// Runs a data command and streams its standard output.
///
/// The command gets an empty standard input, its own process group and this process's environment. Its error
/// output is read so that it cannot block, counted, and thrown away: it may hold data.
enum CommandRun {
    static func read(
        _ arguments: [String], timeoutSeconds: Int, bytesMax: Int,
        _ body: ([UInt8]) throws(TabularError) -> Void
    ) throws(TabularError) {
        guard let program = arguments.first, !program.isEmpty else { throw .source(.emptyCommand) }
        var child = try Child(program, arguments)
        let deadline = milliseconds() + Int64(timeoutSeconds) * 1000
        do throws(TabularError) {
            try child.drain(until: deadline, timeoutSeconds, bytesMax, body)
            try child.waitForSuccess(until: deadline, timeoutSeconds)
        } catch {
            child.kill()
            throw error
        }
    }
}

/// The running program and our ends of its pipes.
private struct Child: ~Copyable {
    private let program: String
    private let process: pid_t
    private let output: Int32
    private let errors: Int32
    private var errorBytes = 0
    private var isReaped = false

    init(_ program: String, _ arguments: [String]) throws(TabularError) {
        var out: [Int32] = [-1, -1]
        var err: [Int32] = [-1, -1]
        guard unsafe pipe(&out) == 0 else {
            throw .source(.cannotStart(program: program, reason: advice(errno)))
        }
        guard unsafe pipe(&err) == 0 else {
            let code = errno
            close(out[0])
            close(out[1])
            throw .source(.cannotStart(program: program, reason: advice(code)))
        }
        // No other thread of this program starts processes, so nothing can inherit these in between.
        for descriptor in out + err { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        let (code, pid) = spawn(program, arguments, output: out[1], errors: err[1])
        close(out[1])
        close(err[1])
        guard code == 0 else {
            close(out[0])
            close(err[0])
            let reason =
                code == ENOENT ? "there is no such program; give its full path" : advice(code)
            throw .source(.cannotStart(program: program, reason: reason))
        }
        self.program = program
        process = pid
        output = out[0]
        errors = err[0]
    }

    deinit {
        close(output)
        close(errors)
    }

    /// Hands on the standard output until both pipes end.
    mutating func drain(
        until deadline: Int64, _ timeoutSeconds: Int, _ bytesMax: Int,
        _ body: ([UInt8]) throws(TabularError) -> Void
    ) throws(TabularError) {
        var total = 0
        var openPipes = [
            pollfd(fd: output, events: Int16(POLLIN), revents: 0),
            pollfd(fd: errors, events: Int16(POLLIN), revents: 0),
        ]
        while openPipes.contains(where: { $0.fd >= 0 }) {
            let left = deadline - milliseconds()
            guard left > 0 else {
                throw .source(.timedOut(program: program, seconds: timeoutSeconds))
            }
            // A descriptor of -1 is skipped by poll.
            let ready = unsafe poll(
                &openPipes, nfds_t(openPipes.count), Int32(min(left, 1_000_000)))
            if ready <= 0 { continue }  // interrupted, or the deadline, which the next turn sees
            for index in openPipes.indices where openPipes[index].revents != 0 {
                // A read error on a pipe ends it like its end does; the exit code tells the rest.
                let chunk = (try? readChunk(openPipes[index].fd).get()) ?? []
                if chunk.isEmpty {
                    openPipes[index].fd = -1
                    continue
                }
                if index == 1 {
                    errorBytes += chunk.count
                    continue
                }
                total += chunk.count
                if total > bytesMax { throw .source(.tooLarge(bytesMax: bytesMax)) }
                try body(chunk)
            }
        }
    }

    /// Waits for the program's end and refuses any but success.
    mutating func waitForSuccess(until deadline: Int64, _ timeoutSeconds: Int) throws(TabularError)
    {
        var status: Int32 = 0
        while true {
            let waited = unsafe waitpid(process, &status, WNOHANG)
            if waited == process { break }
            if waited < 0 && errno != EINTR {
                isReaped = true
                throw .source(
                    .cannotStart(program: program, reason: "its end could not be observed"))
            }
            guard milliseconds() < deadline else {
                throw .source(.timedOut(program: program, seconds: timeoutSeconds))
            }
            usleep(2_000)
        }
        isReaped = true
        let signal = status & 0x7F
        if signal != 0 {
            throw .source(.killed(program: program, signal: Int(signal), errorBytes: errorBytes))
        }
        let code = (status >> 8) & 0xFF
        if code != 0 {
            throw .source(.exited(program: program, code: Int(code), errorBytes: errorBytes))
        }
    }

    /// Ends the program and everything it started.
    mutating func kill() {
        guard !isReaped else { return }
        _ = Glibc.kill(-process, SIGKILL)
        var status: Int32 = 0
        while unsafe waitpid(process, &status, 0) < 0 && errno == EINTR {}
        isReaped = true
    }
}

/// posix_spawnp with the given pipes. Returns its error code (0 for success) and the process.
private func spawn(_ program: String, _ arguments: [String], output: Int32, errors: Int32) -> (
    Int32, pid_t
) {
    var actions = unsafe posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawnattr_init(&attributes)
    defer {
        unsafe posix_spawn_file_actions_destroy(&actions)
        unsafe posix_spawnattr_destroy(&attributes)
    }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, output, 1)
    unsafe posix_spawn_file_actions_adddup2(&actions, errors, 2)
    // Its own group, so that a timeout also ends what it started; no signal ignored or blocked by inheritance.
    var signals = sigset_t()
    unsafe sigfillset(&signals)
    unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
    unsafe sigemptyset(&signals)
    unsafe posix_spawnattr_setsigmask(&attributes, &signals)
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    unsafe posix_spawnattr_setflags(
        &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

    // C strings that live until the call has copied them.
    var strings = unsafe arguments.map { unsafe strdup($0) } + [nil]
    defer { for index in unsafe strings.indices { unsafe free(strings[index]) } }
    var process: pid_t = 0
    let code = unsafe posix_spawnp(&process, program, &actions, &attributes, &strings, environ)
    return (code, process)
}

/// A clock that never goes back, for timeouts.
private func milliseconds() -> Int64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}
