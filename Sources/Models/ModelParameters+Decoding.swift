import Codec

extension ModelParameters {
    /// Reads what `canonicalBytes` wrote, for a known family and width: names and shapes must be the family's.
    ///
    /// - Parameter inputs: preprocessed columns.
    /// - Throws: `ModelsError.shape` for other bytes, `.notFinite` for a value that is not finite.
    package init(canonicalBytes bytes: [UInt8], family: ModelFamily, inputs: Int)
        throws(ModelsError)
    {
        let blank = ModelParameters(family: family, inputs: inputs, seed: [])
        var values: [Float] = []
        values.reserveCapacity(blank.count)
        do {
            var reader = ByteReader(bytes)
            guard try reader.u32() == UInt32(blank.tensors.count) else {
                throw ModelsError.shape("another number of tensors")
            }
            for tensor in blank.tensors {
                guard try reader.text(maxBytes: 64) == tensor.name,
                    try reader.u32() == UInt32(tensor.shape.count)
                else {
                    throw ModelsError.shape("another tensor than the family's")
                }
                for size in tensor.shape {
                    guard try reader.u32() == UInt32(size) else {
                        throw ModelsError.shape("another shape than the family's")
                    }
                }
                for _ in tensor.values { values.append(Float(bitPattern: try reader.u32le())) }
            }
            try reader.finish()
        } catch let error as ModelsError {
            throw error
        } catch {
            throw .shape("bytes that end too early or too late")
        }
        self = try blank.replacing(values)
    }
}
