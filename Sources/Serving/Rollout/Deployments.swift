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

package final class Deployments: Sendable {
    let directory: String
    let site: String
    /// The coordinator's release key, and the node's own for what is imported here.
    let trustedKeys: [VerifyingKey]
    let log: LogWriter
    let clock: any Clock
    let logger: Logger
    /// Held during a change, log included. State and journal are only written under it.
    let changes = Lock()
    let state: Locked<DeploymentState>
    /// Every change that was, for the state at any time.
    let journal: Locked<DeploymentJournal>
    let table = Locked(LiveTable())
    /// Gives requests to canaries.
    let router: ArmRouter

    /// - Parameters:
    ///   - directory: the node's directory; packages and intercepts lie under it.
    ///   - trustedKeys: whose packages are accepted.
    ///   - replay: calls its argument with the log's entries so far, in order; others than deployment entries are skipped.
    package init(
        directory: String, site: String, trustedKeys: [VerifyingKey], log: LogWriter,
        replay: ((StoredEntry) -> Void) throws -> Void, clock: any Clock, random: any RandomSource,
        logger: Logger
    ) throws(ServingError) {
        (self.directory, self.site, self.trustedKeys, self.log) = (directory, site, trustedKeys, log)
        (self.clock, self.logger) = (clock, logger)
        router = ArmRouter(secret: try Self.routingSecret(directory, random))
        var found = DeploymentJournal()
        do { try replay { found.take($0) } } catch {
            throw .logUnavailable(problem: "it cannot be read back: \(error)")
        }
        journal = Locked(found)
        state = Locked(found.state)
        for path in [packages, settingsFiles.path] {
            do { try DurableFile.createDirectory(path, mode: 0o700) } catch {
                throw .deployment(problem: "\(error)")
            }
        }
        for model in found.state.models { restore(model, found.state) }
        table.withLock { $0.stop = found.state.stop }
    }

    /// `keys/routing.key`: the same after a restart, so that a person stays on an arm.
    private static func routingSecret(_ directory: String, _ random: any RandomSource) throws(ServingError) -> [UInt8] {
        let path = directory + "/keys/routing.key"
        do {
            if !DurableFile.exists(path) {
                try DurableFile.createDirectory(directory + "/keys", mode: 0o700)
                try KeyFile.write(random.bytes(32), to: path)
            }
            return try KeyFile.read(path).exposedCopy()
        } catch {
            throw .deployment(problem: "the key that gives requests to arms cannot be used: \(error)")
        }
    }

    private var packages: String { directory + "/packages" }
    /// Copies of the settings for programs that look from outside; what is served goes by the log.
    private var settingsFiles: SiteSettingsFiles { SiteSettingsFiles(directory: directory) }

    /// The settings of a version as the log has them; the package's for one that is not known.
    package func settings(of digest: Digest) -> SiteSettings {
        state.withLock { $0.versions[digest]?.settings } ?? SiteSettings()
    }

    /// A version in use whose package cannot be loaded does not answer, and is reported; the others do.
    private func restore(_ model: String, _ folded: DeploymentState) {
        report(model) { () throws(ServingError) in
            guard let version = folded.live(model) else { return }
            let loaded = try load(version.digest)
            swap { $0.putLive(loaded) }
        }
        report(model) { () throws(ServingError) in
            guard let version = folded.version(of: model, in: .standby) else { return }
            let loaded = try load(version.digest)
            swap { $0.standbys[model] = loaded }
        }
        report(model) { () throws(ServingError) in try restoreLanes(model, folded) }
    }

    private func report(_ model: String, _ body: () throws(ServingError) -> Void) {
        do { try body() } catch {
            logger.error("model.unavailable", [("model", .name(model)), ("problem", .name("\(error)"))])
        }
    }

    /// Ends the threads of shadows.
    func close() { swap { $0.shadows = [:] } }

    /// A consistent copy of the state.
    package var current: DeploymentState { state.withLock { $0 } }

    /// The state at a time, for every time the log covers.
    package func state(at time: Timestamp) -> DeploymentState { journal.withLock { $0 }.state(at: time) }

    /// Whether nothing is predicted, by an overseer's word.
    var isStopped: Bool { table.withLock { $0.stop != nil } }

    /// The versions that answer now.
    var live: LiveTable { table.withLock { $0 } }

    /// Whether every model that should answer does, there is one, and nobody stopped it.
    package var isReady: Bool {
        let (wanted, stop) = state.withLock { ($0.liveModels, $0.stop) }
        let answering = live
        return stop == nil && answering.stop == nil && !wanted.isEmpty && wanted.allSatisfy { answering.models[$0] != nil }
    }

    /// Whether a version is here and of a model that the caller may use.
    func has(_ digest: Digest, for principal: Principal) -> Bool {
        state.withLock { $0.versions[digest]?.model }.map(principal.mayUse) ?? false
    }

    /// The live version of a model as it serves.
    package func liveModel(_ name: String) -> DeployedModel? { live.models[name] }

    /// A version with a given intercept: the live one when it is the same, else loaded and verified.
    func version(_ digest: Digest, intercept: Double) throws(ServingError) -> DeployedModel {
        for model in live.all
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
                PackageContents(directory: packages + "/" + digest.hex), trustedKeys: trustedKeys)
            guard release.digest == digest else {
                throw ServingError.deployment(
                    problem: "the package on disk is another one; fetch it again")
            }
            var settings = settings(of: digest)
            if let intercept { settings.intercept = intercept }
            return try DeployedModel(release, settings)
        } catch let error as ServingError {
            throw error
        } catch {
            throw .deployment(problem: "\(error)")
        }
    }

    /// Stores a verified package and enters it as a candidate. Installing the same package again changes its
    /// intercept if that differs, and nothing else.
    /// - Parameters:
    ///   - intercept: the site's own intercept for this version, for families that have one.
    ///   - rules: what the version needs before it is put to use; those of the first time hold. nil for one that comes by
    ///     another way than its plan: then those of the model's plan, if it has one.
    package func install(
        _ release: VerifiedPackage, intercept: Double = 0, rules: DeploymentRules? = nil, by actor: Actor
    ) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in
            let known = state.withLock { $0.versions[release.digest] != nil }
            var settings = settings(of: release.digest)
            settings.intercept = intercept
            let event: DeploymentState.Event =
                known
                ? .configured(release.digest, settings)
                : .installed(
                    release.digest, model: release.name, version: release.version, rules: rules ?? current.rules(of: release.name), intercept: intercept)
            try check(event, by: actor)
            do { try release.write(under: packages) } catch { throw .deployment(problem: "\(error)") }
            if known, self.settings(of: release.digest) == settings { return }
            try change(event, by: actor) { () throws(ServingError) in try settingsFiles.write(settings, release.digest) }
            if known { try replaceIfLive(release, settings) }
        }
    }

    /// The same by the node itself.
    package func install(_ release: VerifiedPackage, intercept: Double = 0, actor: String) throws(ServingError) {
        try install(release, intercept: intercept, by: .node(actor))
    }

    /// Sets threshold, abstain band and calibration of a version at this site; the intercept stays.
    /// - Throws: `ServingError.unknownVersion`, `.approval` for a version in use that people approved as it was.
    func configure(_ digest: Digest, _ wanted: SiteSettings, by actor: Actor) throws(ServingError) {
        try configure(digest, by: actor) { settings in
            settings = wanted
        }
    }

    /// Sets only the calibration, to what rows of this site say.
    package func calibrate(_ digest: Digest, slope: Double, intercept: Double, by actor: Actor) throws(ServingError) {
        try configure(digest, by: actor) { $0.calibration = .init(slope: slope, intercept: intercept) }
    }

    private func configure(_ digest: Digest, by actor: Actor, _ edit: (inout SiteSettings) -> Void) throws(ServingError) {
        try changes.withLock { () throws(ServingError) in
            let before = try load(digest)
            if let status = current.versions[digest]?.status, [.shadow, .canary, .standby].contains(status) {
                throw .deployment(problem: "the version is \(status.rawValue) with the settings that it has; end that first (node unstage)")
            }
            var settings = settings(of: digest)
            let intercept = settings.intercept
            edit(&settings)
            settings.intercept = intercept
            try change(.configured(digest, settings), by: actor) { () throws(ServingError) in try settingsFiles.write(settings, digest) }
            try replaceIfLive(before.package, settings)
        }
    }

    private func replaceIfLive(_ release: VerifiedPackage, _ settings: SiteSettings) throws(ServingError) {
        do {
            let renewed = try DeployedModel(release, settings)
            swap { table in
                if table.models[release.name]?.package.digest == release.digest {
                    table.models[release.name] = renewed
                }
            }
        } catch {
            throw .deployment(problem: "\(error)")
        }
    }
}

