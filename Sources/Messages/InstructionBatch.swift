// The answer to a poll: the instructions waiting for a site, oldest first.

import Codec

/// Instructions with their sequence numbers within one session of a node.
package struct InstructionBatch: Equatable, Sendable {
    /// One instruction of the batch.
    package struct Item: Equatable, Sendable {
        /// Counts up within a session, from 1.
        package var sequence: UInt64
        /// An encoded instruction.
        package var instruction: [UInt8]

        /// - Parameters: see the properties.
        package init(sequence: UInt64, instruction: [UInt8]) {
            self.sequence = sequence
            self.instruction = instruction
        }
    }

    /// Oldest first; empty when nothing came before the poll had waited long enough.
    package var items: [Item]

    /// Instructions of one answer.
    package static let itemsMax = 256

    /// - Parameter items: at most `itemsMax`, sequences rising.
    package init(items: [Item]) { self.items = items }

    /// Canonical bytes, `protocol/federation.md` §3.
    package var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.u8(1)
        writer.u32(UInt32(items.count))
        for item in items {
            writer.u64(item.sequence)
            writer.lengthPrefixed(item.instruction)
        }
        return writer.bytes
    }

    /// Reads what `encoded` wrote.
    ///
    /// - Throws: `MessageError.malformed`, also when the sequences do not rise.
    package init(encoded bytes: [UInt8]) throws(MessageError) {
        do {
            var reader = ByteReader(bytes)
            guard try reader.u8() == 1 else { throw MessageError.malformed("batch") }
            let count = Int(try reader.u32())
            guard count <= InstructionBatch.itemsMax else { throw MessageError.malformed("batch") }
            items = []
            for _ in 0..<count {
                items.append(
                    Item(
                        sequence: try reader.u64(),
                        instruction: try reader.lengthPrefixed(maxBytes: Instruction.bytesMax)))
            }
            try reader.finish()
        } catch {
            throw MessageError.malformed("batch")
        }
        let rises = zip(items, items.dropFirst()).allSatisfy { $0.sequence < $1.sequence }
        guard rises, items.first?.sequence != 0 else { throw MessageError.malformed("batch") }
    }
}
