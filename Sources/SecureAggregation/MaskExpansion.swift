// Masks: AES-256-CTR streams added to a vector word by word modulo 2^32. `protocol/secure-aggregation.md` §3.3.
//
// A segment of a vector has one key per mask: Expand(seed, "seg"; "hdr" or "pay", u32 segment). The loop takes
// one tile of the vector at a time and runs many streams over it, so a tile stays in the first-level cache.
//
// Two forms give the same bytes: vector AES of `Kernels` where the processor has it, OpenSSL's cipher elsewhere.

import Cryptography
import Dispatch
import Kernels

#if _endian(big)
    #error(
        "words travel little-endian and are used in place: this file needs a little-endian machine")
#endif

/// Which part of a site's vector a stream masks.
enum MaskedPart: String {
    case header = "hdr"
    case payload = "pay"
}

/// Seeds with their signs, ready to be added to a vector.
struct MaskExpansion: Sendable {
    /// Rows of 32 bytes.
    let seeds: SecretTable
    /// Whether a row's stream is added (true) or subtracted.
    let isAdded: [Bool]

    /// Which implementation of AES runs.
    enum Form: CaseIterable {
        case vector, openSSL

        var isAvailable: Bool { self == .openSSL || VectorAES.isAvailable }
        static let best = VectorAES.isAvailable ? Form.vector : .openSSL
    }

    private let form: Form

    /// 4,096 words: 16 KiB.
    private static let tileWords = 4096
    /// Streams open at once, a bound on memory: with vector AES the round keys of a batch, 15 KiB, share the cache
    /// with a tile.
    private static let vectorStreamsMax = 64
    private static let streamsMax = 512
    private static let wordsPerBlock = 4

    init(seeds: SecretTable, isAdded: [Bool], form: Form = .best) {
        precondition(seeds.count == isAdded.count && seeds.width == 32, "one sign per 32-byte seed")
        precondition(form.isAvailable, "this processor has no vector AES")
        self.seeds = seeds
        self.isAdded = isAdded
        self.form = form
    }

    /// A stretch of one segment that one thread works on.
    private struct Piece {
        let segment: UInt32
        /// Offset of the piece within its segment, a multiple of the tile.
        let offset: Int
        let range: Range<Int>
    }

    /// Adds all streams to a whole vector.
    ///
    /// - Parameters:
    ///   - segmentElements: words per key.
    ///   - parallelism: threads to use, at least 1.
    /// - Complexity: seeds × words / 4 AES blocks.
    func apply(to words: inout [UInt32], part: MaskedPart, segmentElements: Int, parallelism: Int) {
        let pieces = MaskExpansion.pieces(
            count: words.count, segmentElements: segmentElements, parallelism: parallelism)
        guard !pieces.isEmpty else { return }
        // Safe: the pieces are disjoint ranges of the array, which outlives the call.
        unsafe words.withUnsafeMutableBufferPointer { buffer in
            nonisolated(unsafe) let whole = unsafe buffer
            let work = { @Sendable (index: Int) in
                let piece = pieces[index]
                var span = unsafe UnsafeMutableBufferPointer(rebasing: whole[piece.range])
                    .mutableSpan
                self.apply(piece, part: part, to: &span)
            }
            if parallelism == 1 || pieces.count == 1 {
                for index in pieces.indices { work(index) }
            } else {
                DispatchQueue.concurrentPerform(iterations: pieces.count, execute: work)
            }
        }
    }

    private static func pieces(count: Int, segmentElements: Int, parallelism: Int) -> [Piece] {
        let segments = (count + segmentElements - 1) / segmentElements
        guard segments > 0 else { return [] }
        let perSegment = max(1, (parallelism + segments - 1) / segments)
        let tiles = (segmentElements + tileWords - 1) / tileWords
        let pieceWords = (tiles + perSegment - 1) / perSegment * tileWords
        var pieces: [Piece] = []
        for segment in 0..<segments {
            let start = segment * segmentElements
            let end = min(start + segmentElements, count)
            for first in stride(from: start, to: end, by: pieceWords) {
                pieces.append(
                    Piece(
                        segment: UInt32(segment), offset: first - start,
                        range: first..<min(first + pieceWords, end)))
            }
        }
        return pieces
    }

    private func apply(_ piece: Piece, part: MaskedPart, to words: inout MutableSpan<UInt32>) {
        let info = Transcript.information(
            .segment, Array(part.rawValue.utf8), piece.segment.bigEndianBytes)
        switch form {
        case .vector: applyVector(piece, info, to: &words)
        case .openSSL: applyOpenSSL(piece, info, to: &words)
        }
    }

