// What can be wrong with a plan, a consent or a policy file.

/// A document of the study that cannot be accepted, in words for the person who wrote it.
///
/// `path` names the field (`training.rounds`), never its value.
package struct StudyError: Error, Equatable, CustomStringConvertible {
    /// Stable code: `plan.invalid`, `plan.contradiction`, `consent.invalid`, `policy.invalid`.
    package enum Code: String, Sendable {
        case planInvalid = "plan.invalid"
        case planContradiction = "plan.contradiction"
        case consentInvalid = "consent.invalid"
        case policyInvalid = "policy.invalid"
    }

    package let code: Code
    /// The field at fault, dotted from the document's root.
    package let path: String
    /// What is wrong and what to do.
    package let problem: String

    package init(_ code: Code, path: String, problem: String) {
        self.code = code
        self.path = path
        self.problem = problem
    }

    package var description: String {
        path.isEmpty ? problem : "\(path): \(problem)"
    }
}
