// A process that is killed at one of its own writes to the coordinator: a small library, made with the toolchain's
// own clang, that is loaded before libc and counts.

import Simulation
import Storage

enum KillShim {
    /// Where in the write the power fails.
    enum Moment: String, CaseIterable, Sendable {
        /// Nothing of it has left.
        case before
        /// Half of it has.
        case during
        /// All of it has, and the process does not know.
        case after
    }

    private static let source = """
        #define _GNU_SOURCE
        #include <arpa/inet.h>
        #include <dlfcn.h>
        #include <signal.h>
        #include <stdatomic.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/socket.h>
        #include <sys/syscall.h>
        #include <unistd.h>

        static atomic_long count;

        ssize_t write(int file, const void *bytes, size_t length) {
            struct sockaddr_in peer;
            socklen_t size = sizeof peer;
            const char *port = getenv("KILL_PORT"), *arm = getenv("KILL_ARM"), *at = getenv("KILL_AT"), *how = getenv("KILL_HOW");
            if (port && arm && at && how && getpeername(file, (struct sockaddr *)&peer, &size) == 0 && peer.sin_family == AF_INET
                && ntohs(peer.sin_port) == atoi(port) && access(arm, F_OK) == 0 && atomic_fetch_add(&count, 1) + 1 == atol(at)) {
                if (strcmp(how, "during") == 0) length /= 2;
                if (strcmp(how, "before") != 0) syscall(SYS_write, file, bytes, length);
                kill(getpid(), SIGKILL);
            }
            return syscall(SYS_write, file, bytes, length);
        }
        """

    /// Variables for a process that dies at its `number`-th write to `port` after the file `arm` is there; nil, with a
    /// printed message, where no clang is.
    static func variables(write number: Int, _ moment: Moment, port: Int, arm: String, in scratch: Scratch) throws -> [String]? {
        let library = scratch.path + "/kill.so"
        if !DurableFile.exists(library) {
            let file = scratch.path + "/kill.c"
            try DurableFile.writeAtomically(Array(source.utf8), to: file)
            let compiler = try ChildProcess("/usr/bin/env", ["clang", "-shared", "-fPIC", "-w", "-o", library, file], logPath: scratch.fresh("clang"))
            guard compiler.wait() == 0 else {
                print("a test of sites that die at a message is skipped: clang cannot make a shared library here (\(compiler.lastLines))")
                return nil
            }
        }
        return ["LD_PRELOAD=\(library)", "KILL_PORT=\(port)", "KILL_ARM=\(arm)", "KILL_AT=\(number)", "KILL_HOW=\(moment.rawValue)"]
    }
}
