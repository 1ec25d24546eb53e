import Glibc
import Synchronization
import Telemetry
import Testing

@testable import AuditLog

/// Who commits: the log's own thread, or a caller that would only sleep meanwhile.
@Suite struct GroupCommitTests {
    private func thread(_ body: @escaping @Sendable () -> Void) -> WorkerThread { WorkerThread(body) }

    @Test func whoAwaitsCommitsItselfAndIsToldOnItsOwnThread() throws {
        let commits = GroupCommit<Int, Int>(batchItemsMax: 100, queueBatchesMax: 4, gathering: .microseconds(500)) { .success($0.map { $0 * 2 }) }
        defer { commits.close() }
        let told = Locked<[Int]>([])
        let own = pthread_self()
        for number in 0..<3 {
            try commits.submit(number, isAwaited: true) { result in
                #expect(pthread_self() == own)
                told.withLock { $0.append((try? result.get()) ?? -1) }
            }
        }
        // Unless the thread looked at the queue for another reason.
        if commits.commitWaiting() { #expect(told.withLock { $0 } == [0, 2, 4]) }
        #expect(!commits.commitWaiting())
    }

    /// Every item is committed once and told of once, by whomever; never two commits at a time; and what is due between
    /// commits gets its turn and never runs beside one.
    @Test(arguments: [0, 500]) func nothingIsLostBetweenManyThatCommit(_ gatheringMicroseconds: Int) throws {
        let shared = Shared()
        let commits = GroupCommit<Int, Int>(
            batchItemsMax: 16, queueBatchesMax: 10_000, gathering: .microseconds(gatheringMicroseconds),
            pauses: .init(
                idle: {
                    shared.alone { shared.idles.add(1, ordering: .relaxed) }
                    return 0.001
                }, deliver: { $0() })
        ) { items in
            shared.alone {
                usleep(20)
                shared.committed.withLock { $0 += items }
            }
            return .success(items)
        }
        let told = Locked<[Int]>([])
        let each = 400
        let threads = (0..<6).map { number in
            thread {
                for item in number * each..<(number + 1) * each {
                    if number < 3 {
                        try? commits.submit(item, isAwaited: true) { _ in told.withLock { $0.append(item) } }
                        if item % 3 == 0 { _ = commits.commitWaiting() }
                    } else if number < 5 {
                        try? commits.submit(item) { _ in told.withLock { $0.append(item) } }
                    } else if (try? commits.submit(item)) == item {
                        told.withLock { $0.append(item) }
                    }
                }
                _ = commits.commitWaiting()
            }
        }
        for thread in threads { thread.join() }
        // What a thread left to another, or to the log's own, is done soon without anybody's help.
        for _ in 0..<5_000 where told.withLock({ $0.count }) < 6 * each { usleep(1_000) }
        commits.close()
        #expect(told.withLock { $0.sorted() } == Array(0..<6 * each))
        #expect(shared.committed.withLock { $0.sorted() } == Array(0..<6 * each))
        #expect(shared.idles.load(ordering: .relaxed) > 1)
    }

    private final class Shared: Sendable {
        let running = Atomic(0)
        let idles = Atomic(0)
        let committed = Locked<[Int]>([])

        func alone(_ body: () -> Void) {
            let count = running.add(1, ordering: .sequentiallyConsistent).newValue
            #expect(count == 1)
            body()
            running.subtract(1, ordering: .sequentiallyConsistent)
        }
    }

    @Test func aCloseCommitsWhatIsAwaited() throws {
        let committed = Locked(0)
        let commits = GroupCommit<Int, Int>(batchItemsMax: 4, queueBatchesMax: 100, gathering: .microseconds(500)) { items in
            committed.withLock { $0 += items.count }
            return .success(items)
        }
        let told = Locked(0)
        for item in 0..<10 { try commits.submit(item, isAwaited: true) { _ in told.withLock { $0 += 1 } } }
        commits.close()
        #expect(committed.withLock { $0 } == 10 && told.withLock { $0 } == 10)
        #expect(throws: AuditLogError.closed) { try commits.submit(10) }
        #expect(!commits.commitWaiting())
    }

    /// A disk that stalls is waited for by the log's thread only.
    @Test func aSlowCommitSendsTheNextOnesToTheThread() throws {
        let committers = Locked<[pthread_t]>([])
        let commits = GroupCommit<Int, Int>(batchItemsMax: 4, queueBatchesMax: 100, gathering: .microseconds(500)) { items in
            committers.withLock { $0.append(pthread_self()) }
            usleep(20_000)
            return .success(items)
        }
        defer { commits.close() }
        let told = Locked(0)
        for item in 0..<3 {
            try commits.submit(item, isAwaited: true) { _ in told.withLock { $0 += 1 } }
            _ = commits.commitWaiting()
        }
        for _ in 0..<5_000 where told.withLock({ $0 }) < 3 { usleep(1_000) }
        #expect(told.withLock { $0 } == 3)
        #expect(committers.withLock { $0.dropFirst() }.allSatisfy { $0 != pthread_self() })
    }
}
