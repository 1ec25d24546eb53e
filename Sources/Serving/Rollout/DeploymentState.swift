// Which version answers, which did, which may and why: a fold over log entries, with no clock and no disk.
//
// ```
// candidate ──► evaluated ──► approved ──► shadow │ canary │ standby ──► live ──► superseded
//     ▲     └─► refused                                                   │
//     └── staged anew ── suspended │ retired ◄── from anywhere ───────────┘
// ```
// What a version needs before it is put to use (evaluation, approvals) is in its rules; where nothing is asked for, a step
// may be left out. `live` per model is a stack: going live pushes, a rollback pops. `DeploymentState+Transitions.swift`
// has the table.

import Codec
import Cryptography
import Study
import Telemetry

package struct DeploymentState: Equatable, Sendable {
    /// What a version is used for at this site.
    package enum Status: String, Sendable, CaseIterable {
        /// Verified and stored, not answering.
        case candidate
        /// Passed on the site's own held-out rows.
        case evaluated
        /// Missed a bound on the site's own held-out rows; kept, and not to be used.
        case refused
        /// Approved by as many people as its rules ask for.
        case approved
        /// Scores what the live version scores; its answers are never shown.
        case shadow
        /// Answers a share of the requests.
        case canary
        /// Loaded, one switch away from answering.
        case standby
        /// Answering requests.
        case live
        /// Was live once.
        case superseded
        /// Taken out because something was wrong with it; begins anew or not at all.
        case suspended
        /// Taken out of service.
        case retired
    }

    /// One installed version.
    package struct Version: Equatable, Sendable {
        /// Of the package.
        package var digest: Digest
        /// Its model's name.
        package var model: String
        /// Its number.
        package var version: Int
        /// When it came here.
        package var installed: Timestamp
        /// When it last became a candidate.
        package var staged: Timestamp
        package var status: Status
        /// Who brought it here or changed its configuration: names and persons. None of them approves it.
        package var submitters: Set<String> = []
        package var rules = DeploymentRules()
        /// What the site has set: its own intercept, and what differs from the package.
        package var settings = SiteSettings()
        package var evaluation: Evaluation?
        package var override: Override?
        package var approvals: [Approval] = []
        /// The canary under way.
        package var canary: CanaryStanding?
        /// When it last became live.
        package var liveSince: Timestamp?
        /// Whether a rollback took it out since it was last live.
        package var wasRolledBack = false
        /// Why it was suspended, in the words of whoever did it.
        package var reason: String?

        /// What it reached on this site's own held-out rows, by metric name; nil before an evaluation.
        package var metrics: [String: Double]? { evaluation?.metrics }
    }

    /// An overseer let a version through that missed a bound.
    package struct Override: Equatable, Sendable {
        package var by: String
        package var reason: String
        package var time: Timestamp
    }

    /// Where a canary stands.
    package struct CanaryStanding: Equatable, Sendable {
        package var plan: CanaryPlan
        /// Index into the plan's steps.
        package var step: Int
        /// When the step began.
        package var since: Timestamp
        /// When the trial began.
        package var begun: Timestamp
        /// Its figures at the last step.
        package var report: JSONValue?
        /// Share of the requests.
        package var share: Double { Double(plan.steps[step]) / 100 }
    }

    /// A time during which one version answered, and on whose word.
    package struct Period: Equatable, Sendable {
        package var digest: Digest
        package var since: Timestamp
        /// nil while it is live.
        package var until: Timestamp?
        /// Who made it live.
        package var by: String
        /// Approvals that held at that moment.
        package var approvals: [Approval]
        /// What had been measured by then.
        package var evidence: Digest
        package var configuration: Digest
        /// Whether a rollback brought it back.
        package var isRollback: Bool
    }

    /// No predictions at all, by an overseer's word.
    package struct Stop: Equatable, Sendable {
        package var by: String
        package var reason: String
        package var time: Timestamp
    }

    /// Installed versions by digest.
    package internal(set) var versions: [Digest: Version] = [:]
    /// Live versions per model, the last one answers if its status is live.
    var stacks: [String: [Digest]] = [:]
    /// Who answered when, per model, oldest first.
    package internal(set) var history: [String: [Period]] = [:]
    /// What the site asks of versions without a plan.
    package internal(set) var siteRules: SiteRules?
    /// Other rules, for which people are still to agree.
    package internal(set) var proposal: RulesProposal?
    /// The stop in force.
    package internal(set) var stop: Stop?

    /// Live versions that are remembered for rollbacks, per model.
    static let stackMax = 1000

    package init() {}

    /// Models that have a live version, ascending.
    package var liveModels: [String] { stacks.keys.filter { live($0) != nil }.sorted() }

    /// Names of all models with an installed version, ascending.
    package var models: [String] { Set(versions.values.map(\.model)).sorted() }

    /// The version that answers for a model.
    package func live(_ model: String) -> Version? {
        stacks[model]?.last.flatMap { versions[$0] }.flatMap { $0.status == .live ? $0 : nil }
    }

    /// The canary that a rollback of `model` would end; without a live version a rollback brings one back instead.
    func canaryToEnd(_ model: String) -> Version? { live(model) == nil ? nil : version(of: model, in: .canary) }

    /// The version of a model that is in a role of which there is one at a time.
    package func version(of model: String, in status: Status) -> Version? {
        versions.values.first { $0.model == model && $0.status == status }
    }

    /// The version that a rollback of `model` would bring back: the last that was live before and is not out of service.
    package func rollbackTarget(_ model: String) -> Digest? {
        guard let stack = stacks[model], let top = stack.last else { return nil }
        return stack.dropLast().last { $0 != top && versions[$0]?.status == .superseded }
    }

    /// The version that answered for `model` at a time, for every time the log covers.
    package func live(_ model: String, at time: Timestamp) -> Digest? { period(model, at: time)?.digest }

    /// The same, with who approved it and on which evidence.
    package func period(_ model: String, at time: Timestamp) -> Period? {
        history[model]?.last {
            $0.since.milliseconds <= time.milliseconds
                && ($0.until.map { time.milliseconds < $0.milliseconds } ?? true)
        }
    }

    /// The rules that a model's plan has, for a version that comes by another way: nobody gets round evaluation and approvals by
    /// importing. Such a version takes no step by itself.
    package func rules(of model: String) -> DeploymentRules {
        let planned = versions.values.filter { $0.model == model && $0.rules.plan != nil }
        guard var rules = planned.max(by: { ($0.installed, $0.digest) < ($1.installed, $1.digest) })?.rules else {
            return siteRules.map(DeploymentRules.init) ?? DeploymentRules()
        }
        rules.isAutomatic = false
        return rules
    }

    /// Installed versions of a model, newest release first.
    package func versions(of model: String) -> [Version] {
        versions.values.filter { $0.model == model }.sorted {
            ($0.version, $0.digest.hex) > ($1.version, $1.digest.hex)
        }
    }
}
