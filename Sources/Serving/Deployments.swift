// Versions at this site: verified packages on disk, which of them answers, and how that changes.
//
// The truth is the log: `DeploymentState` is a fold over its entries. Packages lie under `packages/<digest>/` and are
// verified again whenever they are loaded. A change is checked, logged, and only then takes effect; readers see the
// old table or the new one, nothing between.

import AuditLog
import Codec
import Cryptography
import ModelPackage
import Storage
import Tabular
import Telemetry

/// The versions that answer, at one moment.
struct LiveTable: Sendable {
    var models: [String: DeployedModel] = [:]

    /// The model that a request without a name means.
    var only: DeployedModel? { models.count == 1 ? models.first?.value : nil }

    /// What a caller may use of it. Another model is for this caller as if it were not there.
    func visible(to principal: Principal) -> LiveTable {
        principal.models == nil ? self : LiveTable(models: models.filter { principal.mayUse($0.key) })
    }
}

package final class Deployments: Sendable {
    private let directory: String
    private let site: String
    private let trustedKey: VerifyingKey
    private let log: LogWriter
    private let clock: any Clock
    private let logger: Logger
    /// Held during a change, log included. The state is only written under it.
    private let changes = Lock()
    private let state: Locked<DeploymentState>
    private let table = Locked(LiveTable())

    /// - Parameters:
    ///   - directory: the node's directory; packages and intercepts lie under it.
    ///   - trustedKey: whose packages are accepted.
    ///   - replay: calls its argument with the log's entries so far, in order; others than deployment entries are skipped.
    package init(
        directory: String, site: String, trustedKey: VerifyingKey, log: LogWriter,
        replay: ((StoredEntry) -> Void) throws -> Void, clock: any Clock, logger: Logger
    ) throws(ServingError) {
        (self.directory, self.site, self.trustedKey, self.log) = (directory, site, trustedKey, log)
        (self.clock, self.logger) = (clock, logger)
        var folded = DeploymentState()
        do {
            try replay { entry in
                if let event = DeploymentState.Event(entry) { folded.apply(event, at: entry.time) }
            }
        } catch {
            throw .logUnavailable(problem: "it cannot be read back: \(error)")
        }
        state = Locked(folded)
        for path in [packages, intercepts.path] {
            do { try DurableFile.createDirectory(path, mode: 0o700) } catch {
                throw .deployment(problem: "\(error)")
            }
        }
        for model in folded.liveModels { restore(model, folded) }
    }

    private var packages: String { directory + "/packages" }
    private var intercepts: SiteIntercepts { SiteIntercepts(directory: directory) }

    /// A live version whose package cannot be loaded does not answer, and is reported; the others do.
    private func restore(_ model: String, _ folded: DeploymentState) {
        guard let live = folded.live(model) else { return }
        do {
            let loaded = try load(live.digest)
            table.withLock { $0.models[model] = loaded }
        } catch {
            logger.error(
                "model.unavailable",
                [
                    ("model", .name(model)), ("digest", .name(live.digest.hex)),
                    ("problem", .name("\(error)")),
                ])
        }
    }

    /// A consistent copy of the state.
    package var current: DeploymentState { state.withLock { $0 } }

    /// The versions that answer now.
    var live: LiveTable { table.withLock { $0 } }

    /// Whether every model that should answer does, and there is one.
    package var isReady: Bool {
        let wanted = state.withLock { $0.liveModels }
        let answering = live.models
        return !wanted.isEmpty && wanted.allSatisfy { answering[$0] != nil }
    }

    /// The live version of a model as it serves.
    package func liveModel(_ name: String) -> DeployedModel? { live.models[name] }

    /// A version with a given intercept: the live one when it is the same, else loaded and verified.
    func version(_ digest: Digest, intercept: Double) throws(ServingError) -> DeployedModel {
        for model in live.models.values
        where model.package.digest == digest && model.intercept == intercept { return model }
        return try load(digest, intercept: intercept)
    }

    /// An installed version as it serves here, verified again.
    /// - Throws: `ServingError.unknownVersion`, or `.deployment` when the package on disk is damaged.
    package func load(_ digest: Digest, intercept: Double? = nil) throws(ServingError)
        -> DeployedModel
    {
        guard state.withLock({ $0.versions[digest] != nil }) else { throw .unknownVersion }
        do {
            let release = try VerifiedPackage.verify(
                directory: packages + "/" + digest.hex, trustedKey: trustedKey)
            guard release.digest == digest else {
                throw ServingError.deployment(
                    problem: "the package on disk is another one; fetch it again")
            }
            return try DeployedModel(release, intercept: try intercept ?? intercepts.read(digest))
        } catch let error as ServingError {
            throw error
        } catch {
            throw .deployment(problem: "\(error)")
        }
    }

    /// Stores a verified package and enters it as a candidate. Installing the same package again changes its
    /// intercept if that differs, and nothing else.
    /// - Parameter intercept: the site's own intercept for this version, for families that have one.
    package func install(_ release: VerifiedPackage, intercept: Double = 0, actor: String)
        throws(ServingError)
    {
        guard intercept.isFinite else {
            throw .deployment(problem: "the site's intercept is not a finite number")
        }
        try changes.withLock { () throws(ServingError) in
            let event = DeploymentState.Event.installed(
                release.digest, model: release.name, version: release.version)
            let known = state.withLock { $0.versions[release.digest] != nil }
            try state.withLock { (state: inout DeploymentState) throws(ServingError) in
                try state.check(event)
            }
            do {
                try release.write(under: packages)
            } catch {
                throw .deployment(problem: "\(error)")
            }
            if known, try intercepts.read(release.digest) == intercept { return }
            let entry =
                known
                ? configurationEntry(release, intercept, actor)
                : entry(event, actor: actor, intercept: intercept)
            try log.appendAndWait(entry)
            try intercepts.write(intercept, release.digest)
            if known { try replaceIfLive(release, intercept) } else { apply(event) }
        }
    }

    /// Scores a version on this site's own labelled rows and notes the result.
    /// - Throws: `ServingError.unknownVersion`, or `.deployment` when the rows do not fit.
    package func evaluate(_ digest: Digest, on rows: Table, actor: String) throws(ServingError)
        -> [String: Double]
    {
        let metrics = try load(digest).evaluate(rows)
        try changes.withLock { () throws(ServingError) in
            try change(.evaluated(digest, metrics: metrics), actor: actor)
        }
        return metrics
    }

    /// Lets a version answer from the next request on. For one that is live already this only loads it again, which heals
    /// a node whose copy was damaged and fetched anew.
    /// - Throws: `ServingError.unknownVersion`, `.deployment` when its package is damaged, `.logUnavailable`.
    package func makeLive(_ digest: Digest, actor: String) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in
            let loaded = try load(digest)
            if current.versions[digest]?.status != .live {
                try change(.madeLive(digest), actor: actor)
            }
            table.withLock { $0.models[loaded.package.name] = loaded }
        }
    }

    /// Brings the version back that was live before.
    /// - Parameter model: may be nil when the node has one model.
    /// - Returns: the digest that is live now.
    /// - Throws: `ServingError.unknownModel`, `.nothingToRollBack`, `.deployment` when its package is damaged.
    @discardableResult
    package func rollback(_ model: String?, actor: String) throws(ServingError) -> Digest {
        try changes.withLock { () throws(ServingError) -> Digest in
            let (name, target) = try rollbackTarget(model)
            let loaded = try load(target)
            try change(.rolledBack(model: name), actor: actor)
            table.withLock { $0.models[name] = loaded }
            return target
        }
    }

    /// Takes a model out of service: nothing answers for it until a version is made live.
    /// - Throws: `ServingError.unknownModel`, `.deployment` when it is out of service already, `.logUnavailable`.
    package func retire(_ model: String, actor: String) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in
            try change(.retired(model: model), actor: actor)
            table.withLock { $0.models[model] = nil }
        }
    }

    private func rollbackTarget(_ model: String?) throws(ServingError) -> (
        model: String, digest: Digest
    ) {
        try state.withLock { (state: inout DeploymentState) throws(ServingError) in
            let models = state.liveModels
            guard let name = model ?? (models.count == 1 ? models.first : nil) else {
                throw .unknownModel
            }
            try state.check(.rolledBack(model: name))
            guard let target = state.rollbackTarget(name) else { throw .nothingToRollBack }
            return (name, target)
        }
    }

    private func change(_ event: DeploymentState.Event, actor: String) throws(ServingError) {
        try state.withLock { (state: inout DeploymentState) throws(ServingError) in
            try state.check(event)
        }
        try log.appendAndWait(entry(event, actor: actor))
        apply(event)
    }

    private func apply(_ event: DeploymentState.Event) {
        let now = clock.now()
        state.withLock { $0.apply(event, at: now) }
        logger.info("deployment.changed", [("event", .name(event.entryType.rawValue))])
    }

    private func replaceIfLive(_ release: VerifiedPackage, _ intercept: Double) throws(ServingError)
    {
        do {
            let renewed = try DeployedModel(release, intercept: intercept)
            table.withLock { table in
                if table.models[release.name]?.package.digest == release.digest {
                    table.models[release.name] = renewed
                }
            }
        } catch {
            throw .deployment(problem: "\(error)")
        }
    }
}

