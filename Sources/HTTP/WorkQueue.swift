// Overload. A loop reads all its connections before it begins the next piece of work, so that a request that cannot be taken is
// told so at once, and what may be stopped or asked of a busy server still gets through. `protocol/http.md` §5.

/// Which requests are work: one waits for another, and beyond the limits they are refused as soon as their head is there.
package struct WorkRules: Sendable {
    /// Asked with the path. What is no work is answered before any that waits.
    package var isWork: @Sendable (_ path: String) -> Bool
    /// Asked with the head of a request whose body is still to come; an answer here is sent at once and the body is not kept.
    package var refusal: @Sendable (_ head: HTTPRequest) -> HTTPResponse? = { _ in nil }
    /// Requests of one loop that may be under way: their body is coming, they wait, or their answer does.
    package var requestsMax = 256
    /// Bytes of their bodies. A larger body is taken when nothing waits.
    package var bytesMax = 4 << 20
    /// The answer to a request that cannot be taken.
    package var overloaded = {
        var response = HTTPResponse.error(503, "more requests are under way than this server takes; nothing was done with this one")
        response.headers.append("Retry-After", "1")
        return response
    }()

    package init(isWork: @escaping @Sendable (_ path: String) -> Bool) { self.isWork = isWork }
}

/// What waits for one loop, in order of arrival; and how much is under way in all, which bounds memory.
struct WorkQueue<Item> {
    private var items: [Item] = []
    private var first = 0
    private(set) var requests = 0
    private(set) var bytes = 0
    private let requestsMax: Int
    private let bytesMax: Int

    init(requestsMax: Int, bytesMax: Int) { (self.requestsMax, self.bytesMax) = (requestsMax, bytesMax) }

    /// Takes a place for a request with a body of so many bytes; ``leave(bytes:)`` gives it back.
    mutating func enter(bytes count: Int) -> Bool {
        guard requests == 0 || (requests < requestsMax && bytes + count <= bytesMax) else { return false }
        requests += 1
        bytes += count
        return true
    }

    mutating func leave(bytes count: Int) {
        requests -= 1
        bytes -= count
    }

    mutating func append(_ item: Item) { items.append(item) }

    /// The one that has waited longest. It keeps its place until ``leave(bytes:)``, when it is answered.
    mutating func next() -> Item? {
        guard first < items.count else { return nil }
        defer {
            first += 1
            if first == items.count {
                items.removeAll(keepingCapacity: items.count <= requestsMax)
                first = 0
            }
        }
        return items[first]
    }
}
