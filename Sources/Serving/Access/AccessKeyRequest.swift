// What a new key or certificate is to be: the body of `POST /v1/node/keys`, and part of a record of the key file.

import Codec
import Cryptography
import ModelPackage

/// A key as the operator wants it.
package struct AccessKeyRequest: Equatable, Sendable {
    /// Whose key it is, in the operator's words.
    package var name: String
    /// What its owner may do.
    package var roles: Set<AccessRole>
    /// The models it may use; nil for all.
    package var models: Set<String>?
    /// Requests it may make; nil for the node's default.
    package var rate: RateLimit?
    /// The certificate that is let in; nil for a key that is made.
    package var credential: AccessKeys.Credential?

    /// A key for all models at the node's rate, unless said.
    package init(
        name: String, roles: Set<AccessRole>, models: Set<String>? = nil, rate: RateLimit? = nil,
        credential: AccessKeys.Credential? = nil
    ) {
        (self.name, self.roles, self.models, self.rate, self.credential) = (name, roles, models, rate, credential)
    }

    private static let modelsMax = 64
    private static let subjectBytes = 512

    /// Reads its members out of an object that may have others.
    init(_ fields: inout JSONFields, path: String) throws(FieldError) {
        name = try fields.string("name", maxBytes: 64)
        roles = []
        for word in try fields.strings("roles", maxCount: AccessRole.allCases.count) {
            guard let role = AccessRole(rawValue: word) else {
                throw FieldError(
                    path: path + ".roles",
                    problem: "must be of \(AccessRole.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            roles.insert(role)
        }
        if let text = try fields.optionalString("rate", maxBytes: 16) {
            guard let rate = RateLimit(text) else { throw FieldError(path: path + ".rate", problem: RateLimit.form) }
            self.rate = rate
        }
        if fields.has("models") {
            let names = try fields.strings("models", maxCount: Self.modelsMax)
            guard !names.isEmpty, names.allSatisfy(PackageFile.isAllowed) else {
                throw FieldError(path: path + ".models", problem: "must name at least one model, each as in `node models`")
            }
            models = Set(names)
        }
        let fingerprint = try fields.optionalString("certificate", maxBytes: 64)
        let subject = try fields.optionalString("subject", maxBytes: Self.subjectBytes)
        switch (fingerprint, subject) {
        case (nil, nil): credential = nil
        case (let text?, nil):
            guard let digest = Digest(hex: text) else {
                throw FieldError(path: path + ".certificate", problem: "must be a certificate's SHA-256, 64 hex digits")
            }
            credential = .certificate(digest)
        case (nil, let text?): credential = .subject(text)
        default: throw FieldError(path: path + ".subject", problem: "must not stand beside certificate")
        }
    }

    /// - Throws: `ServingError.keyRequest` with what is wrong.
    func check() throws(ServingError) {
        guard (1...64).contains(name.utf8.count), name.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else {
            throw .keyRequest(problem: "the name must be 1 to 64 printable ASCII characters")
        }
        guard !roles.isEmpty else { throw .keyRequest(problem: "name at least one role") }
        if case .subject(let text) = credential, text.isEmpty || !text.contains("=") {
            throw .keyRequest(problem: "the subject must be as `openssl x509 -noout -subject -nameopt RFC2253` prints it")
        }
    }

    var members: [String: JSONValue] {
        var members: [String: JSONValue] = [
            "name": .string(name), "roles": .array(roles.sorted().map { .string($0.rawValue) }),
        ]
        if let rate { members["rate"] = .string(rate.text) }
        if let models { members["models"] = .array(models.sorted().map { .string($0) }) }
        switch credential {
        case .certificate(let digest): members["certificate"] = .string(digest.hex)
        case .subject(let text): members["subject"] = .string(text)
        case .key, nil: break
        }
        return members
    }
}
