// AES-256-CTR keystreams added to 32-bit words, in front of `CKernels`. The first use of vector AES (VAES): four
// blocks to an instruction, about twice what OpenSSL 3.0 reaches, and no keystream in memory.

import CKernels

/// The masks' fast form, for processors that have it. The other form, with the same bytes, is OpenSSL's cipher.
package enum VectorAES {
    /// Whether this processor has VAES and AVX-512. The two functions below need it.
    package static let isAvailable = ck_has_vector_aes()
    /// Bytes of one key's fifteen round keys.
    package static let scheduleBytes = Int(CK_MASK_SCHEDULE_BYTES)
    private static let keyBytes = 32

    /// Writes the round keys of a 32-byte key (FIPS 197 §5.2) at `offset`. They are as secret as the key. Cost: 40 ns.
    package static func expand(
        _ key: RawSpan, into schedules: inout MutableRawSpan, at offset: Int
    ) {
        precondition(isAvailable, "vector AES needs a processor with VAES and AVX-512")
        precondition(
            key.byteCount == keyBytes && offset >= 0
                && offset + scheduleBytes <= schedules.byteCount, "the schedule fits its table")
        // Reason: sizes were checked above.
        unsafe key.withUnsafeBytes { key in
            unsafe schedules.withUnsafeMutableBytes { schedules in
                unsafe ck_mask_schedule(key.baseAddress, schedules.baseAddress! + offset)
            }
        }
    }

    /// words[range] ±= the keystream of the schedule at `offset`, from counter block `firstBlock` on, read as
    /// little-endian words, mod 2^32. Cost: a nanosecond for about 14 bytes.
    package static func add(
        _ schedules: RawSpan, at offset: Int, isAdded: Bool, firstBlock: UInt32,
        to words: inout MutableSpan<UInt32>, _ range: Range<Int>
    ) {
        precondition(isAvailable, "vector AES needs a processor with VAES and AVX-512")
        precondition(
            offset >= 0 && offset + scheduleBytes <= schedules.byteCount
                && range.lowerBound >= 0 && range.upperBound <= words.count,
            "schedule and words lie inside their buffers")
        guard !range.isEmpty else { return }
        // Reason: both ranges were checked above; neither buffer is empty, so both have an address.
        unsafe schedules.withUnsafeBytes { schedules in
            unsafe words.withUnsafeMutableBufferPointer { words in
                unsafe ck_mask_add(
                    schedules.baseAddress! + offset, isAdded, firstBlock, range.count,
                    words.baseAddress! + range.lowerBound)
            }
        }
    }
}
