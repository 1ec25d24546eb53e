extension RefusalCode {
    /// One sentence for an operator: what is wrong and what to do. No values.
    package var explanation: String {
        switch self {
        case .malformedMessage:
            "the message is not well formed; check that both sides run the same version"
        case .unexpectedMessage: "the message does not belong to this step of the round"
        case .conflictingMessage: "a second, different message came for a step that is already done"
        case .coordinatorSignature:
            "the opening is not signed by the coordinator this node is pinned to"
        case .unsupportedSuite: "the round asks for a cipher suite this node does not have"
        case .manifestMismatch:
            "the round names another member list than the one this node is pinned to"
        case .notInManifest:
            "this site is not a member in force; ask the governance for a new manifest"
        case .architectureNotAllowed:
            "the model architecture is not on this site's list; add it to the policy if approved"
        case .configurationNotAllowed:
            "the round's configuration is not on this site's list; a consent is missing"
        case .roundNotIncreasing:
            "the round and attempt numbers must go up; this one was seen before"
        case .modelAlreadyUsed: "this site already gave one masked vector for this model"
        case .tooManyAttempts: "the round was attempted as often as this site's policy allows"
        case .previousResultUnknown:
            "the round builds on a result this node has not seen; fetch that result first"
        case .modelNotDerived: "the model is not the one that follows from the last published sum"
        case .vectorNotAllowed:
            "the vector layout is outside the limits of this site or of the protocol"
        case .overflowPossible:
            "the sum of so many sites could wrap around; fewer fraction bits are needed"
        case .cohortBoundTooSmall: "the round allows a smaller cohort than this site's policy"
        case .privacyModeNotAllowed:
            "the round's privacy mode is not one this site allows; running without differential privacy needs an explicit opt-in"
        case .privacyParametersWeaker:
            "a privacy parameter of the round is weaker than this site's policy"
        case .deadlineNotAllowed: "a deadline of the round is zero or longer than a week"
        case .graphNotSupported:
            "the round asks for a communication graph that this site does not take part in"
        case .clipNotAllowed: "a clipping bound is not a positive number within this site's limit"
        case .precisionNotAllowed: "the fraction bits of a tensor are outside this site's limits"
        case .rosterSignature:
            "an advertisement in the roster is not signed by the site it names, for this round"
        case .rosterUnlistedSite: "the roster contains a site that is not in the manifest"
        case .rosterExpiredSite: "the roster contains a site whose membership is not in force"
        case .rosterDuplicate: "a site or a key appears twice in the roster"
        case .rosterWithoutSelf:
            "this site's own advertisement is missing from the roster or altered"
        case .rosterTooSmall: "fewer sites take part than this site's policy asks for"
        case .rosterTooLarge: "more sites take part than the round or the protocol allows"
        case .thresholdTooLow:
            "the threshold does not hold against the number of colluding sites this policy assumes"
        case .rosterTrustedQuorum: "too few of the sites this site trusts take part"
        case .rosterOrder: "the roster is not sorted by site"
        case .unusableKey: "a public key in the roster is of low order"
        case .ledgerHeadRegressed: "a site's budget ledger went backwards since the last round"
        case .rosterNotLogged: "the roster has a site that the coordinator's log does not name for the round"
        case .sharersTooFew: "too few sites shared their secrets"
        case .sharersWithoutSelf: "this site shared its secrets but the coordinator left it out"
        case .shareNotAuthentic: "an encrypted share was altered or made for another round"
        case .shareOutOfRange: "a share holds a number outside the field: its sender is at fault"
        case .deliveryIncomplete:
            "the delivered shares do not match the list of sites that sent them"
        case .weightShareExceeded:
            "this site's weight would dominate the sum; lower it or raise the policy's limit"
        case .survivorsNotSharers: "the survivor list names a site that did not share"
        case .survivorsWithoutSelf: "this site sent its vector but is not on the survivor list"
        case .survivorsTooFew: "too few sites remain in the sum"
        case .honestTooFew: "not counting the assumed colluding sites, too few remain in the sum"
        case .noiseTooSmall: "too few sites remain for the agreed noise"
        case .survivorsTrustedQuorum: "too few of the sites this site trusts remain in the sum"
        case .survivorsConflict: "a second, different survivor list came for the same round"
        case .survivorsDifferOnRetry:
            "a repeated round must keep the survivors of the attempt this site already unmasked"
        case .evidenceTooSmall: "fewer sites than the threshold confirmed the survivor list"
        case .evidenceSignature: "a confirmation of the survivor list is not valid"
        case .evidenceDuplicateSigner: "a site's confirmation was counted twice"
        case .evidenceNotSurvivor: "a confirmation came from a site that is not a survivor"
        case .alreadyUnmasked: "this site already revealed its shares for this round"
        case .resultSignature: "the result is not signed by the coordinator"
        case .resultMismatch: "the result belongs to another round or survivor list"
        case .resultSlots: "the constant slots of the sum are wrong: masks did not cancel"
        case .resultDigest: "the published sum does not match its digest"
        case .resultModelMismatch: "the next model is not what the published sum gives"
        case .unknownSite: "the sender is not a site of this round"
        case .tooLate: "the step this message belongs to is over"
        case .signatureInvalid: "the message is not signed by its sender for this round"
        case .wrongTranscript: "the message was made for another round, roster or survivor list"
        case .segmentBeforeHeader: "the header of the masked vector must come before its segments"
        case .segmentDigest: "the segment does not match the digest in the signed header"
        case .segmentUnknown: "the vector has no segment of this number"
        case .uploadsBusy: "too many uploads are under way; send this segment again in a moment"
        case .tooFewSites: "too few sites are left to go on"
        case .shareCommitmentMismatch:
            "revealed shares do not give what the site committed to; the site dealt wrong shares"
        case .sumSlots: "the constant slots of the sum are wrong: a site sent a malformed vector"
        case .cancelled: "stopped by the operator"
        case .abortedByPeer: "the other side aborted the round"
        }
    }
}
