extension ClientSession {
    /// Whether nothing is missing but the site's own vector: the moment to start long local work, because no
    /// message with a short deadline can come before the masked vector has left.
    package var isWaitingForInput: Bool {
        guard case .delivered = step else { return false }
        return input == nil
    }
}
