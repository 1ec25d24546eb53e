import Glibc

/// A plain thread, as the program's own are.
final class Thread: @unchecked Sendable {
    // Unchecked: `number` is set once, before anybody else sees the object.
    private var number = pthread_t()
    private let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) {
        self.body = body
        let me = unsafe Unmanaged.passRetained(self).toOpaque()
        let code = unsafe pthread_create(
            &number, nil,
            { argument in
                // The reference that `init` passed on.
                if let argument = unsafe argument {
                    unsafe Unmanaged<Thread>.fromOpaque(argument).takeRetainedValue().body()
                }
                return nil
            }, me)
        precondition(code == 0, "no thread could be made")
    }

    func join() { _ = pthread_join(number, nil) }
}
