import AuditLog
import Codec
import Cryptography
import Glibc
import HTTP
import ModelPackage
import Models
import Storage
import Tabular
import Telemetry
import Transport

@testable import Serving

/// A log in memory that can be told to fail, and that remembers the order of things.
final class MemoryLog: Sendable {
    private struct State {
        var entries: [LogEntry] = []
        var times: [Timestamp] = []
        var failure: String?
        var held: [@Sendable () -> Void]?
    }
    private let state = Locked(State())
    private let clock: ManualClock

    init(clock: ManualClock) { self.clock = clock }

    var writer: LogWriter {
        LogWriter { [self] entry, stored, completion in
            let now = clock.now()
            let failure = state.withLock { state -> String? in
                guard state.failure == nil else { return state.failure }
                if let (store, record) = stored {
                    do { try store.put(record) } catch { return "\(error)" }
                }
                state.entries.append(entry)
                // A log dates an entry when it becomes durable, which is after the moment it is about.
                state.times.append(now.adding(seconds: 0.003))
                return nil
            }
            let isHeld = state.withLock { state in
                guard state.held != nil else { return false }
                state.held?.append { completion(failure) }
                return true
            }
            if !isHeld { completion(failure) }
        }
    }

    var entries: [LogEntry] { state.withLock { $0.entries } }
    func entries(_ type: EntryType) -> [LogEntry] { entries.filter { $0.type == type } }
    func fail(_ reason: String?) { state.withLock { $0.failure = reason } }

    /// Entries from here on are written but not acknowledged until `release`.
    func hold() { state.withLock { $0.held = [] } }

    func release() {
        let held = state.withLock { state in
            defer { state.held = nil }
            return state.held ?? []
        }
        for completion in held { completion() }
    }

    /// The entries as a log gives them back.
    func stored() throws -> [StoredEntry] {
        let (entries, times) = state.withLock { ($0.entries, $0.times) }
        return try entries.enumerated().map {
            try StoredEntry($1.encoded(seq: UInt64($0), time: times[$0]))
        }
    }
}

/// A service with a small model on a directory of its own, without a server.
final class TestNode: Sendable {
    static let key = SigningKey.generate(random: SeededRandom(seed: 7))
    static let ownKey = SigningKey.generate(random: SeededRandom(seed: 8))
    let directory: String
    let clock = ManualClock(Timestamp(milliseconds: 1_795_000_000_000))
    let log: MemoryLog
    let metrics = Telemetry.Metrics()
    let lines = Locked<[String]>([])
    let keys: AccessKeys
    private let held = Locked<PredictionService?>(nil)
    private let router = Locked(Router())
    /// One key per role.
    let roleKeys: [AccessRole: String]

    var service: PredictionService {
        guard let service = held.withLock({ $0 }) else { preconditionFailure("the node is closed") }
        return service
    }

    private let rate: RateLimit

    init(rate: RateLimit = .unlimited) throws {
        self.rate = rate
        directory = "/tmp/consilium-serving-\(SystemRandom.shared.word())"
        try DurableFile.createDirectory(directory + "/keys")
        log = MemoryLog(clock: clock)
        keys = try AccessKeys(directory: directory + "/keys", clock: clock)
        var made: [AccessRole: String] = [:]
        for role in AccessRole.allCases {
            made[role] = try keys.create(
                AccessKeyRequest(name: role.rawValue, roles: [role]), random: SystemRandom.shared
            ).key
        }
        roleKeys = made
        try open([])
    }

    deinit {
        held.withLock { $0 }?.stop()
        Self.remove(directory)
    }

    private func open(_ entries: [StoredEntry]) throws {
        let logger = Logger(source: "node", level: .debug, clock: clock) { [lines] line in
            lines.withLock { $0.append(line) }
        }
        let service = try PredictionService(
            .init(directory: directory, site: "basel", trustedKey: Self.key.publicKey, ownKey: Self.ownKey.publicKey, rate: rate),
            log: log.writer, replay: { entries.forEach($0) }, keys: keys,
            clock: clock, random: SystemRandom.shared, metrics: metrics, logger: logger)
        var routes = Router()
        service.mount(on: &routes)
        held.withLock { $0 = service }
        router.withLock { $0 = routes }
    }

    /// Ends the service and opens another one on the same directory and log.
    func restart() throws {
        service.stop()
        router.withLock { $0 = Router() }
        held.withLock { $0 = nil }
        try open(log.stored())
    }

    /// Installs a version and makes it live.
    @discardableResult
    func deploy(
        _ version: Int = 1, family: ModelFamily = TestModel.linear, intercept: Double = 0,
        name: String = "heart"
    ) throws -> VerifiedPackage {
        let package = try TestModel.package(version, family: family, name: name)
        try service.deployments.install(package, intercept: intercept, actor: "test")
        try service.deployments.makeLive(package.digest, actor: "test")
        return package
    }

    /// Sends a request through the router and waits for its answer.
    func send(
        _ method: String, _ path: String, _ body: [UInt8] = [], key: String?,
        headers: [(String, String)] = [], peer: PeerIdentity? = nil
    ) -> HTTPResponse {
        HTTPResponder.answer { responder in
            begin(method, path, body, key: key, headers: headers, peer: peer) { responder.respond($0) }
        }
    }

