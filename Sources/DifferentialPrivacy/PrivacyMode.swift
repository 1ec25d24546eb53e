// The guarantee that a plan names. `protocol/differential-privacy.md` §1.

/// Which neighbouring data sets a mode makes hard to tell apart, and for whom.
package enum PrivacyGuarantee: String, CaseIterable, Sendable {
    /// DP-SGD inside the site: protects a record (or subject) from everybody outside, the coordinator included.
    case recordLocal = "record-local"
    /// Noise shares of all sites add up under secure aggregation: protects a record from coordinator and colluders.
    case recordDistributed = "record-distributed"
    /// Protects a whole site's contribution from coordinator and colluders.
    case siteDistributed = "site-distributed"
    /// Noise at release: the coordinator is trusted.
    case central
}
