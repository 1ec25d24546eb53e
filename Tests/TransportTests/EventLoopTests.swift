import Glibc
import Telemetry
import Testing
import Transport

@Suite struct EventLoopTests {
    @Test func closuresRunInTheirOrderOnTheLoopsThread() throws {
        let loop = try EventLoop(name: "test")
        loop.start()
        let order = Locked<[Int]>([])
        for number in 0..<1_000 {
            loop.execute {
                #expect(loop.isCurrent)
                order.withLock { $0.append(number) }
            }
        }
        loop.stop()
        #expect(!loop.isCurrent)
        #expect(order.withLock { $0 } == Array(0..<1_000))
    }

    @Test func timersFireByDeadlineAndCancelledOnesDoNot() throws {
        let loop = try EventLoop(name: "test")
        let order = Locked<[Int]>([])
        for delay in [30, 10, 20, 10] {
            loop.schedule(afterMilliseconds: UInt64(delay)) { order.withLock { $0.append(delay) } }
        }
        loop.cancel(loop.schedule(afterMilliseconds: 5) { order.withLock { $0.append(-1) } })
        loop.start()
        usleep(80_000)
        loop.stop()
        #expect(order.withLock { $0 } == [10, 10, 20, 30])
    }

    @Test func closuresAfterStopAreDropped() throws {
        let loop = try EventLoop(name: "test")
        loop.start()
        loop.stop()
        loop.execute { Issue.record("ran after stop") }
    }

    @Test func receiveBufferKeepsBytesInOrderThroughGrowthAndConsumption() {
        var buffer = ReceiveBuffer()
        var expected: [UInt8] = []
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2_000 {
            let bytes = (0..<Int.random(in: 0..<300, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            buffer.append(bytes)
            expected += bytes
            let count = Int.random(in: 0...buffer.count, using: &generator)
            buffer.consume(count)
            expected.removeFirst(count)
            #expect(buffer.copy(0..<buffer.count) == expected)
        }
    }
}