    func begin(
        _ method: String, _ path: String, _ body: [UInt8] = [], key: String?,
        headers fields: [(String, String)] = [], peer: PeerIdentity? = nil,
        _ completion: @escaping @Sendable (HTTPResponse) -> Void
    ) {
        var headers = HTTPHeaders()
        if let key { headers.append("Authorization", "Bearer \(key)") }
        for (name, value) in fields { headers.append(name, value) }
        var request = HTTPRequest(method: method, target: path, headers: headers, body: body)
        request.peer = peer
        router.withLock { $0 }.handle(request, HTTPResponder(completion))
    }

    func predict(_ body: String) -> HTTPResponse {
        send("POST", "/v1/predict", Array(body.utf8), key: roleKeys[.predict])
    }
    func feedback(_ body: String) -> HTTPResponse {
        send("POST", "/v1/feedback", Array(body.utf8), key: roleKeys[.feedback])
    }
    func post(_ path: String, _ body: [UInt8], as role: AccessRole) -> HTTPResponse {
        send("POST", path, body, key: roleKeys[role])
    }
    func get(_ path: String, as role: AccessRole = .auditor) -> HTTPResponse {
        send("GET", path, key: roleKeys[role])
    }

    static func remove(_ path: String) {
        guard unsafe unlink(path) != 0, let names = try? DurableFile.list(path) else { return }
        for name in names { remove(path + "/" + name) }
        _ = unsafe rmdir(path)
    }
}

extension HTTPResponse {
    var value: JSONValue { (try? JSONValue.parse(body, dialect: .strict)) ?? .null }
    /// The rows of a prediction answer.
    var rows: [JSONValue] { value["predictions"]?.arrayValue ?? [] }
    var string: String { String(decoding: body, as: UTF8.self) }
}

enum TestModel {
    static let linear = ModelFamily.logisticRegression(l2: 0.01, perSiteIntercept: false)
    static let linearWithIntercept = ModelFamily.logisticRegression(
        l2: 0.01, perSiteIntercept: true)
    static let network = ModelFamily.perceptron(
        hidden: [6, 4], output: .sigmoid, l2: 0, perSiteIntercept: false)

    static let schema = Schema(
        features: [
            Feature(name: "age", kind: .numeric(unit: "year", range: 0...120, integer: true)),
            Feature(
                name: "chol", kind: .numeric(unit: "mg/dl", range: 50...700, integer: false),
                missing: .imputeWithIndicator, missingCodes: ["0"]),
            Feature(name: "sex", kind: .binary(zero: "female", one: "male")),
            Feature(
                name: "cp",
                kind: .categorical(categories: ["typical", "atypical", "none"], dropFirst: false)),
        ],
        label: Label(column: "num", positive: .greaterThan(0), range: 0...4))

    static let statistics = GlobalStatistics(
        rowCount: 100,
        features: [
            FeatureStatistics(mean: 55, variance: 81, missingShare: 0),
            FeatureStatistics(mean: 240, variance: 2500, missingShare: 0.2),
            FeatureStatistics(mean: 0, variance: 1, missingShare: 0, categoryShares: [0.3, 0.7]),
            FeatureStatistics(
                mean: 0, variance: 1, missingShare: 0, categoryShares: [0.2, 0.3, 0.5]),
        ],
        labelShare: 0.5)

    /// A row that fits, as JSON.
    static let goodRow = #"{"age":63,"chol":233.5,"sex":"male","cp":"typical"}"#

    static func contents(
        _ version: Int, family: ModelFamily = linear, name: String = "heart",
        statistics: GlobalStatistics = statistics, abstain: ClosedRange<Double>? = nil,
        calibration: PackageManifest.Calibration? = nil, weights: ((Int) -> Float)? = nil
    ) throws -> PackageContents {
        let preprocessor = try Preprocessor(schema: schema, statistics: statistics)
        let blank = ModelParameters(
            family: family, inputs: preprocessor.columnCount, seed: [UInt8(version)])
        let parameters = try blank.replacing(
            (0..<blank.count).map { weights?($0) ?? Float(($0 * 37 + version * 11) % 19) / 10 - 0.9 })
        let manifest = PackageManifest(
            name: name, version: version, created: "2026-11-24T21:00:00.000Z", study: "heart",
            planHash: SHA256.hash([1]), schema: schema,
            preprocessor: preprocessor, family: family, thresholds: .init(decision: 0.5, abstain: abstain),
            calibration: calibration, classes: ["absent", "present"],
            background: preprocessor.expectedInputs(statistics),
            provenance: Provenance(run: "r", roster: [.init(site: "basel", rounds: 3)]))
        return try PackageWriter.sign(manifest, parameters: parameters, with: TestNode.key)
    }

    static func package(_ version: Int, family: ModelFamily = linear, name: String = "heart") throws
        -> VerifiedPackage
    {
        try VerifiedPackage.verify(
            contents(version, family: family, name: name), trustedKey: TestNode.key.publicKey)
    }
}
