import Cryptography
import Study

/// The versions that answer, at one moment. Readers take one copy for a request, so a request sees one moment.
struct LiveTable: Sendable {
    var models: [String: DeployedModel] = [:]
    /// Versions that are one switch away, loaded.
    var standbys: [String: DeployedModel] = [:]
    /// Why nothing is predicted at all.
    var stop: DeploymentState.Stop?

    /// The model that a request without a name means.
    var only: DeployedModel? { models.count == 1 ? models.first?.value : nil }

    /// What a caller may use of it. Another model is for this caller as if it were not there.
    func visible(to principal: Principal) -> LiveTable {
        guard principal.models != nil else { return self }
        var table = self
        table.models = models.filter { principal.mayUse($0.key) }
        return table
    }
}
