// Files that the log does not need any more, kept beside it to be written again under new names.
//
// Every commit gives the partial tiles new names. Making and freeing an inode for each costs more than everything else
// about them, so a partial file that is out of date moves to the state directory and comes back with new content and a
// new name. What lies there means nothing: recovery never reads it.
import Glibc
import Telemetry

/// Up to a few files in the state directory.
final class SpareFiles: Sendable {
    /// The edge has at most one partial file a level and one bundle; eight levels are more entries than disks hold.
    static let countMax = 8

    private let directory: String
    private let free = Locked<[Int]>([])
    private let next = Locked(0)

    /// - Parameter directory: on the file system of the log; may not exist yet.
    init(_ directory: String) { self.directory = directory }

    /// A file to be overwritten, or nil. It is the caller's.
    func take() -> String? { free.withLock { $0.popLast() }.map(path) }

    /// Moves a file here; false when there are enough or it cannot be moved.
    func keep(_ file: String) -> Bool {
        guard free.withLock({ $0.count }) < Self.countMax else { return false }
        let number = next.withLock { next in
            next = (next + 1) % (2 * Self.countMax)
            return next
        }
        guard !free.withLock({ $0.contains(number) }), unsafe rename(file, path(number)) == 0 else { return false }
        free.withLock { $0.append(number) }
        return true
    }

    /// Where the last replaced form of a file of the log lies, to be overwritten and swapped in again.
    func replaced(_ path: String) -> String? {
        path.contains("/") ? nil : directory + "/replaced-" + path
    }

    private func path(_ number: Int) -> String { directory + "/spare-\(number)" }
}
