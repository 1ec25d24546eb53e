import CKernels

/// Which form of a kernel runs. Both give the same answer up to rounding; each gives the same bits every time.
package enum KernelPath: Equatable, Sendable, CaseIterable {
    /// Plain x86-64 (SSE2) or whatever the target machine's baseline is.
    case baseline
    /// AVX2 with fused multiply-add.
    case wide

    /// The fastest form this processor has, found once.
    package static let best: KernelPath = ck_has_avx2_fma() ? .wide : .baseline

    /// Whether this processor can run the form.
    package var isAvailable: Bool { self == .baseline || KernelPath.best == .wide }

    /// What the C side takes. Stops the program when a form is forced that the processor does not have.
    @inline(__always)
    var flag: Bool {
        precondition(isAvailable, "the wide kernels need a processor with AVX2 and FMA")
        return self == .wide
    }
}
