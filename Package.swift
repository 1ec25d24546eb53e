// swift-tools-version: 6.2
// Consilium: one binary, `consilium`, that is coordinator, site node and operator's command line.
// No package dependencies: the Swift toolchain and OpenSSL (libssl-dev), nothing else is linked.
import PackageDescription

/// Keeps only this module, what it imports and its tests: `CONSILIUM_ONLY=AuditLog swift test`.
/// Building one floor of the house takes seconds instead of minutes.
let only = Context.environment["CONSILIUM_ONLY"]

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .strictMemorySafety(),
    .enableExperimentalFeature("Lifetimes"),
]

/// One row of the floor table: a module may import only modules of lower floors, and only those it lists.
/// `Tests/ArchitectureTests` reads these rows as text and holds every `import` against them,
/// so keep one module a line.
struct Module {
    var name: String
    var floor: Double
    var imports: [String]
}

func module(_ name: String, floor: Double, imports: [String]) -> Module {
    Module(name: name, floor: floor, imports: imports)
}

// C modules, floor 0: COpenSSL (system library), CShims, CKernels.
let modules: [Module] = [
    module("Kernels", floor: 1, imports: ["CKernels"]),
    module("Codec", floor: 1, imports: []),
    module("Cryptography", floor: 1, imports: ["COpenSSL", "CShims"]),
    module("Storage", floor: 1, imports: ["CShims"]),
    module("Telemetry", floor: 1, imports: []),
    module("DifferentialPrivacy", floor: 1.5, imports: ["Codec", "Cryptography"]),
    module("Tabular", floor: 2, imports: ["Kernels", "Codec", "Cryptography"]),
    module("Models", floor: 2, imports: ["Kernels", "Codec", "Cryptography", "DifferentialPrivacy"]),
    module("SecureAggregation", floor: 2, imports: ["Kernels", "Codec", "Cryptography"]),
    module("AuditLog", floor: 2, imports: ["Codec", "Cryptography", "Storage", "Telemetry"]),
    module("Study", floor: 2.5, imports: ["Tabular", "Models", "DifferentialPrivacy", "SecureAggregation", "Codec", "Cryptography"]),
    module("ModelPackage", floor: 2.5, imports: ["Tabular", "Models", "DifferentialPrivacy", "Codec", "Cryptography", "Storage"]),
    module("Messages", floor: 3, imports: ["Codec", "Cryptography", "SecureAggregation", "AuditLog", "Study"]),
    module("Transport", floor: 3, imports: ["Cryptography", "COpenSSL", "CShims", "Telemetry"]),
    module("HTTP", floor: 3.5, imports: ["Transport", "Codec", "Cryptography", "Telemetry"]),
    module("Serving", floor: 4, imports: ["Codec", "Cryptography", "Storage", "Telemetry", "Tabular", "Models", "AuditLog", "Study", "ModelPackage", "Transport", "HTTP"]),
    module("Coordinator", floor: 4, imports: ["Codec", "Cryptography", "Storage", "Telemetry", "Tabular", "Models", "DifferentialPrivacy", "SecureAggregation", "AuditLog", "Study", "ModelPackage", "Messages", "Transport", "HTTP"]),
    module("SiteNode", floor: 4.5, imports: ["Codec", "Cryptography", "Storage", "Telemetry", "Tabular", "Models", "DifferentialPrivacy", "SecureAggregation", "AuditLog", "Study", "ModelPackage", "Messages", "Transport", "HTTP", "Serving"]),
    module("Simulation", floor: 5, imports: ["Codec", "Cryptography", "Storage", "Telemetry", "Tabular", "Models", "DifferentialPrivacy", "SecureAggregation", "AuditLog", "Study", "ModelPackage", "Messages", "Transport", "HTTP", "Serving", "Coordinator", "SiteNode"]),
]

