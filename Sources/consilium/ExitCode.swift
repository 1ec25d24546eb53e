/// Exit codes, after sysexits; the README lists them.
enum ExitCode: Int32 {
    case success = 0
    /// The command line is wrong.
    case usage = 64
    /// A document, a data file, a package or a log is not what it should be.
    case data = 65
    /// A file that was named does not exist or cannot be read.
    case noInput = 66
    /// Something that has to run does not, or cannot be reached.
    case unavailable = 69
    /// A mistake of this program.
    case software = 70
    /// A file or directory cannot be made.
    case cannotCreate = 73
    /// Reading or writing failed: disk full, device error.
    case inputOutput = 74
    /// Try again later.
    case temporary = 75
    /// The other side does not keep to the protocol.
    case `protocol` = 76
    /// Not allowed: role, token, permissions of a key file.
    case noPermission = 77
    /// A configuration file is wrong.
    case configuration = 78
}

/// What a command throws to end with a message and an exit code.
struct Failure: Error {
    var code: ExitCode
    /// Stable word for machines.
    var reason: String
    /// What is wrong, where, what to do.
    var message: String

    init(_ code: ExitCode, _ reason: String, _ message: String) {
        self.code = code
        self.reason = reason
        self.message = message
    }
}
