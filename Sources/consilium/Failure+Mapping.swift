// Every error of the lower floors, mapped once to an exit code.

import AuditLog
import Codec
import Coordinator
import Cryptography
import Glibc
import HTTP
import Messages
import ModelPackage
import Serving
import Simulation
import SiteNode
import Storage
import Study
import Tabular
import Transport

extension Failure {
    init(any error: any Error) {
        switch error {
        case let failure as Failure: self = failure
        case let error as StorageError: self.init(Failure.code(error), "storage", "\(error)")
        case let error as FieldError where error.path.hasPrefix("--"): self.init(.usage, "usage", "\(error)")
        case let error as FieldError: self.init(.configuration, "field", "\(error)")
        case let error as JSONError: self.init(.data, "json", "\(error)")
        case let error as StudyError: self.init(error.code == .policyInvalid ? .configuration : .data, error.code.rawValue, "\(error)")
        case let error as TabularError: self.init(.data, "data", "\(error)")
        case CoordinatorError.configuration, NodeError.configuration: self.init(.configuration, "configuration", "\(error)")
        case let error as CoordinatorError: self.init(.data, error.code, "\(error)")
        case NodeError.refused(code: "enrolment.lockout", let sentence): self.init(.temporary, "enrolment.lockout", sentence)
        case let error as NodeError: self.init(error.code.hasPrefix("enrolment.token") ? .noPermission : .data, error.code, "\(error)")
        case let error as MessageError: self.init(.protocol, "message", "\(error)")
        case let error as PackageError: self.init(.data, "package", "\(error)")
        case let error as ImportError: self.init(.data, "import", "\(error)")
        case AuditFinding.unreadable(.unreachable(let reason)): self.init(.unavailable, "connection", reason)
        case let error as AuditFinding: self.init(.data, "audit", "\(error)")
        case let error as AuditLogError: self.init(Failure.code(error), "log", "\(error)")
        case let error as ServingError: self.init(.data, "serving", "\(error)")
        case let error as HTTPClientError: self.init(.unavailable, "connection", "\(error)")
        case let error as TransportError: self.init(.unavailable, "transport", "\(error)")
        case let error as ScenarioError: self.init(.data, "scenario", "\(error)")
        case let error as APIFailure: self.init(Failure.code(error), error.code ?? "refused", error.message)
        case let error as CryptographyError:
            if case .keyFile = error { self.init(.noPermission, "key-file", "\(error.description)") } else { self.init(.data, "cryptography", "\(error.description)") }
        default: self.init(.software, "unexpected", "something unexpected went wrong: \(error)")
        }
    }

    private static func code(_ error: StorageError) -> ExitCode {
        if error.isInUse { return .temporary }
        return switch error.code {
        case ENOENT: .noInput
        case EACCES, EPERM: .noPermission
        case ENOTDIR, EISDIR, EEXIST, EROFS: .cannotCreate
        case 0: .data
        default: .inputOutput
        }
    }

    private static func code(_ error: AuditLogError) -> ExitCode {
        if case .storage(let cause) = error { return code(cause) }
        return .data
    }

    private static func code(_ failure: APIFailure) -> ExitCode {
        switch failure.status {
        case 401, 403: .noPermission
        case 429, 503: .temporary
        default: .data
        }
    }
}