/// Test targets: the module under test and what else the tests need.
let tests: [(name: String, imports: [String])] = [
    ("KernelsTests", ["Kernels"]),
    ("CodecTests", ["Codec"]),
    ("CryptographyTests", ["Cryptography"]),
    ("StorageTests", ["Storage"]),
    ("TelemetryTests", ["Telemetry"]),
    ("DifferentialPrivacyTests", ["DifferentialPrivacy", "Codec", "Cryptography"]),
    ("TabularTests", ["Tabular", "Codec", "Cryptography"]),
    ("ModelsTests", ["Models", "Kernels", "Tabular", "DifferentialPrivacy", "Cryptography"]),
    ("SecureAggregationTests", ["SecureAggregation", "Codec", "Cryptography"]),
    ("AuditLogTests", ["AuditLog", "Storage", "Codec", "Cryptography", "Telemetry"]),
    ("StudyTests", ["Study", "Tabular", "Models", "Codec", "Cryptography"]),
    ("ModelPackageTests", ["ModelPackage", "Tabular", "Models", "Codec", "Cryptography", "Storage"]),
    ("MessagesTests", ["Messages", "SecureAggregation", "Study", "Codec", "Cryptography"]),
    ("TransportTests", ["Transport", "Cryptography"]),
    ("HTTPTests", ["HTTP", "Transport", "Codec", "Cryptography"]),
    ("ServingTests", ["Serving", "HTTP", "Transport", "ModelPackage", "AuditLog", "Tabular", "Models", "Study", "Storage", "Codec", "Cryptography"]),
    ("CoordinatorTests", ["Coordinator", "Messages", "SecureAggregation", "AuditLog", "Codec", "Cryptography"]),
    ("SiteNodeTests", ["SiteNode", "Messages", "Codec", "Cryptography"]),
    ("SimulationTests", ["Simulation", "Coordinator", "SiteNode"]),
    ("EndToEndTests", ["Simulation", "Storage", "Codec", "Cryptography", "HTTP", "Transport"]),
    ("ArchitectureTests", []),
]

/// Executables; each imports what it needs of all modules.
let programs = ["consilium", "consilium-bench"]

func swiftTarget(_ module: Module) -> Target {
    .target(name: module.name, dependencies: module.imports.map { .byName(name: $0) }, swiftSettings: settings)
}

/// The modules that `names` need, themselves included.
func closure(_ names: [String]) -> Set<String> {
    var found = Set<String>()
    var open = names
    while let name = open.popLast() {
        guard found.insert(name).inserted else { continue }
        open += programs.contains(name) ? modules.map(\.name) : modules.first { $0.name == name }?.imports ?? []
    }
    return found
}

let kept = only.map { wanted in closure(wanted.split(separator: ",").map(String.init)) }
func isKept(_ name: String) -> Bool { kept?.contains(name) ?? true }

var targets: [Target] = [
    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .target(name: "CShims", dependencies: ["COpenSSL"]),
    .target(name: "CKernels"),
]
targets += modules.filter { isKept($0.name) }.map(swiftTarget)
targets += tests.filter { test in kept == nil || only!.split(separator: ",").contains { test.name == $0 + "Tests" } }
    .map { .testTarget(name: $0.name, dependencies: $0.imports.map { .byName(name: $0) }, swiftSettings: settings) }

targets += programs.filter(isKept).map {
    .executableTarget(name: $0, dependencies: modules.map { .byName(name: $0.name) }, swiftSettings: settings)
}

// A fuzzer has no `main` of its own and would break an ordinary build: `Tests/fuzz/run` asks for it.
if Context.environment["CONSILIUM_FUZZ"] != nil {
    targets.append(
        .executableTarget(
            name: "fuzz-secure-aggregation", dependencies: ["SecureAggregation", "Codec", "Cryptography"],
            path: "Tests/fuzz/SecureAggregation",
            swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])]))
}

let package = Package(name: "consilium", targets: targets)
