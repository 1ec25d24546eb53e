/// A witness's answer to `POST <prefix>/add-checkpoint`, c2sp.org/tlog-witness.
package enum WitnessReply: Equatable, Sendable {
    /// 200: the cosignature line.
    case cosigned([UInt8])
    /// 400: the request is not in the format, or `old` is larger than the checkpoint.
    case malformed(String)
    /// 403: no signature of the log's key, or a wrong one.
    case notSigned
    /// 404: a log this witness does not know.
    case unknownOrigin
    /// 409: `old` is not the size this witness has; the body says which it has.
    case otherSize(UInt64)
    /// 422: the proof does not hold, or the root differs at the same size.
    case inconsistent
    /// 503: the state could not be made durable; nothing was signed.
    case unavailable(String)

    /// The HTTP status.
    package var status: Int {
        switch self {
        case .cosigned: 200
        case .malformed: 400
        case .notSigned: 403
        case .unknownOrigin: 404
        case .otherSize: 409
        case .inconsistent: 422
        case .unavailable: 503
        }
    }

    /// The media type of the body.
    package var contentType: String {
        if case .otherSize = self { "text/x.tlog.size" } else { "text/plain; charset=utf-8" }
    }

    /// The body, which ends with a line feed.
    package var body: [UInt8] {
        switch self {
        case .cosigned(let lines): lines
        case .malformed(let problem): Array("\(problem)\n".utf8)
        case .notSigned: Array("the checkpoint is not signed by the log's key\n".utf8)
        case .unknownOrigin: Array("this witness does not know the log\n".utf8)
        case .otherSize(let size): Array("\(size)\n".utf8)
        case .inconsistent:
            Array("the checkpoint does not extend the one this witness cosigned\n".utf8)
        case .unavailable(let problem): Array("\(problem)\n".utf8)
        }
    }
}
