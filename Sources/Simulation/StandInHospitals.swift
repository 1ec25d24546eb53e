// Stand-in data for the four hospitals, for machines that do not have the real files.
//
// Made from published summary figures of the heart-disease files (site sizes, prevalence, missing
// shares per site, means and shares per class over all sites): no row of the real data is in here, and
// a report says when a run used this.

import Cryptography

/// Makes one CSV file per hospital, in the layout of the real files.
package enum StandInHospitals {
    /// Sites in the order of the real federation.
    package static let sites = ["cleveland", "hungarian", "switzerland", "va"]

    struct Site {
        var rows: Int
        var prevalence: Double
        /// Share of missing values in columns 0 to 12.
        var missing: [Double]
        /// Share of cholesterol written as 0, which means that it was not measured.
        var zeroCholesterol: Double
        /// Share of men, who are over-represented at two sites.
        var men: Double?
    }

    static func site(_ name: String) -> Site? {
        switch name {
        case "cleveland":
            Site(rows: 303, prevalence: 0.459, missing: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.013, 0.007], zeroCholesterol: 0, men: nil)
        case "hungarian":
            Site(
                rows: 294, prevalence: 0.361,
                missing: [0, 0, 0, 0.003, 0.078, 0.027, 0.003, 0.003, 0.003, 0, 0.646, 0.99, 0.905], zeroCholesterol: 0, men: nil)
        case "switzerland":
            Site(
                rows: 123, prevalence: 0.935,
                missing: [0, 0, 0, 0.016, 0, 0.61, 0.008, 0.008, 0.008, 0.049, 0.138, 0.959, 0.423], zeroCholesterol: 1, men: 0.92)
        case "va":
            Site(
                rows: 200, prevalence: 0.745,
                missing: [0, 0, 0, 0.28, 0.035, 0.035, 0, 0.265, 0.265, 0.28, 0.51, 0.99, 0.83], zeroCholesterol: 0.245, men: 0.97)
        default: nil
        }
    }

    /// The file of one hospital.
    ///
    /// - Returns: CSV without a header, `?` for missing, 14 columns as in the real files; the same
    ///   bytes for the same seed. Nil for a name that is not one of the four sites.
    package static func file(for name: String, seed: UInt64) -> String? {
        guard let site = site(name) else { return nil }
        let draw = Draw(random: SeededRandom(seed: seed).child("stand-in/\(name)"))
        var text = ""
        for _ in 0..<site.rows {
            let diseased = draw.share() < site.prevalence
            var values = draw.patient(diseased: diseased, men: site.men)
            if draw.share() < site.zeroCholesterol { values[4] = "0" }
            for column in 0..<13 where draw.share() < site.missing[column] { values[column] = "?" }
            text += values.joined(separator: ",") + "\n"
        }
        return text
    }
}

/// Draws patients; class 1 is diseased.
private struct Draw {
    let random: SeededRandom

    func share() -> Double {
        let bytes = random.bytes(8)
        let bits = bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return Double(bits >> 11) * 0x1p-53
    }

    /// Sum of twelve uniform draws: near enough to a normal one for stand-in data.
    func normal(_ mean: Double, _ deviation: Double, within range: ClosedRange<Double>) -> Double {
        let standard = (0..<12).reduce(-6.0) { sum, _ in sum + share() }
        return min(max(mean + deviation * standard, range.lowerBound), range.upperBound)
    }

    func pick(_ shares: [(String, Double)]) -> String {
        var rest = share()
        for (value, share) in shares {
            rest -= share
            if rest < 0 { return value }
        }
        return shares[shares.count - 1].0
    }

    func patient(diseased: Bool, men: Double?) -> [String] {
        func whole(_ value: Double) -> String { String(Int(value.rounded())) }
        let oldpeak = Int((normal(diseased ? 1.3 : 0.4, diseased ? 1.2 : 0.7, within: 0...6.2) * 10).rounded())
        return [
            whole(normal(diseased ? 55.9 : 50.5, 9, within: 28...77)),
            share() < (men ?? (diseased ? 0.87 : 0.62)) ? "1" : "0",
            pick(diseased ? [("1", 0.039), ("2", 0.047), ("3", 0.143), ("4", 0.771)] : [("1", 0.063), ("2", 0.365), ("3", 0.319), ("4", 0.253)]),
            whole(normal(diseased ? 134.3 : 129.9, 18, within: 80...200)),
            whole(normal(diseased ? 254 : 240.2, 58, within: 100...564)),
            share() < (diseased ? 0.217 : 0.111) ? "1" : "0",
            pick(diseased ? [("0", 0.558), ("1", 0.233), ("2", 0.209)] : [("0", 0.652), ("1", 0.148), ("2", 0.2)]),
            whole(normal(diseased ? 128.3 : 148.8, 24, within: 60...202)),
            share() < (diseased ? 0.595 : 0.141) ? "1" : "0",
            "\(oldpeak / 10).\(oldpeak % 10)",
            pick(diseased ? [("1", 0.198), ("2", 0.677), ("3", 0.125)] : [("1", 0.573), ("2", 0.362), ("3", 0.065)]),
            pick(diseased ? [("0", 0.333), ("1", 0.319), ("2", 0.229), ("3", 0.119)] : [("0", 0.806), ("1", 0.127), ("2", 0.048), ("3", 0.019)]),
            pick(diseased ? [("3", 0.235), ("6", 0.142), ("7", 0.623)] : [("3", 0.738), ("6", 0.059), ("7", 0.203)]),
            diseased ? pick([("1", 0.52), ("2", 0.21), ("3", 0.21), ("4", 0.06)]) : "0",
        ]
    }
}
