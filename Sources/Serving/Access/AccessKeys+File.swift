// The form of `keys/api-keys.json`.
//
//     {"format": "consilium-api-keys/1", "keys": [{"id", "name", "roles": […], "created",
//       "sha256" | "certificate" | "subject": …, "rate"?: "20/s", "models"?: […]}]}

import Codec
import Cryptography
import Storage
import Telemetry

extension AccessKeys {
    static func load(_ path: String) throws(ServingError) -> [Record] {
        guard DurableFile.exists(path) else { return [] }
        do {
            return try decode(try KeyFile.read(path).exposedCopy())
        } catch {
            throw .accessKeys(path: path, problem: "\(error)")
        }
    }

    static func encode(_ records: [Record]) -> [UInt8] {
        JSONValue.object([
            "format": .string(format),
            "keys": .array(
                records.map { record in
                    var members = record.members
                    switch record.credential {
                    case .key(let hash): members["sha256"] = .string(hash.hex)
                    case .certificate, .subject: break
                    }
                    return .object(members)
                }),
        ]).prettyBytes()
    }

    private static func decode(_ bytes: [UInt8]) throws -> [Record] {
        let limits = JSONLimits(bytesMax: ServingLimits.accessKeyFileBytes)
        var fields = try JSONFields(
            try JSONValue.parse(bytes, dialect: .strict, limits: limits), path: "")
        guard try fields.string("format") == format else {
            throw FieldError(path: "format", problem: "must be \(format)")
        }
        let records = try fields.array("keys", maxCount: ServingLimits.accessKeys).map(record)
        try fields.finish()
        return records
    }

    private static func record(_ value: JSONValue) throws -> Record {
        var fields = try JSONFields(value, path: "keys")
        let hash = try fields.optionalString("sha256", maxBytes: 64)
        let id = try fields.string("id", maxBytes: 16)
        guard let created = Timestamp(iso8601: try fields.string("created", maxBytes: 32)) else {
            throw FieldError(path: "keys.created", problem: "must be a UTC time")
        }
        let request = try AccessKeyRequest(&fields, path: "keys")
        try fields.finish()
        let credential: Credential
        switch (hash, request.credential) {
        case (let hash?, nil):
            guard let digest = Digest(hex: hash) else {
                throw FieldError(path: "keys.sha256", problem: "must be 64 hex digits")
            }
            credential = .key(digest)
        case (nil, let given?): credential = given
        default:
            throw FieldError(path: "keys", problem: "must have one of sha256, certificate and subject each")
        }
        return Record(id: id, created: created, credential: credential, request: request)
    }
}