// MARK: changes

extension Deployments {
    func check(_ event: DeploymentState.Event, by actor: Actor) throws(ServingError) {
        let now = clock.now()
        try state.withLock { (state: inout DeploymentState) throws(ServingError) in
            try state.check(event, by: actor, at: now)
        }
    }

    /// Checks, logs, does what must follow at once, and takes the event into the state. Under `changes`.
    func change(
        _ event: DeploymentState.Event, by actor: Actor, then effect: () throws(ServingError) -> Void = {}
    ) throws(ServingError) {
        let now = clock.now()
        try state.withLock { (state: inout DeploymentState) throws(ServingError) in
            try state.check(event, by: actor, at: now)
        }
        try log.appendAndWait(event.entry(by: actor, site: site, state: current, at: now))
        try effect()
        journal.withLock { $0.take(event, by: actor, at: now) }
        state.withLock { $0.apply(event, by: actor, at: now) }
        logger.info("deployment.changed", [("event", .name(event.name))])
    }
}

/// Every change of versions, in order: what was at any time is a fold over the changes until then.
struct DeploymentJournal: Sendable {
    private var changes: [(event: DeploymentState.Event, actor: Actor, time: Timestamp)] = []
    /// After all changes.
    private(set) var state = DeploymentState()

    /// Takes an entry; those of other kinds pass by.
    mutating func take(_ entry: StoredEntry) {
        guard let event = DeploymentState.Event(entry) else { return }
        take(event, by: Actor(entry), at: DeploymentState.Event.time(entry))
    }

    mutating func take(_ event: DeploymentState.Event, by actor: Actor, at time: Timestamp) {
        changes.append((event, actor, time))
        state.apply(event, by: actor, at: time)
    }

    /// The state as it was at a time.
    func state(at time: Timestamp) -> DeploymentState {
        var state = DeploymentState()
        for change in changes where change.time <= time { state.apply(change.event, by: change.actor, at: change.time) }
        return state
    }
}
