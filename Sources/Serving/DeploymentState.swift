// Which version is live, which were, which may be: a fold over log entries, with no clock and no disk.
//
// ```
// installed ──► candidate ──► live ──► superseded
//                   ▲       │   │
//                   └───────┼───┘  rollback brings the version before it back
//                           ▼
//                        retired   nothing answers for the model until a version is made live
// ```
// `live` per model is a stack: making a version live pushes it, a rollback pops it. A version can go live again.

import Cryptography
import Telemetry

package struct DeploymentState: Equatable, Sendable {
    /// What a version is used for at this site.
    package enum Status: String, Sendable {
        /// Verified and stored, not answering.
        case candidate
        /// Answering requests.
        case live
        /// Was live once.
        case superseded
        /// Was live and was taken out of service; nothing has answered for its model since.
        case retired
    }

    /// One installed version.
    package struct Version: Equatable, Sendable {
        package var digest: Digest
        package var model: String
        package var version: Int
        package var installed: Timestamp
        package var status: Status
        /// When it last became live.
        package var liveSince: Timestamp?
        /// What it reached on this site's own held-out rows, by metric name; nil before an evaluation.
        package var metrics: [String: Double]?
    }

    /// A time during which one version answered.
    package struct Period: Equatable, Sendable {
        package var digest: Digest
        package var since: Timestamp
        /// nil while it is live.
        package var until: Timestamp?
    }

    /// A change, as a log entry states it.
    package enum Event: Equatable, Sendable {
        case installed(Digest, model: String, version: Int)
        case evaluated(Digest, metrics: [String: Double])
        case madeLive(Digest)
        case rolledBack(model: String)
        case retired(model: String)
    }

    /// Installed versions by digest.
    package private(set) var versions: [Digest: Version] = [:]
    /// Live versions per model, the last one answers.
    private var stacks: [String: [Digest]] = [:]
    /// Models that are out of service.
    private var retired: Set<String> = []
    /// Who answered when, per model, oldest first.
    package private(set) var history: [String: [Period]] = [:]

    package init() {}

    /// Models that have a live version, ascending.
    package var liveModels: [String] { stacks.keys.filter { live($0) != nil }.sorted() }

    /// Names of all models with an installed version, ascending.
    package var models: [String] { Set(versions.values.map(\.model)).sorted() }

    /// The version that answers for a model.
    package func live(_ model: String) -> Version? {
        retired.contains(model) ? nil : stacks[model]?.last.flatMap { versions[$0] }
    }

    /// The version that a rollback of `model` would bring back.
    package func rollbackTarget(_ model: String) -> Digest? {
        stacks[model]?.dropLast().last
    }

    /// The version that answered for `model` at a time, for every time the log covers.
    package func live(_ model: String, at time: Timestamp) -> Digest? {
        history[model]?.last {
            $0.since.milliseconds <= time.milliseconds
                && ($0.until.map { time.milliseconds < $0.milliseconds } ?? true)
        }?.digest
    }

    /// Installed versions of a model, newest release first.
    package func versions(of model: String) -> [Version] {
        versions.values.filter { $0.model == model }.sorted {
            ($0.version, $0.digest.hex) > ($1.version, $1.digest.hex)
        }
    }

    /// Whether an event fits this state; what `apply` relies on.
    /// - Throws: `ServingError` with what is in the way.
    package func check(_ event: Event) throws(ServingError) {
        switch event {
        case .installed(let digest, let model, _):
            guard versions[digest] != nil || versions.count < ServingLimits.versions else {
                throw .deployment(
                    problem: "\(ServingLimits.versions) versions are installed already")
            }
            guard models.contains(model) || models.count < ServingLimits.models else {
                throw .deployment(problem: "\(ServingLimits.models) models are installed already")
            }
        case .evaluated(let digest, _):
            guard versions[digest] != nil else { throw .unknownVersion }
        case .madeLive(let digest):
            guard let version = versions[digest] else { throw .unknownVersion }
            guard version.status != .live else {
                throw .deployment(problem: "this version is live already")
            }
        case .rolledBack(let model):
            guard stacks[model] != nil else { throw .unknownModel }
            guard rollbackTarget(model) != nil else { throw .nothingToRollBack }
        case .retired(let model):
            guard models.contains(model) else { throw .unknownModel }
            guard live(model) != nil else {
                throw .deployment(problem: "no version of this model is live")
            }
        }
    }

    /// Takes an event that `check` allows; one that it does not allow changes nothing.
    package mutating func apply(_ event: Event, at time: Timestamp) {
        guard (try? check(event)) != nil else { return }
        switch event {
        case .installed(let digest, let model, let version):
            guard versions[digest] == nil else { return }
            versions[digest] = Version(
                digest: digest, model: model, version: version, installed: time, status: .candidate)
        case .evaluated(let digest, let metrics):
            versions[digest]?.metrics = metrics
        case .madeLive(let digest):
            guard let model = versions[digest]?.model else { return }
            if stacks[model]?.last != digest { stacks[model, default: []].append(digest) }
            turn(model, to: digest, at: time)
        case .rolledBack(let model):
            stacks[model]?.removeLast()
            guard let digest = stacks[model]?.last else { return }
            turn(model, to: digest, at: time)
        case .retired(let model):
            guard let digest = live(model)?.digest else { return }
            versions[digest]?.status = .retired
            retired.insert(model)
            endPeriod(model, at: time)
        }
    }

    private mutating func turn(_ model: String, to digest: Digest, at time: Timestamp) {
        retired.remove(model)
        for (other, version) in versions
        where version.model == model && (version.status == .live || version.status == .retired) {
            versions[other]?.status = .superseded
        }
        versions[digest]?.status = .live
        versions[digest]?.liveSince = time
        endPeriod(model, at: time)
        history[model, default: []].append(Period(digest: digest, since: time))
    }

    private mutating func endPeriod(_ model: String, at time: Timestamp) {
        guard let last = history[model]?.indices.last, history[model]?[last].until == nil else {
            return
        }
        history[model]?[last].until = time
    }
}