// MARK: log entries

extension Deployments {
    private func entry(_ event: DeploymentState.Event, actor: String, intercept: Double? = nil)
        -> LogEntry
    {
        var entry = LogEntry(event.entryType, actor: actor, role: "node", site: site)
        switch event {
        case .installed(let digest, let model, let version):
            entry.model = model
            entry.payloadDigest = digest
            entry.details = [
                "version": .integer(Int64(version)), "role": "candidate",
                "intercept": .string((intercept ?? 0).description),
            ]
        case .evaluated(let digest, let metrics):
            entry.model = state.withLock { $0.versions[digest]?.model }
            entry.payloadDigest = digest
            entry.details = [
                "scope": "site", "metrics": .object(metrics.mapValues { .string($0.description) }),
            ]
        case .madeLive(let digest):
            entry.model = state.withLock { $0.versions[digest]?.model }
            entry.payloadDigest = digest
        case .rolledBack(let model):
            entry.model = model
            entry.payloadDigest = state.withLock { $0.rollbackTarget(model) }
        case .retired(let model):
            entry.model = model
            entry.payloadDigest = state.withLock { $0.live(model)?.digest }
        }
        return entry
    }

    private func configurationEntry(
        _ release: VerifiedPackage, _ intercept: Double, _ actor: String
    ) -> LogEntry {
        LogEntry(
            .configurationChanged, actor: actor, role: "node", site: site, model: release.name,
            payloadDigest: release.digest,
            details: ["intercept": .string(intercept.description)])
    }
}

