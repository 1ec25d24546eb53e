// The catalogue of events. Every change of state at the coordinator and at a node is one entry of one of these types;
// `protocol/audit-log.md` section 3 says which endpoint or command writes which. A type is never renamed or reused:
// readers of old logs know it by this text.

/// What an entry says has happened.
package enum EntryType: String, CaseIterable, Sendable {
    // The log itself.
    /// First entry of every log: which party it belongs to and the version of these rules.
    case logOpened = "log.opened"
    /// The process came back to an existing log; details say how much it replayed.
    case logRecovered = "log.recovered"
    /// Entries below an index are no longer given out.
    case logPruned = "log.pruned"
    /// A witness cosigned a checkpoint of this log.
    case checkpointWitnessed = "checkpoint.witnessed"
    /// Two heads of one log that cannot be reconciled; the evidence is kept in a file.
    case forkDetected = "fork.detected"

    // Federation and membership.
    /// The coordinator made its certificate authority and signing key.
    case federationInit = "federation.init"
    /// An invitation was made; details hold the hash of the token.
    case siteInvited = "site.invited"
    /// An invitation lapsed or was taken back.
    case invitationRevoked = "invitation.revoked"
    /// A site joined with a token; details hold its certificate's fingerprint and signing key.
    case siteJoined = "site.joined"
    /// A site was cut off.
    case siteRevoked = "site.revoked"
    /// A certificate was renewed.
    case certificateIssued = "certificate.issued"
    /// An attempt to enrol or to authenticate was refused.
    case accessRefused = "access.refused"

    /// The coordinator drew up a list of members and asked the sites to sign it.
    case manifestProposed = "manifest.proposed"
    /// A person at a site signed a list of members.
    case manifestSigned = "manifest.signed"
    /// Enough sites signed: the list of members is in force.
    case manifestAdopted = "manifest.adopted"

    // Studies.
    /// A study plan was published under its hash.
    case planPublished = "plan.published"
    /// A node received a plan and holds it for its people to decide on.
    case planReceived = "plan.received"
    /// A node's policy refused a plan.
    case planRefused = "plan.refused"
    /// A plan was withdrawn or replaced by a newer one.
    case planWithdrawn = "plan.withdrawn"
    /// A study came to its end.
    case studyClosed = "study.closed"
    /// A study waits: fork, alarm, or an operator's wish.
    case studyPaused = "study.paused"
    /// A paused study goes on.
    case studyResumed = "study.resumed"
    /// A site signed its consent.
    case consentGiven = "consent.given"
    /// A site took its consent back.
    case consentWithdrawn = "consent.withdrawn"
    /// A node checked its data against the schema; details hold counts only.
    case dataChecked = "data.checked"

    // Runs and rounds.
    /// A run of a study began.
    case runStarted = "run.started"
    /// A run reached its last round.
    case runCompleted = "run.completed"
    /// A run was given up.
    case runAborted = "run.aborted"
    /// A round began: model hash, roster, plan hash. Nodes demand a proof of this entry.
    case roundStart = "round.start"
    /// A secure sum was opened and applied.
    case roundCompleted = "round.completed"
    /// A site dealt or revealed wrong shares in a round.
    case siteSuspected = "site.suspected"
    /// A round was given up; details say why.
    case roundAborted = "round.aborted"
    /// A node took part in a round and sent its masked input.
    case roundJoined = "round.joined"
    /// A node refused a round; details say which rule.
    case roundRefused = "round.refused"
    /// From here on the coordinator answers a round's unmasking in one way only.
    case aggregationLatch = "aggregation.latch"
    /// A node spent privacy budget.
    case budgetSpent = "budget.spent"
    /// A secure evaluation was opened.
    case evaluationCompleted = "evaluation.completed"
    /// The plan's gates were held against the evaluation.
    case gatesChecked = "gates.checked"
    /// A node would not do what an instruction asked; details hold the code.
    case instructionRefused = "instruction.refused"
    /// A site said whether it takes a released version.
    case versionVerdict = "version.verdict"
    /// Something left the site: type, size and digest.
    case egress = "egress"

    // Models.
    /// The coordinator signed a package.
    case releaseSigned = "release.signed"
    /// A release was withdrawn.
    case releaseWithdrawn = "release.withdrawn"
    /// A node fetched a package.
    case packageFetched = "package.fetched"
    /// A package passed verification.
    case packageVerified = "package.verified"
    /// A package failed verification.
    case packageRefused = "package.refused"
    /// A version was installed or put in a role other than live: candidate, shadow, canary (each step) or standby.
    case deploymentStaged = "deployment.staged"
    /// A person approved a version with the hashes that the entry names.
    case deploymentApproved = "deployment.approved"
    /// An overseer let a version through that missed a bound.
    case deploymentOverridden = "deployment.overridden"
    /// A shadow, canary or standby ended.
    case deploymentUnstaged = "deployment.unstaged"
    /// A version was made live.
    case deploymentLive = "deployment.live"
    /// An earlier version was made live again.
    case deploymentRolledBack = "deployment.rolledback"
    /// A version was taken out because something was wrong with it.
    case deploymentSuspended = "deployment.suspended"
    /// A version was taken out of service.
    case deploymentRetired = "deployment.retired"

    // Serving.
    /// An overseer stopped all predictions.
    case servingStopped = "serving.stopped"
    /// A stop was lifted.
    case servingStarted = "serving.started"
    /// A prediction was answered.
    case prediction = "prediction"
    /// What a person or system decided on a prediction.
    case decision = "decision"
    /// What turned out to be true.
    case outcome = "outcome"
    /// A monitor crossed a bound.
    case monitorAlarm = "monitor.alarm"
    /// An API key was made.
    case keyCreated = "key.created"
    /// An API key was taken back.
    case keyRevoked = "key.revoked"
    /// Configuration changed.
    case configurationChanged = "configuration.changed"
    /// The log could not be written for a time, and serving went on because it was configured to.
    case degradedServing = "serving.degraded"
    /// Payloads and salts of a subject were erased.
    case recordsErased = "records.erased"
    /// Records were shown to a person.
    case recordsRead = "records.read"
}
