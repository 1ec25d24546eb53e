import Codec
import Cryptography
import DifferentialPrivacy
import FoundationEssentials
import Glibc

/// Whether the long forms run.
let samplingIsLong = unsafe getenv("CONSILIUM_LONG") != nil

/// A stream that replays.
func seededStream(_ seed: UInt64, purpose: String = "test") -> NoiseStream {
    NoiseStream(purpose: purpose, random: SeededRandom(seed: seed))
}

/// The published probabilities: x ≥ 0 → P(x), by variance; nil with a printed line when they are not there.
func discreteGaussianReference(_ test: String = #function) -> [(variance: Double, second: Double, pmf: [Int: Double])]? {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let named = unsafe getenv("CONSILIUM_VECTORS").map { unsafe String(cString: $0) }
    for folder in [named, "/\(root)/../shared/vectors"].compactMap({ $0 }) {
        guard let data = FileManager.default.contents(atPath: folder + "/dp/reference.json"),
            let json = try? JSONValue.parse(Array(data), dialect: .json5), let cases = json["discrete_gaussian_pmf"]?.arrayValue
        else { continue }
        return cases.compactMap { item in
            guard let variance = item["sigma2"]?.doubleValue, let second = item["variance"]?.stringValue.flatMap(Double.init),
                case .object(let members)? = item["pmf"]
            else { return nil }
            var pmf: [Int: Double] = [:]
            for (x, p) in members { if let x = Int(x), let p = p.stringValue.flatMap(Double.init) { pmf[x] = p } }
            return (variance, second, pmf)
        }
    }
    print("SKIPPED \(test): no dp/reference.json found (set CONSILIUM_VECTORS)")
    return nil
}

/// P(χ² with `degrees` ≥ `statistic`): the upper incomplete gamma function by its continued fraction or series.
func chiSquareTail(_ statistic: Double, degrees: Int) -> Double {
    let (a, x) = (Double(degrees) / 2, statistic / 2)
    if x <= 0 { return 1 }
    let front = exp(-x + a * log(x) - lgamma(a))
    if x < a + 1 {
        var (term, sum) = (1 / a, 1 / a)
        for n in 1...10_000 {
            term *= x / (a + Double(n))
            sum += term
            if term < sum * 1e-15 { break }
        }
        return 1 - sum * front
    }
    var b = x + 1 - a
    var c = 1 / 1e-300
    var d = 1 / b
    var h = d
    for i in 1...10_000 {
        let an = -Double(i) * (Double(i) - a)
        b += 2
        d = 1 / (an * d + b)
        c = b + an / c
        let delta = d * c
        h *= delta
        if abs(delta - 1) < 1e-15 { break }
    }
    return front * h
}

/// p of Pearson's test; cells that expect fewer than 5 are put together.
func goodnessOfFit(_ cells: [(count: Int, expected: Double)]) -> Double {
    var (statistic, used) = (0.0, 0)
    var rest = (count: 0, expected: 0.0)
    for cell in cells {
        if cell.expected < 5 {
            rest.count += cell.count
            rest.expected += cell.expected
            continue
        }
        statistic += (Double(cell.count) - cell.expected) * (Double(cell.count) - cell.expected) / cell.expected
        used += 1
    }
    if rest.expected > 0.5 {
        statistic += (Double(rest.count) - rest.expected) * (Double(rest.count) - rest.expected) / rest.expected
        used += 1
    } else if rest.count > 3 {
        return 0
    }
    return chiSquareTail(statistic, degrees: used - 1)
}