extension DeploymentState.Event {
    var entryType: EntryType {
        switch self {
        case .installed: .deploymentStaged
        case .evaluated: .gatesChecked
        case .madeLive: .deploymentLive
        case .rolledBack: .deploymentRolledBack
        case .retired: .deploymentRetired
        }
    }

    /// The change that a log entry states; nil for entries of other kinds.
    init?(_ entry: StoredEntry) {
        switch entry.type {
        case .deploymentStaged:
            guard let digest = entry.payloadDigest, let model = entry.model,
                let version = entry.details["version"]?.intValue
            else { return nil }
            self = .installed(digest, model: model, version: version)
        case .gatesChecked:
            guard entry.details["scope"]?.stringValue == "site", let digest = entry.payloadDigest,
                let metrics = entry.details["metrics"]?.objectValue
            else { return nil }
            self = .evaluated(
                digest, metrics: metrics.compactMapValues { $0.stringValue.flatMap(Double.init) })
        case .deploymentLive:
            guard let digest = entry.payloadDigest else { return nil }
            self = .madeLive(digest)
        case .deploymentRolledBack:
            guard let model = entry.model else { return nil }
            self = .rolledBack(model: model)
        case .deploymentRetired:
            guard let model = entry.model else { return nil }
            self = .retired(model: model)
        default: return nil
        }
    }
}
