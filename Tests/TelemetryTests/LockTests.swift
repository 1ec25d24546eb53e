import Glibc
import Testing

@testable import Telemetry

@Suite struct LockTests {
    @Test func oneThreadAtATime() {
        let total = Locked(0)
        let threads = (0..<4).map { _ in Thread { for _ in 0..<5000 { total.withLock { $0 += 1 } } }
        }
        for thread in threads { thread.join() }
        #expect(total.withLock { $0 } == 20_000)
    }

    @Test func passesResultsAndErrorsOnAndStaysUsable() {
        struct Failure: Error, Equatable {}
        let lock = Lock()
        #expect(lock.withLock { 3 } == 3)
        #expect(throws: Failure()) { try lock.withLock { () throws(Failure) in throw Failure() } }
        let value = Locked([1])
        #expect(throws: Failure()) {
            try value.withLock { (value: inout [Int]) throws(Failure) in
                value.append(2)
                throw Failure()
            }
        }
        #expect(value.withLock { $0 } == [1, 2])
    }

    @Test func aConditionHandsOverBetweenThreads() {
        let condition = Condition()
        let queue = Locked<[Int]>([])
        let received = Locked<[Int]>([])
        let consumer = Thread {
            while received.withLock({ $0.count }) < 100 {
                condition.lock()
                while queue.withLock({ $0.isEmpty }) { condition.wait() }
                let items = queue.withLock { queue in
                    defer { queue = [] }
                    return queue
                }
                condition.unlock()
                received.withLock { $0 += items }
            }
        }
        for item in 0..<100 {
            condition.withLock {
                queue.withLock { $0.append(item) }
                condition.signal()
            }
        }
        consumer.join()
        #expect(received.withLock { $0 } == Array(0..<100))
    }

    @Test func broadcastWakesAll() {
        let condition = Condition()
        let isOpen = Locked(false)
        let through = Locked(0)
        let threads = (0..<5).map { _ in
            Thread {
                condition.withLock { while !isOpen.withLock({ $0 }) { condition.wait() } }
                through.withLock { $0 += 1 }
            }
        }
        condition.withLock {
            isOpen.withLock { $0 = true }
            condition.broadcast()
        }
        for thread in threads { thread.join() }
        #expect(through.withLock { $0 } == 5)
    }

    @Test func aTimedWaitEnds() {
        let condition = Condition()
        let start = SystemClock().now()
        let wasWoken = condition.withLock { condition.wait(seconds: 0.05) }
        #expect(!wasWoken)
        #expect(SystemClock().now().milliseconds - start.milliseconds >= 40)
        #expect(!condition.withLock { condition.wait(seconds: -1) })
    }

    @Test func lockingTwiceStopsTheProgram() async {
        await #expect(processExitsWith: .failure) {
            let lock = Lock()
            lock.lock()
            lock.lock()
        }
        await #expect(processExitsWith: .failure) { Lock().unlock() }
    }
}
