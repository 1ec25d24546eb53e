// Why a party stopped. The numbers travel in abort messages and the names stand in logs; both are stable.
// `protocol/secure-aggregation.md` §8 has the table.

/// One reason, with a stable number and a stable name.
package enum RefusalCode: UInt16, CaseIterable, Sendable {
    // Any message
    case malformedMessage = 1
    case unexpectedMessage = 2
    case conflictingMessage = 3

    // M0, the opening
    case coordinatorSignature = 10
    case unsupportedSuite = 11
    case manifestMismatch = 12
    case notInManifest = 13
    case architectureNotAllowed = 14
    case configurationNotAllowed = 15
    case roundNotIncreasing = 16
    case modelAlreadyUsed = 17
    case tooManyAttempts = 18
    case previousResultUnknown = 19
    case modelNotDerived = 20
    case vectorNotAllowed = 21
    case overflowPossible = 22
    case cohortBoundTooSmall = 23
    case privacyModeNotAllowed = 24
    case privacyParametersWeaker = 25
    case deadlineNotAllowed = 26
    case graphNotSupported = 27
    case clipNotAllowed = 28
    case precisionNotAllowed = 29

    // M2, the roster
    case rosterSignature = 30
    case rosterUnlistedSite = 31
    case rosterExpiredSite = 32
    case rosterDuplicate = 33
    case rosterWithoutSelf = 34
    case rosterTooSmall = 35
    case rosterTooLarge = 36
    case thresholdTooLow = 37
    case rosterTrustedQuorum = 38
    case rosterOrder = 39
    case unusableKey = 40
    case ledgerHeadRegressed = 41
    case rosterNotLogged = 42

    // M4, the delivery
    case sharersTooFew = 50
    case sharersWithoutSelf = 51
    case shareNotAuthentic = 52
    case shareOutOfRange = 53
    case deliveryIncomplete = 54

    // M5, the input
    case weightShareExceeded = 60

    // M6, the survivors
    case survivorsNotSharers = 70
    case survivorsWithoutSelf = 71
    case survivorsTooFew = 72
    case honestTooFew = 73
    case noiseTooSmall = 74
    case survivorsTrustedQuorum = 75
    case survivorsConflict = 76
    case survivorsDifferOnRetry = 77

    // M8, the evidence
    case evidenceTooSmall = 80
    case evidenceSignature = 81
    case evidenceDuplicateSigner = 82
    case evidenceNotSurvivor = 83
    case alreadyUnmasked = 84

    // M10, the result
    case resultSignature = 90
    case resultMismatch = 91
    case resultSlots = 92
    case resultDigest = 93
    case resultModelMismatch = 94

    // The coordinator's side
    case unknownSite = 100
    case tooLate = 101
    case signatureInvalid = 102
    case wrongTranscript = 103
    case segmentBeforeHeader = 104
    case segmentDigest = 105
    case segmentUnknown = 106
    case uploadsBusy = 107
    case tooFewSites = 110
    case shareCommitmentMismatch = 111
    case sumSlots = 112

    // Either side
    case cancelled = 120
    case abortedByPeer = 121

    /// The stable name: words with hyphens, as in "survivors-too-few".
    package var name: String {
        var words = ""
        for character in String(describing: self) {
            if character.isUppercase { words += "-" }
            words += character.lowercased()
        }
        return words
    }
}

/// A refusal: the reason and, where one is to blame or concerned, the site.
package struct AggregationRefusal: Error, Equatable, Sendable, CustomStringConvertible {
    package var code: RefusalCode
    /// Manifest index of the site that the reason is about.
    package var site: UInt32?

    package init(_ code: RefusalCode, site: UInt32? = nil) {
        self.code = code
        self.site = site
    }

    package var description: String {
        let place = site.map { " (site \($0))" } ?? ""
        return "\(code.name)\(place): \(code.explanation)"
    }
}