    private func applyVector(_ piece: Piece, _ info: [UInt8], to words: inout MutableSpan<UInt32>) {
        let size = VectorAES.scheduleBytes
        for first in stride(from: 0, to: seeds.count, by: MaskExpansion.vectorStreamsMax) {
            let rows = first..<min(first + MaskExpansion.vectorStreamsMax, seeds.count)
            let schedules = SecretBytes(count: rows.count * size) { output in
                for row in rows {
                    segmentKey(row, info).withBytes {
                        VectorAES.expand($0, into: &output, at: (row - first) * size)
                    }
                }
            }
            schedules.withBytes { schedules in
                for position in stride(from: 0, to: words.count, by: MaskExpansion.tileWords) {
                    let tile = position..<min(position + MaskExpansion.tileWords, words.count)
                    let block = UInt32((piece.offset + position) / MaskExpansion.wordsPerBlock)
                    for row in rows {
                        VectorAES.add(
                            schedules, at: (row - first) * size, isAdded: isAdded[row],
                            firstBlock: block, to: &words, tile)
                    }
                }
            }
        }
    }

    private func applyOpenSSL(_ piece: Piece, _ info: [UInt8], to words: inout MutableSpan<UInt32>)
    {
        var scratch = [UInt32](repeating: 0, count: min(MaskExpansion.tileWords, words.count))
        let start = MaskExpansion.initialVector(block: piece.offset / MaskExpansion.wordsPerBlock)
        if words.count <= MaskExpansion.tileWords {
            addSmall(info, to: &words, start: start, scratch: &scratch)
            return
        }
        for first in stride(from: 0, to: seeds.count, by: MaskExpansion.streamsMax) {
            let rows = first..<min(first + MaskExpansion.streamsMax, seeds.count)
            let streams = rows.map { AESCTR256(key: segmentKey($0, info), initialVector: start) }
            for position in stride(from: 0, to: words.count, by: MaskExpansion.tileWords) {
                let length = min(MaskExpansion.tileWords, words.count - position)
                for (stream, row) in zip(streams, rows) {
                    addTile(
                        stream, isAdded: isAdded[row], to: &words, at: position, count: length,
                        scratch: &scratch)
                }
            }
        }
    }

    /// One tile or less: one context, re-keyed for each stream.
    private func addSmall(
        _ info: [UInt8], to words: inout MutableSpan<UInt32>, start: [UInt8],
        scratch: inout [UInt32]
    ) {
        guard seeds.count > 0 else { return }
        let stream = AESCTR256(key: segmentKey(0, info), initialVector: start)
        for row in 0..<seeds.count {
            if row > 0 { stream.rekey(key: segmentKey(row, info), initialVector: start) }
            addTile(
                stream, isAdded: isAdded[row], to: &words, at: 0, count: words.count,
                scratch: &scratch)
        }
    }

    private func addTile(
        _ stream: AESCTR256, isAdded: Bool, to words: inout MutableSpan<UInt32>, at position: Int,
        count: Int,
        scratch: inout [UInt32]
    ) {
        // The last tile may need less than the scratch holds; the stream ends there, so the rest is of no use to anyone.
        var mask = scratch.mutableSpan
        var bytes = unsafe mask.mutableBytes
        stream.keystream(into: &bytes)
        addWords(scratch.span, to: &words, at: position, count: count, isAdded: isAdded)
    }

    /// Expand(seed, "seg"; part, segment). The information is the same for all rows.
    private func segmentKey(_ row: Int, _ info: [UInt8]) -> SecretBytes {
        HKDF.expand(seeds.row(row), info: info)
    }

    /// The counter block of the segment's block number `block`.
    private static func initialVector(block: Int) -> [UInt8] {
        [UInt8](repeating: 0, count: 12) + UInt32(block).bigEndianBytes
    }
}

/// words[position + i] ±= mask[i] mod 2^32 for i < count. The compiler vectorises both loops.
private func addWords(
    _ mask: Span<UInt32>, to words: inout MutableSpan<UInt32>, at position: Int, count: Int,
    isAdded: Bool
) {
    precondition(
        position >= 0 && count <= mask.count && position + count <= words.count,
        "the tile fits both")
    if isAdded {
        for index in 0..<count {
            words[position &+ index] = words[position &+ index] &+ mask[index]
        }
    } else {
        for index in 0..<count {
            words[position &+ index] = words[position &+ index] &- mask[index]
        }
    }
}
