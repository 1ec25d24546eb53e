import DifferentialPrivacy
import Testing

@Suite("Privacy modes")
struct PrivacyModeTests {
    @Test("are named as in plans")
    func names() {
        #expect(PrivacyGuarantee.allCases.map(\.rawValue) == ["record-local", "record-distributed", "site-distributed", "central"])
    }
}
