import Codec
import Cryptography
import Glibc
import Tabular

/// Numbers from a seed (SplitMix64), for property tests that replay.
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// A small clinic: every kind of feature and of missing value.
let clinic = Schema(
    features: [
        Feature(
            name: "age", kind: .numeric(unit: "years", range: 0...120, integer: true),
            sensitive: true),
        Feature(name: "sex", kind: .binary(zero: "f", one: "m"), sensitive: true),
        Feature(
            name: "pain", column: "cp",
            kind: .categorical(categories: ["1", "2", "3", "4"], dropFirst: false),
            missing: .ownCategory),
        Feature(
            name: "chol", kind: .numeric(unit: "mg/dl", range: 0...700, integer: false),
            missing: .imputeWithIndicator,
            missingCodes: ["0", "unknown"]),
        Feature(
            name: "ecg",
            kind: .categorical(categories: ["normal", "st", "hypertrophy"], dropFirst: true),
            missing: .impute),
        Feature(name: "fbs", kind: .binary(zero: "0", one: "1"), missing: .imputeWithIndicator),
    ],
    label: Label(column: "num", positive: .greaterThan(0), range: 0...4))

let clinicHeader = "age,sex,cp,chol,ecg,fbs,num\n"

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// Clinic rows through the whole ingest.
func clinicDataset(_ rows: String, lenient: Bool = true) throws -> Dataset {
    try Ingest.read(csv: bytes(clinicHeader + rows), schema: clinic, lenient: lenient)
}

/// All records of a CSV text.
func records(
    _ csv: [UInt8], delimiter: UInt8 = 0x2C, limits: CSVLimits = CSVLimits(), cuts: [Int] = []
) throws(TabularError) -> [CSVRecord] {
    var parser = CSVParser(delimiter: delimiter, limits: limits)
    var found: [CSVRecord] = []
    var start = 0
    for end in cuts + [csv.count] {
        try parser.feed(Array(csv[start..<end])) { found.append($0) }
        start = end
    }
    try parser.finish { found.append($0) }
    return found
}

func texts(_ record: CSVRecord) -> [String] { (0..<record.fieldCount).map { record.text($0) } }

/// The error that `body` throws, or nil.
func failure(_ body: () throws -> Void) -> TabularError? {
    do {
        try body()
        return nil
    } catch {
        return error as? TabularError
    }
}

/// A file that is removed when the test ends with it.
final class TemporaryFile {
    let path: String
    init(_ content: [UInt8], mode: mode_t = 0o600) {
        path = "/tmp/tabular-\(getpid())-\(UInt64.random(in: 0...UInt64.max)).csv"
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL, mode)
        precondition(descriptor >= 0)
        var written = 0
        while written < content.count {
            let count = unsafe content.withUnsafeBytes { buffer in
                unsafe Glibc.write(
                    descriptor, buffer.baseAddress! + written, buffer.count - written)
            }
            precondition(count > 0)
            written += count
        }
        close(descriptor)
    }
    deinit { unsafe unlink(path) }
}

/// The folder of the public datasets, or nil with a printed message.
func dataFolder(_ test: String = #function) -> String? {
    let named = unsafe getenv("CONSILIUM_DATA").map { unsafe String(cString: $0) }
    // Tests/TabularTests/Support.swift → the package's parent.
    let root = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined()
    for folder in [named, "\(root)/../shared/data"].compactMap({ $0 }) {
        if unsafe access("\(folder)/README.md", R_OK) == 0 { return folder }
    }
    print("SKIPPED \(test): no datasets found (set CONSILIUM_DATA)")
    return nil
}
