/// Who causes a change: the node itself, on its plan or command line, or a person with a key.
package struct Actor: Equatable, Sendable {
    /// As in log entries: `key:3f9a01bc`, or the site's name for the node itself.
    package var name: String
    /// The person behind the key: its name in the list of keys. Two keys of one name are one person.
    package var person: String
    /// What the person may do; nil for the node itself.
    package var roles: Set<AccessRole>?

    /// The node itself.
    package static func node(_ site: String) -> Actor { Actor(name: site, person: site, roles: nil) }

    /// A caller with a key.
    package init(_ principal: Principal) {
        self.init(name: principal.identifier, person: principal.person, roles: principal.roles)
    }

    package init(name: String, person: String, roles: Set<AccessRole>?) {
        (self.name, self.person, self.roles) = (name, person, roles)
    }
}
