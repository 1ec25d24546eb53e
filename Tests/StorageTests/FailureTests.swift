// Failures of the real kernel: a full device, a file size limit, paths that cannot be. The tests may run as
// root, whom modes do not stop, so no test relies on them.

import Glibc
import Testing

@testable import Storage

@Suite struct FailureTests {
    @Test func saysThatTheDiskIsFull() {
        let error = failure { () throws(StorageError) in
            let file = try Descriptor(opening: "/dev/full", O_WRONLY)
            try file.write([1, 2, 3])
        }
        #expect(error.code == ENOSPC && error.operation == "write")
        #expect(
            error.description.hasPrefix(
                "/dev/full: cannot write: the disk is full; free some space"))
    }

    @Test func namesThePartOfThePathThatIsNoDirectory() throws {
        try withDirectory { directory in
            let file = directory + "/file"
            try DurableFile.writeAtomically([1], to: file)
            for attempt in [
                failure { () throws(StorageError) in
                    try DurableFile.writeAtomically([1], to: file + "/below")
                },
                failure { () throws(StorageError) in
                    try DurableFile.createDirectory(file + "/below")
                },
                failure { () throws(StorageError) in _ = try AppendFile(file + "/below") },
                failure { () throws(StorageError) in _ = try DirectoryLock(file) },
                failure { () throws(StorageError) in _ = try DurableFile.list(file) },
            ] {
                #expect(
                    attempt.code == ENOTDIR && attempt.description.contains("not a directory"),
                    "\(attempt)")
            }
            #expect(
                failure { () throws(StorageError) in try DurableFile.createDirectory(file) }.code
                    == ENOTDIR)
        }
    }

    @Test func saysWhatIsMissingOrOfTheWrongKind() throws {
        try withDirectory { directory in
            let missing = failure { () throws(StorageError) in
                _ = try DurableFile.read(directory + "/none", maxBytes: 1)
            }
            #expect(
                missing.isNotFound
                    && missing.description
                        == "\(directory)/none: cannot open: it does not exist; check the path"
            )
            #expect(
                failure { () throws(StorageError) in
                    _ = try DurableFile.read(directory, maxBytes: 1)
                }.code == EISDIR)
            #expect(
                failure { () throws(StorageError) in
                    try DurableFile.writeAtomically([1], to: directory + "/none/file")
                }.isNotFound)
            #expect(
                failure { () throws(StorageError) in _ = try DurableFile.size(directory + "/none") }
                    .isNotFound)
            // A directory where the file should go: it stays, and nothing is left beside it.
            try DurableFile.createDirectory(directory + "/taken/inside")
            #expect(
                failure { () throws(StorageError) in
                    try DurableFile.writeAtomically([1], to: directory + "/taken")
                }.operation == "replace")
            #expect(try DurableFile.list(directory) == ["taken"])
            #expect(
                failure { () throws(StorageError) in
                    try DurableFile.removeDirectory(directory + "/taken")
                }.code == ENOTEMPTY)
            #expect(
                failure { () throws(StorageError) in
                    try DurableFile.createDirectory(
                        directory + "/" + String(repeating: "x", count: 300))
                }.code == ENAMETOOLONG)
        }
    }

    @Test func hasAdviceForWhatOperatorsMeet() {
        for (code, word) in [
            (ENOSPC, "full"), (EDQUOT, "quota"), (EROFS, "read-only"), (EACCES, "permission"),
            (EPERM, "permission"), (EIO, "device"), (EMFILE, "ulimit"),
            (EFBIG, "ulimit"), (EWOULDBLOCK, "another process"), (EINVAL, "Invalid"),
        ] as [(Int32, String)] {
            let text = StorageError("write", "/data/x", code: code).description
            #expect(text.hasPrefix("/data/x: cannot write: ") && text.contains(word), "\(text)")
        }
    }

    /// A write that the kernel cuts short (RLIMIT_FSIZE, in a process of its own): the old file stays, the
    /// append file is poisoned, and what was durable before is still there.
    @Test func losesNothingWhenAWriteFailsHalfway() async {
        await #expect(processExitsWith: .success) {
            signal(SIGXFSZ, SIG_IGN)
            try withDirectory { directory in
                let path = directory + "/state"
                try DurableFile.writeAtomically([1, 2, 3], to: path)
                let file = try AppendFile(directory + "/log")
                try file.append([UInt8](repeating: 5, count: 1000))
                try file.sync()
                var limit = rlimit(rlim_cur: 4096, rlim_max: 4096)
                guard unsafe setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0
                else { exit(2) }

                let large = [UInt8](repeating: 9, count: 10_000)
                guard
                    failure({ () throws(StorageError) in
                        try DurableFile.writeAtomically(large, to: path)
                    }).code == EFBIG,
                    try DurableFile.read(path, maxBytes: 10) == [1, 2, 3],
                    !DurableFile.exists(path + ".new")
                else { exit(3) }

                guard failure({ () throws(StorageError) in try file.append(large) }).code == EFBIG
                else { exit(4) }
                // Poisoned: even what would fit is refused now.
                guard
                    failure({ () throws(StorageError) in try file.append([1]) }).description
                        .contains("restart"),
                    failure({ () throws(StorageError) in try file.sync() }).description.contains(
                        "restart"),
                    failure({ () throws(StorageError) in try file.truncate(to: 0) }).description
                        .contains("restart")
                else { exit(5) }

                let again = try AppendFile(directory + "/log")
                try again.truncate(to: 1000)
                guard
                    try DurableFile.read(directory + "/log", maxBytes: 4096)
                        == [UInt8](repeating: 5, count: 1000)
                else { exit(6) }
            }
        }
    }

    /// A sync that fails poisons for good. A pipe stands for a broken disk: it takes writes and refuses fdatasync.
    @Test func aFailedSyncPoisonsTheFile() throws {
        try withDirectory { directory in
            let path = directory + "/pipe"
            #expect(unsafe mkfifo(path, 0o600) == 0)
            let file = try AppendFile(path)
            try file.append([1])
            #expect(failure { () throws(StorageError) in try file.sync() }.operation == "sync")
            #expect(
                failure { () throws(StorageError) in try file.append([2]) }.description.contains(
                    "an earlier write or sync failed"))
            #expect(
                failure { () throws(StorageError) in try file.sync() }.description.contains(
                    "an earlier write or sync failed"))
        }
    }
}
