// A process whose clock is wrong: a small library, made with the toolchain's own clang, that is loaded before libc.

import Simulation
import Storage

enum ClockShim {
    private static let source = """
        #define _GNU_SOURCE
        #include <stdlib.h>
        #include <sys/syscall.h>
        #include <sys/time.h>
        #include <time.h>
        #include <unistd.h>

        int clock_gettime(clockid_t clock, struct timespec *result) {
            int code = (int)syscall(SYS_clock_gettime, clock, result);
            const char *offset = getenv("CLOCK_OFFSET_SECONDS");
            if (code == 0 && clock == CLOCK_REALTIME && offset) result->tv_sec += atol(offset);
            return code;
        }
        time_t time(time_t *result) {
            struct timespec now;
            clock_gettime(CLOCK_REALTIME, &now);
            if (result) *result = now.tv_sec;
            return now.tv_sec;
        }
        int gettimeofday(struct timeval *result, void *zone) {
            struct timespec now;
            clock_gettime(CLOCK_REALTIME, &now);
            result->tv_sec = now.tv_sec;
            result->tv_usec = now.tv_nsec / 1000;
            return 0;
        }
        """

    /// Variables for a process whose clock is `seconds` ahead; nil, with a printed message, where no clang is.
    static func variables(seconds: Int, in scratch: Scratch) throws -> [String]? {
        let library = scratch.path + "/clock.so"
        if !DurableFile.exists(library) {
            let file = scratch.path + "/clock.c"
            try DurableFile.writeAtomically(Array(source.utf8), to: file)
            let compiler = try ChildProcess("/usr/bin/env", ["clang", "-shared", "-fPIC", "-o", library, file], logPath: scratch.fresh("clang"))
            guard compiler.wait() == 0 else {
                print("a test of wrong clocks is skipped: clang cannot make a shared library here (\(compiler.lastLines))")
                return nil
            }
        }
        return ["LD_PRELOAD=\(library)", "CLOCK_OFFSET_SECONDS=\(seconds)"]
    }
}
