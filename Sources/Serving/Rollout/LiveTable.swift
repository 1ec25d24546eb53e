import Cryptography
import Study

/// The versions that answer, at one moment. Readers take one copy for a request, so a request sees one moment.
struct LiveTable: Sendable {
    var models: [String: DeployedModel] = [:]
    /// Versions that are one switch away, loaded.
    var standbys: [String: DeployedModel] = [:]
    /// Versions that answer a share of their model's requests.
    var canaries: [String: CanaryLane] = [:]
    /// Versions that score in the shadow of the live one.
    var shadows: [String: ShadowLane] = [:]
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

    /// Every loaded version.
    var all: [DeployedModel] {
        Array(models.values) + canaries.values.map(\.model) + standbys.values + shadows.values.map(\.model)
    }

    /// A version goes live; what was held against the one before ends. The same one loaded anew changes nothing else.
    mutating func putLive(_ model: DeployedModel) {
        let name = model.package.name
        if models[name]?.package.digest != model.package.digest {
            remove(model.package.digest)
            (canaries[name], shadows[name]) = (nil, nil)
        }
        models[name] = model
    }

    /// Takes a version out of every role.
    mutating func remove(_ digest: Digest) {
        models = models.filter { $0.value.package.digest != digest }
        standbys = standbys.filter { $0.value.package.digest != digest }
        canaries = canaries.filter { $0.value.model.package.digest != digest }
        shadows = shadows.filter { $0.value.model.package.digest != digest }
    }
}
