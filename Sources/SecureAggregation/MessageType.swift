// The first byte of every message. `protocol/secure-aggregation.md` §3 has the table.

import Codec
import Cryptography

/// Message types. Odd numbers below 10 go from site to coordinator.
package enum MessageType: UInt8, Sendable {
    case opening = 0x00
    case advertisement = 0x01
    case roster = 0x02
    case shares = 0x03
    case delivery = 0x04
    case maskedInput = 0x05
    case survivors = 0x06
    case confirmation = 0x07
    case evidence = 0x08
    case revealedShares = 0x09
    case result = 0x0A
    case abort = 0x0E
    case maskedSegment = 0x15
    case resultSegment = 0x1A
}

/// A reader past the type byte.
func reader(_ message: [UInt8], expecting type: MessageType) throws(AggregationRefusal)
    -> ByteReader
{
    try decoding { () throws -> ByteReader in
        var reader = ByteReader(message)
        guard try reader.u8() == type.rawValue else { throw AggregationRefusal(.unexpectedMessage) }
        return reader
    }
}

/// Either side gives up: type, u32 sender (2^32 − 1: the coordinator), u16 code, u32 site concerned
/// (2^32 − 1: none), signature over (ctx, sender, code, site).
struct AbortMessage: Equatable, Sendable {
    static let coordinator = UInt32.max
    private static let nobody = UInt32.max

    let sender: UInt32
    let refusal: AggregationRefusal

    func encoded(context: Digest, key: SigningKey) -> [UInt8] {
        var writer = ByteWriter(reserving: 80)
        writer.u8(MessageType.abort.rawValue)
        writer.raw(body)
        writer.raw(Transcript.sign(.abort, context.bytes, body, with: key))
        return writer.bytes
    }

    private var body: [UInt8] {
        var writer = ByteWriter(reserving: 10)
        writer.u32(sender)
        writer.u16(refusal.code.rawValue)
        writer.u32(refusal.site ?? AbortMessage.nobody)
        return writer.bytes
    }

    private init(sender: UInt32, refusal: AggregationRefusal, _: Void) {
        self.sender = sender
        self.refusal = refusal
    }

    init(sender: UInt32, refusal: AggregationRefusal) {
        self.init(sender: sender, refusal: refusal, ())
    }

    /// - Throws: `malformed-message`; `signature-invalid` when `key` did not sign it for `context`.
    init(_ message: [UInt8], context: Digest, key: VerifyingKey) throws(AggregationRefusal) {
        var reader = try reader(message, expecting: .abort)
        let (parsed, signature) = try decoding { () throws -> (AbortMessage, [UInt8]) in
            let sender = try reader.u32()
            guard let code = RefusalCode(rawValue: try reader.u16()) else {
                throw AggregationRefusal(.malformedMessage)
            }
            let site = try reader.u32()
            let signature = try reader.signature()
            try reader.finish()
            let refusal = AggregationRefusal(code, site: site == AbortMessage.nobody ? nil : site)
            return (AbortMessage(sender: sender, refusal: refusal), signature)
        }
        guard Transcript.isValid(signature, .abort, context.bytes, parsed.body, by: key) else {
            throw AggregationRefusal(.signatureInvalid)
        }
        self = parsed
    }
}
