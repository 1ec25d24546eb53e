/// Sends requests to handlers by method and path pattern.
///
/// A pattern is a path of literal segments, `{name}` for one segment and, at the end, `{name...}`
/// for the rest: `/v1/models/{name}`, `/audit/{path...}`. Literal segments win over names. GET
/// handlers answer HEAD too, and OPTIONS lists the methods of a path. Paths are compared as
/// decoded; `/a/` and `//a` are not `/a`.
package struct Router: Sendable {
    /// Answers the requests of one route, at once or later.
    package typealias Handler = @Sendable (HTTPRequest, RouteParameters, HTTPResponder) -> Void

    /// One line of the routing table, for access tables and documentation.
    package struct Route: Equatable, Sendable {
        package var method: String
        package var pattern: String
    }

    /// What ``match(_:_:)`` found.
    package enum Match {
        case route(pattern: String, RouteParameters, Handler)
        /// The path exists, with these methods.
        case otherMethods([String])
        case notFound
    }

    private struct Entry: Sendable {
        var pattern: String
        var names: [String]
        var handlers: [String: Handler]
    }

    private struct Branch: Sendable {
        var literals: [String: Int] = [:]
        var parameter: Int?
        var rest: Int?
        var entry: Int?
    }

    private var branches = [Branch()]
    private var entries: [Entry] = []
    /// Patterns without names, by path: the hot ones need one look-up.
    private var fixed: [String: Int] = [:]
    /// All routes in the order they were added.
    package private(set) var routes: [Route] = []

    package init() {}

    /// Adds a route. A method and pattern may be added once, and parameter names of one pattern
    /// differ.
    package mutating func add(_ method: String, _ pattern: String, _ handler: @escaping Handler) {
        let entry = entryIndex(pattern)
        precondition(
            HTTPRequest.methods.contains(method), "a route has a method that the server knows")
        precondition(entries[entry].handlers[method] == nil, "a route is added once")
        entries[entry].handlers[method] = handler
        routes.append(Route(method: method, pattern: pattern))
    }

    /// Adds a route whose handler needs no parameters.
    package mutating func add(
        _ method: String, _ pattern: String,
        _ handler: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void
    ) {
        add(method, pattern) { request, _, responder in handler(request, responder) }
    }

    /// Answers through the matching handler, or with 404, 405 or the methods for OPTIONS.
    package func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
        switch match(request.method, request.path) {
        case .route(_, let parameters, let handler): handler(request, parameters, responder)
        case .otherMethods(let methods):
            var response =
                request.method == "OPTIONS"
                ? HTTPResponse(status: 204)
                : .error(405, "this path does not take \(request.method)")
            response.headers.append("Allow", methods.joined(separator: ", "))
            responder.respond(response)
        case .notFound: responder.respond(.error(404, "there is nothing at this path"))
        }
    }

    /// Looks a route up without calling it.
    package func match(_ method: String, _ path: String) -> Match {
        if let index = fixed[path] { return choose(index, method, []) }
        var values: [String] = []
        let segments = path.utf8.dropFirst().split(
            separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard path.utf8.first == UInt8(ascii: "/"), let index = find(0, segments[...], &values)
        else { return .notFound }
        return choose(index, method, values)
    }

    private func choose(_ index: Int, _ method: String, _ values: [String]) -> Match {
        let entry = entries[index]
        guard
            let handler = entry.handlers[method] ?? (method == "HEAD" ? entry.handlers["GET"] : nil)
        else {
            var methods = Array(entry.handlers.keys)
            if methods.contains("GET"), !methods.contains("HEAD") { methods.append("HEAD") }
            if !methods.contains("OPTIONS") { methods.append("OPTIONS") }
            return .otherMethods(methods.sorted())
        }
        return .route(
            pattern: entry.pattern, RouteParameters(names: entry.names, values: values), handler)
    }

    /// Depth first, literals before names before the rest.
    private func find(
        _ branch: Int, _ segments: ArraySlice<Substring.UTF8View>, _ values: inout [String]
    ) -> Int? {
        guard let segment = segments.first else { return branches[branch].entry }
        let text = String(Substring(segment))
        if let next = branches[branch].literals[text],
            let found = find(next, segments.dropFirst(), &values)
        {
            return found
        }
        if let next = branches[branch].parameter, !text.isEmpty {
            values.append(text)
            if let found = find(next, segments.dropFirst(), &values) { return found }
            values.removeLast()
        }
        if let entry = branches[branch].rest, !text.isEmpty {
            values.append(segments.map { String(Substring($0)) }.joined(separator: "/"))
            return entry
        }
        return nil
    }

    private mutating func entryIndex(_ pattern: String) -> Int {
        precondition(pattern.hasPrefix("/"), "a pattern begins with a slash")
        var names: [String] = []
        var branch = 0
        var isRest = false
        for segment in pattern.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            precondition(!isRest, "only the last segment takes the rest")
            guard segment.hasPrefix("{"), segment.hasSuffix("}") else {
                branch = literal(String(segment), of: branch)
                continue
            }
            let name = segment.dropFirst().dropLast()
            isRest = name.hasSuffix("...")
            names.append(String(isRest ? name.dropLast(3) : name))
            if !isRest { branch = parameter(of: branch) }
        }
        precondition(Set(names).count == names.count, "parameter names differ")
        let existing = isRest ? branches[branch].rest : branches[branch].entry
        if let existing {
            precondition(
                entries[existing].names == names, "one path has one set of parameter names")
            return existing
        }
        entries.append(Entry(pattern: pattern, names: names, handlers: [:]))
        if isRest {
            branches[branch].rest = entries.count - 1
        } else {
            branches[branch].entry = entries.count - 1
        }
        if names.isEmpty { fixed[pattern] = entries.count - 1 }
        return entries.count - 1
    }

    private mutating func literal(_ text: String, of branch: Int) -> Int {
        if let next = branches[branch].literals[text] { return next }
        branches.append(Branch())
        branches[branch].literals[text] = branches.count - 1
        return branches.count - 1
    }

    private mutating func parameter(of branch: Int) -> Int {
        if let next = branches[branch].parameter { return next }
        branches.append(Branch())
        branches[branch].parameter = branches.count - 1
        return branches.count - 1
    }
}

/// The segments of a path that a pattern names.
package struct RouteParameters: Equatable, Sendable {
    private let names: [String]
    private let values: [String]

    init(names: [String], values: [String]) {
        self.names = names
        self.values = values
    }

    /// The decoded segment. The name must be one of the pattern's.
    package subscript(name: String) -> String {
        guard let index = names.firstIndex(of: name) else {
            preconditionFailure("the pattern has no such parameter")
        }
        return values[index]
    }
}
