import Glibc
import Telemetry
import Testing
import Transport

@Suite struct PlainConnectionTests {
    @Test func echoesOverPlainTCP() throws {
        let server = try EchoServer(nil)
        #expect(try echo(server, nil) == Array("hello".utf8))
    }

    @Test func movesMegabytesThroughBackPressure() throws {
        let server = try EchoServer(nil)
        let deadline = Deadline(afterSeconds: 20)
        let stream = try ClientStream(
            host: "127.0.0.1", port: server.listener.port, interrupter: try Interrupter(),
            until: deadline)
        let sent = (0..<(4 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        let port = server.listener.port
        #expect(port > 0)
        let writer = Thread.start(name: "writer") { try? stream.write(sent, until: deadline) }
        var buffer = ReceiveBuffer()
        var received: [UInt8] = []
        while received.count < sent.count, try stream.read(into: &buffer, until: deadline) {
            received += buffer.copy(0..<buffer.count)
            buffer.consume(buffer.count)
        }
        Thread.join(writer)
        #expect(received == sent)
    }

    @Test func localhostIsReachedByNameAndByAddress() throws {
        let listener = try Listener(host: "localhost", port: 0)
        for host in ["localhost", "127.0.0.1"] {
            _ = try ClientStream(
                host: host, port: listener.port, interrupter: Interrupter(),
                until: Deadline(afterSeconds: 5))
        }
    }

    @Test func portInUseNamesAddressAndAdvice() throws {
        let listener = try Listener(host: "127.0.0.1", port: 0)
        let text = failure { _ = try Listener(host: "127.0.0.1", port: listener.port) }
        #expect(text.contains("127.0.0.1:\(listener.port)"))
        #expect(text.contains("another process uses this port"))
    }

    @Test func refusedConnectionsAndUnknownNamesSayWhere() throws {
        let port = try Listener(host: "127.0.0.1", port: 0).port
        let deadline = Deadline(afterSeconds: 5)
        let refused = failure {
            _ = try ClientStream(
                host: "127.0.0.1", port: port, interrupter: try Interrupter(), until: deadline)
        }
        #expect(refused.contains("127.0.0.1:\(port)") && refused.contains("refused"))
        let unknown = failure {
            _ = try ClientStream(
                host: "no-such-host.invalid", port: 1, interrupter: try Interrupter(),
                until: deadline)
        }
        #expect(unknown.contains("no-such-host.invalid"))
    }

    @Test func interruptEndsAWaitFromAnotherThread() throws {
        let server = try EchoServer(nil)
        let interrupter = try Interrupter()
        let stream = try ClientStream(
            host: "127.0.0.1", port: server.listener.port, interrupter: interrupter,
            until: Deadline(afterSeconds: 5))
        let thread = Thread.start(name: "interrupt") {
            usleep(50_000)
            interrupter.interrupt()
        }
        var buffer = ReceiveBuffer()
        #expect(throws: TransportError.interrupted) {
            try stream.read(into: &buffer, until: Deadline(afterSeconds: 5))
        }
        Thread.join(thread)
    }

    @Test func readsTimeOut() throws {
        let server = try EchoServer(nil)
        let stream = try ClientStream(
            host: "127.0.0.1", port: server.listener.port, interrupter: try Interrupter(),
            until: Deadline(afterSeconds: 5))
        var buffer = ReceiveBuffer()
        #expect(
            failure { _ = try stream.read(into: &buffer, until: Deadline(afterSeconds: 0.05)) }
                .contains("timed out"))
    }
}
