import CShims
import Glibc

/// The owner of one non-blocking stream socket. All unsafe socket calls are in this file.
@safe final class Socket {
    let descriptor: Int32

    /// Takes ownership of an open descriptor.
    init(owning descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Addresses of `host`, in resolver order. Blocks while the resolver works.
    /// - Throws: ``TransportError/cannotResolve(host:reason:)``.
    static func resolve(_ host: String, port: Int, toListen: Bool) throws(TransportError)
        -> [consilium_address]
    {
        var addresses = [consilium_address](repeating: consilium_address(), count: addressesMax)
        // Safe: the shim writes at most `addressesMax` elements.
        let count = unsafe consilium_resolve(
            host, UInt16(clamping: port), toListen ? 1 : 0, &addresses, Int32(addressesMax))
        guard count > 0 else {
            let code = count - Int32(CONSILIUM_RESOLVER_ERROR)
            // Safe: the shim returns a static text.
            let reason =
                count == 0
                ? "it has no usable address" : unsafe String(cString: consilium_resolver_text(code))
            throw .cannotResolve(host: host, reason: reason)
        }
        return Array(addresses.prefix(Int(count)))
    }

    /// A listening socket on the first address of `host` that can be bound. Port 0 lets the system
    /// choose.
    static func listening(host: String, port: Int) throws(TransportError) -> Socket {
        var failure = Int32(0)
        for address in try resolve(host, port: port, toListen: true) {
            // Safe: the address outlives the call.
            let descriptor = unsafe withUnsafePointer(to: address) {
                unsafe consilium_listen($0, backlog)
            }
            if descriptor >= 0 { return Socket(owning: descriptor) }
            failure = -descriptor
            if failure == EADDRINUSE { throw .addressInUse(host: host, port: port) }
        }
        throw .cannotListen(host: host, port: port, reason: errnoText(failure))
    }

    /// A socket that is connecting; ``connectFailure`` tells the outcome once it is writable.
    static func connecting(to address: consilium_address) -> Result<Socket, ConnectFailure> {
        // Safe: the address outlives the call.
        let descriptor = unsafe withUnsafePointer(to: address) { unsafe consilium_connect($0) }
        return descriptor >= 0
            ? .success(Socket(owning: descriptor)) : .failure(ConnectFailure(code: -descriptor))
    }

    struct ConnectFailure: Error { var code: Int32 }

    /// errno of the finished connect, 0 when connected.
    var connectFailure: Int32 { consilium_socket_error(descriptor) }

    var localPort: Int { Int(consilium_local_port(descriptor)) }

    /// The next waiting connection with the peer's numeric address, or the errno.
    func accept() -> Result<(Socket, address: String), ConnectFailure> {
        var accepted = Int32(0)
        let address = unsafe String(unsafeUninitializedCapacity: Int(CONSILIUM_ADDRESS_TEXT)) {
            bytes in
            // Safe: the shim writes at most CONSILIUM_ADDRESS_TEXT bytes, NUL included.
            unsafe bytes.withMemoryRebound(to: CChar.self) { text in
                unsafe accepted = consilium_accept(descriptor, text.baseAddress)
                return accepted < 0 ? 0 : unsafe strlen(text.baseAddress!)
            }
        }
        return accepted < 0
            ? .failure(ConnectFailure(code: -accepted))
            : .success((Socket(owning: accepted), address))
    }

    func read(into bytes: UnsafeMutableRawBufferPointer) -> IOResult {
        // Safe: at most the buffer's length is written.
        let count = unsafe recv(descriptor, bytes.baseAddress, bytes.count, 0)
        if count > 0 { return .bytes(count) }
        if count == 0 { return .end }
        return result(of: errno, wants: .wantsRead)
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> IOResult {
        // Safe: at most the buffer's length is read.
        let count = unsafe send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        return count >= 0 ? .bytes(count) : result(of: errno, wants: .wantsWrite)
    }

    /// Acknowledges what has arrived at once instead of with the next data.
    func acknowledge() { consilium_acknowledge_now(descriptor) }
    /// Ends our direction: the peer sees the end of the stream.
    func stopWriting() { shutdown(descriptor, Int32(SHUT_WR)) }
    /// Ends both directions: a thread blocked on the socket wakes up.
    func stopBoth() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Waits for readability or writability.
    /// - Parameter milliseconds: how long; negative waits for ever.
    /// - Returns: false when the time is over.
    func wait(forWriting: Bool, milliseconds: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(forWriting ? POLLOUT : POLLIN), revents: 0)
        // Safe: one entry.
        return unsafe poll(&entry, 1, milliseconds) != 0
    }

    private func result(of code: Int32, wants: IOResult) -> IOResult {
        switch code {
        case EAGAIN, EINTR: wants
        default: .failed(.connectionClosed(reason: errnoText(code)))
        }
    }

    static let addressesMax = 16
    static let backlog: Int32 = 1024
}
