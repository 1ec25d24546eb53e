import Glibc

/// One thread that runs one closure to its end.
@safe final class WorkerThread: @unchecked Sendable {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Written once before the object is shared; joined at most once by its owner.
    private let handle: pthread_t

    /// Starts the thread.
    init(_ run: @escaping @Sendable () -> Void) {
        let body = unsafe Unmanaged.passRetained(Body(run))
        var handle = pthread_t()
        // Safe: the thread takes over the one retain of its body.
        let result = unsafe pthread_create(
            &handle, nil, { unsafe WorkerThread.main($0) }, body.toOpaque())
        precondition(result == 0, "the system gives this process no more threads")
        self.handle = handle
    }

    /// Waits for the closure to return. Call once.
    func join() { _ = pthread_join(handle, nil) }

    private static func main(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
    }
}
