// What a log keeps apart from its files, in a directory beside it named as the log with ".state" behind:
//   head             the latest signed checkpoint that is durable for sure
//   pending-<n>      pending segments, n counting up in ten digits
//   journal          the directory of records behind which entries stand, when any; as seen from this one
//   minimum          index below which entries are not given out, when any
//   cosigned         the latest checkpoint that came back from witnesses
//   lock             held while a process has the log open
import Storage

struct StateDirectory: Sendable {
    let path: String

    /// The state directory of a log directory.
    init(ofLog directory: String) {
        var name = directory
        while name.count > 1, name.hasSuffix("/") { name.removeLast() }
        path = name + ".state"
    }

    var head: String { path + "/head" }
    var minimum: String { path + "/minimum" }
    var journal: String { path + "/journal" }
    var cosigned: String { path + "/cosigned" }

    func segment(_ number: Int) -> String {
        let digits = String(number)
        return path + "/" + Self.prefix
            + String(repeating: "0", count: max(0, Self.digits - digits.count)) + digits
    }

    /// Numbers of the segments that are there, ascending.
    func segments() throws(StorageError) -> [Int] {
        try DurableFile.list(path).compactMap { name in
            guard name.hasPrefix(Self.prefix),
                name.utf8.count == Self.prefix.utf8.count + Self.digits
            else { return nil }
            return Int(name.dropFirst(Self.prefix.count))
        }
    }

    private static let prefix = "pending-"
    private static let digits = 10
}
