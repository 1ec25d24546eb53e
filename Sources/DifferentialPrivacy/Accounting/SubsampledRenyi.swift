// Rényi divergence of a Poisson-subsampled mechanism, one step, add-or-remove neighbours.
//
// Integer α (Mironov, Talwar and Zhang 2019; Steinke 2022, §3): with ψ(l) = (l − 1)·ε(l) of the mechanism alone,
//     A(α) − 1 = Σ_{l=2…α} C(α, l) (1 − q)^(α−l) q^l (e^ψ(l) − 1),     ε(α) = log A(α) / (α − 1).
// For the Gaussian ψ(l) = l(l − 1)/2σ² and the value is exact; for other noise it is an upper bound.
//
// Other α, Gaussian only: A(α) − 1 = E[(1 + u)^α − 1 − αu], u = q(e^((2x−1)/2σ²) − 1), x ~ N(0, σ²). The integrand is
// analytic and not negative, so the trapezoidal rule converges faster than any power of its step and nothing cancels:
// also a step that costs 10^-15 comes out to twelve digits.

import Glibc

/// log n! for n up to the largest order.
private let logFactorials: [Double] = {
    var table = [0.0]
    for n in 1...512 { table.append(table[n - 1] + log(Double(n))) }
    return table
}()

/// log(e^x − 1) for x > 0.
private func logExpm1(_ x: Double) -> Double { x > 40 ? x : log(expm1(x)) }

/// log(1 + e^x).
private func log1pExp(_ x: Double) -> Double { x > 40 ? x + exp(-x) : log1p(exp(x)) }

enum SubsampledRenyi {
    /// ε(α) at an integer α from 2 to 512.
    ///
    /// - Parameter moment: ψ(l) = (l − 1) ε(l) of the mechanism without sampling.
    /// - Complexity: O(α).
    static func divergence(order: Int, samplingRate q: Double, moment: (Int) -> Double) -> Double {
        guard q < 1 else { return moment(order) / Double(order - 1) }
        return divergence(order: order, samplingRate: q, growth: growth(through: order, moment))
    }

    /// log(e^ψ(l) − 1) for l up to `order`; 0 and 1 stand for nothing.
    static func growth(through order: Int, _ moment: (Int) -> Double) -> [Double] {
        (0...order).map { $0 < 2 ? 0 : logExpm1(moment($0)) }
    }

    /// The same at q < 1, from logarithms that many orders share.
    static func divergence(order: Int, samplingRate q: Double, growth: [Double]) -> Double {
        let (logQ, logRest) = (log(q), log1p(-q))
        let (factorials, growth) = (logFactorials.span, growth.span)
        var (largest, sum) = (-Double.infinity, 0.0)
        for l in 2...order {
            let binomial = factorials[order] - factorials[l] - factorials[order - l]
            let term = binomial + Double(l) * logQ + Double(order - l) * logRest + growth[l]
            if term <= largest {
                // 512 terms e^-46 below the largest are less than 10^-17 of it.
                if term > largest - 46 { sum += exp(term - largest) }
            } else {
                sum = sum * exp(largest - term) + 1
                largest = term
            }
        }
        return log1pExp(largest + log(sum)) / Double(order - 1)
    }

    /// ε(α) of the Gaussian at α = 1.1, 1.2, … 10.9 for one step.
    ///
    /// - Complexity: some 10,000 multiplications; below σ = 0.5 some 50,000 logarithms.
    static func gaussianFractions(samplingRate q: Double, noiseMultiplier sigma: Double) -> [Double] {
        precondition(q < 1, "without sampling there is a closed form")
        let moments = sigma >= 0.5 ? momentsByProducts(q, sigma) : momentsByLogarithms(q, sigma)
        return moments.enumerated().map { $1 / (RenyiOrders.value($0 + 11) - 1) }
    }

