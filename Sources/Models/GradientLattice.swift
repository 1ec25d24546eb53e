/// The lattice that clipped gradients are rounded to, so that their sum is exact in any order and one unit changes
/// it by at most the clipping norm (a sum of floats does not promise that: Casacuberta et al. 2022).
///
/// In units of the lattice a clipped gradient has norm at most `radius`, *after* rounding: it is clipped to
/// radius − √m/2 first, as rounding m coordinates adds at most √m/2. `protocol/differential-privacy.md` §4.
struct GradientLattice: Equatable, Sendable {
    /// Largest radius whose products the kernels can round.
    static let radiusMax = 0x1p21
    /// Slack for the float products that are rounded: their error is below 2^-22 of their size.
    private static let slack = 1 - 0x1p-20

    /// C, in units of the gradient.
    let clippingNorm: Double
    /// C in units of the lattice, at most `radiusMax`.
    let radius: Double
    /// What a gradient is clipped to, in units of the lattice.
    let limit: Double

    /// - Throws: `ModelsError.lattice` when the lattice is too coarse for so many parameters.
    init(clippingNorm: Double, radius: Double, parameters: Int) throws(ModelsError) {
        precondition(
            clippingNorm > 0 && radius > 0 && radius <= GradientLattice.radiusMax,
            "a lattice has a radius of at most 2^21")
        self.clippingNorm = clippingNorm
        self.radius = radius
        limit = (radius - Double(parameters).squareRoot() / 2) * GradientLattice.slack
        guard limit >= radius / 2 else { throw .lattice(parameters: parameters) }
    }

    /// Size of a step, in units of the gradient.
    var step: Double { clippingNorm / radius }

    /// What a gradient of this squared norm is multiplied by: it gets the lattice's units and is clipped. 0 for a
    /// gradient that is not finite.
    func scale(squaredNorm: Double) -> Double {
        guard squaredNorm.isFinite else { return 0 }
        return min(radius / clippingNorm, limit / squaredNorm.squareRoot())
    }
}
