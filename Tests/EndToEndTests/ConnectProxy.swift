// A small HTTP CONNECT proxy, as stands between many hospitals and the world.

import Glibc
import Simulation
import Telemetry
import Transport

/// Listens on 127.0.0.1 until it is freed; one thread a direction.
final class ConnectProxy: Sendable {
    let port: Int
    private let listener: Int32
    private let log = Locked<[String]>([])

    /// Targets of the CONNECT requests so far.
    var targets: [String] { log.withLock { $0 } }

    /// - Parameter refusing: the status line to answer instead of opening the way.
    init(refusing: String? = nil) throws {
        port = freePort()
        let listening = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        listener = listening
        var address = Self.address(port)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        // The address outlives the call, and its size is the true one.
        let isBound = unsafe withUnsafePointer(to: &address) { unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(listening, $0, size) } }
        guard isBound == 0, listen(listening, 16) == 0 else { throw ScenarioError.failed(step: "proxy", "no port") }
        let log = log
        Thread.detach(Thread.start(name: "proxy") {
            while true {
                let client = accept(listening, nil, nil)
                guard client >= 0 else { return }
                Thread.detach(Thread.start(name: "proxy way") { Self.serve(client, log, refusing) })
            }
        })
    }

    deinit { shutdown(listener, Int32(SHUT_RDWR)) }

    private static func address(_ port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return address
    }

    private static func serve(_ client: Int32, _ log: Locked<[String]>, _ refusing: String?) {
        var head: [UInt8] = []
        while !head.suffix(4).elementsEqual([13, 10, 13, 10]), head.count < 8192 {
            guard let byte = receive(client, most: 1).first else { return _ = close(client) }
            head.append(byte)
        }
        let target = String(String(decoding: head, as: UTF8.self).split(separator: " ").dropFirst().first ?? "")
        log.withLock { $0.append(target) }
        let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = address(Int(target.split(separator: ":").last ?? "") ?? 0)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isOpen = unsafe withUnsafePointer(to: &address) { unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe connect(server, $0, size) } }
        guard refusing == nil, isOpen == 0 else {
            send(client, Array("HTTP/1.1 \(refusing ?? "502 Bad Gateway")\r\nContent-Length: 0\r\n\r\n".utf8))
            close(client)
            return _ = close(server)
        }
        send(client, Array("HTTP/1.1 200 Connection established\r\n\r\n".utf8))
        Thread.detach(Thread.start(name: "proxy back") { pump(from: server, to: client) })
        pump(from: client, to: server)
    }

    private static func pump(from source: Int32, to sink: Int32) {
        while case let bytes = receive(source, most: 65536), !bytes.isEmpty { send(sink, bytes) }
        shutdown(sink, Int32(SHUT_RDWR))
        shutdown(source, Int32(SHUT_RDWR))
    }

    private static func receive(_ socket: Int32, most: Int) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: most)
        let count = unsafe recv(socket, &buffer, most, 0)
        return Array(buffer.prefix(max(count, 0)))
    }

    private static func send(_ socket: Int32, _ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let part = Array(bytes[sent...])
            let count = unsafe Glibc.send(socket, part, part.count, Int32(MSG_NOSIGNAL))
            guard count > 0 else { return }
            sent += count
        }
    }
}