    /// Places x and the distance h between them, from 11σ below 0 to 11σ above the largest order.
    private static func places(_ sigma: Double) -> (count: Int, start: Double, step: Double) {
        // Errors: e^(−2π²σ²/h²) = e^-177 of the Gaussian, and e^(−2π²σ²/h) = e^-39 of the branch point at height πσ².
        let step = min(sigma / 3, sigma * sigma / 2)
        let (start, end) = (-11 * sigma, RenyiOrders.value(RenyiOrders.lastFraction) + 11 * sigma)
        return (Int(((end - start) / step).rounded(.up)) + 1, start, step)
    }

    /// log A(α): with r = (1 + u)^0.1 the integrand g goes from one order to the next by
    /// g(α + 0.1) = r·g(α) + g(0.1) + αu(r − 1), in which only g(0.1) is negative, and small.
    static func momentsByProducts(_ q: Double, _ sigma: Double) -> [Double] {
        let (count, start, step) = places(sigma)
        var sums = [Double](repeating: 0, count: RenyiOrders.lastFraction - 10)
        for index in 0..<count {
            let x = start + Double(index) * step
            let u = q * expm1((2 * x - 1) / (2 * sigma * sigma))
            let weight = exp(-x * x / (2 * sigma * sigma))
            let growth = expm1(0.1 * log1p(u))
            let first = weight * (abs(u) < 0.05 ? powerRest(0.1, u) : growth - 0.1 * u)
            let slope = weight * u * growth
            var value = 0.0
            for tenths in 10..<RenyiOrders.lastFraction {
                value += growth * value + first + RenyiOrders.value(tenths) * slope
                sums[tenths - 10] += value
            }
        }
        let scale = step / (sigma * (2 * Double.pi).squareRoot())
        return sums.map { log1p($0 * scale) }
    }

    /// log A(α) with every term as a logarithm: for small σ, whose terms leave the range of a double, and for tests.
    static func momentsByLogarithms(_ q: Double, _ sigma: Double) -> [Double] {
        let (count, start, step) = places(sigma)
        let scale = log(step / (sigma * (2 * Double.pi).squareRoot()))
        var sums = [(largest: Double, sum: Double)](
            repeating: (-.infinity, 0), count: RenyiOrders.lastFraction - 10)
        for index in 0..<count {
            let x = start + Double(index) * step
            let exponent = (2 * x - 1) / (2 * sigma * sigma)
            let u = q * expm1(min(exponent, 700))
            let logarithm = exponent < 30 ? log1p(u) : exponent + log(q + (1 - q) * exp(-exponent))
            for order in sums.indices {
                let alpha = RenyiOrders.value(order + 11)
                let term = scale - x * x / (2 * sigma * sigma) + logPowerRest(alpha, u, logarithm)
                if term <= sums[order].largest {
                    sums[order].sum += exp(term - sums[order].largest)
                } else {
                    sums[order] = (term, sums[order].sum * exp(sums[order].largest - term) + 1)
                }
            }
        }
        return sums.map { log1pExp($0.largest + log($0.sum)) }
    }

    /// log((1 + u)^α − 1 − αu), given log(1 + u).
    private static func logPowerRest(_ alpha: Double, _ u: Double, _ logarithm: Double) -> Double {
        if abs(u) < 0.05 { return log(powerRest(alpha, u)) }
        if u < 0 { return log(expm1(alpha * logarithm) - alpha * u) }
        if alpha * logarithm > 40 + logarithm + log(alpha) { return alpha * logarithm }
        return alpha * logarithm + log1p(-(1 + alpha * u) * exp(-alpha * logarithm))
    }

    /// (1 + u)^α − 1 − αu by its series, |u| < 0.05.
    private static func powerRest(_ alpha: Double, _ u: Double) -> Double {
        var (term, sum) = (alpha * u, 0.0)
        for k in 2...24 {
            term *= (alpha - Double(k - 1)) / Double(k) * u
            sum += term
            if abs(term) < 1e-17 * abs(sum) { break }
        }
        return sum
    }
}
