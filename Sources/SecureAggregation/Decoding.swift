import Codec
import Cryptography

/// Runs a decoder; every error of the codec becomes `malformed-message`, refusals pass through.
func decoding<Value>(_ body: () throws -> Value) throws(AggregationRefusal) -> Value {
    do {
        return try body()
    } catch let refusal as AggregationRefusal {
        throw refusal
    } catch {
        throw AggregationRefusal(.malformedMessage)
    }
}

extension ByteReader {
    mutating func digest() throws -> Digest {
        guard let digest = Digest(bytes: try raw(Digest.byteCount)) else {
            throw AggregationRefusal(.malformedMessage)
        }
        return digest
    }

    mutating func signature() throws -> [UInt8] { try raw(SigningKey.signatureBytes) }
}
