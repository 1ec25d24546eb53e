// What can be wrong with a plan, a consent or a policy file.

import Codec
import Tabular

/// A document of the study that cannot be accepted, in words for the person who wrote it.
///
/// `path` names the field (`training.rounds`), never its value.
package struct StudyError: Error, Equatable, CustomStringConvertible {
    /// Stable code, for programs.
    package enum Code: String, Sendable {
        /// A field of a plan is missing, unknown, of the wrong type or out of range.
        case planInvalid = "plan.invalid"
        /// The fields of a plan cannot all hold.
        case planContradiction = "plan.contradiction"
        /// A consent cannot be read or is not the site's.
        case consentInvalid = "consent.invalid"
        /// A policy file cannot be read.
        case policyInvalid = "policy.invalid"
    }

    /// Which kind of document, and in which way.
    package let code: Code
    /// The field at fault, dotted from the document's root; empty for the document itself.
    package let path: String
    /// What is wrong and what to do.
    package let problem: String

    /// - Parameters: the code, the path and a phrase such as "must be a text".
    package init(_ code: Code, path: String, problem: String) {
        self.code = code
        self.path = path
        self.problem = problem
    }

    /// Path and problem, as one sentence.
    package var description: String {
        path.isEmpty ? problem : "\(path): \(problem)"
    }
}

extension StudyError {
    /// Keeps the path of an error from the readers below this module.
    init(_ code: Code, reading document: String, _ error: any Error) {
        switch error {
        case let error as StudyError: self = error
        case let error as FieldError: self.init(code, path: error.path, problem: error.problem)
        case TabularError.schema(let path, let problem):
            self.init(code, path: path, problem: problem)
        default: self.init(code, path: "", problem: "the \(document) cannot be read: \(error)")
        }
    }
}
