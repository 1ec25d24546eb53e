/// The limits of the prediction service, checked where input enters. `protocol/prediction-api.md` §1.
package enum ServingLimits {
    /// Bytes of a request body on `/v1/predict` and `/v2/models/{model}/infer`.
    package static let predictBodyBytes = 8 << 20
    /// Bytes of a package that is installed over the API: the largest model and its manifest.
    package static let packageBytes = 20 << 20
    /// Bytes of any other request body.
    package static let bodyBytes = 64 << 10
    /// Freed memory that each of the node's heaps keeps: what a request of a thousand rows takes, several times.
    package static let keptMemoryBytes = 8 << 20
    /// Rows of one request.
    package static let rows = 1000
    /// Members of one row object.
    package static let rowMembers = 2048
    /// Members of one `parameters` object.
    package static let parameters = 64
    /// Rows of a request that asks for counterfactuals: each costs hundreds of scores.
    package static let counterfactualRows = 20
    /// Violations reported for one row.
    package static let violationsPerRow = 32
    /// Predictions that may be under way, from their head to their answer; one more is answered 503 at once.
    package static let waitingRequests = 256
    /// Bytes of their bodies.
    package static let waitingBytes = 4 << 20
    /// A prediction with a larger body takes milliseconds, and is made beside the server's loop.
    package static let shortBodyBytes = 32 << 10
    /// As large as that when nobody else waits: a thousand rows of doubles, a millisecond or two.
    package static let aloneBodyBytes = 512 << 10
    /// Predictions that may wait for that, those with a counterfactual among them.
    package static let longRequests = 64
    /// Requests whose entries wait for the disk; one more is answered 503.
    package static let pendingRequests = 4096
    /// Rows whose entries wait for the disk.
    package static let pendingRows = 32_768
    /// Keys in `keys/api-keys.json`.
    package static let accessKeys = 1000
    /// Bytes of `keys/api-keys.json`.
    package static let accessKeyFileBytes = 1 << 20
    /// Bytes of the identifier of a person whom a prediction is about.
    package static let subjectBytes = 256
    /// Bytes of a feedback's `source`.
    package static let sourceBytes = 64
    /// Bytes of the reason of a stop, a start, a suspension or an override.
    package static let reasonBytes = 512
    /// Versions kept at a node, over all models.
    package static let versions = 1000
    /// Models with a live version at one node.
    package static let models = 64
}
