// Three times what may wait: requests of 1,000 rows on so many connections that their rows are three times `ServingLimits.pendingRows`.
// What is admitted stays bounded, what is not is told so before it is read, memory stays flat, and afterwards all is as before.

import Serving
import Simulation

enum ServingOverload {
    static func run() throws {
        try ServingBenchmark.withNode { node in
            let (single, batch) = (ServingBenchmark.single(node.key), ServingBenchmark.batch(node.key))
            let before = try node.load(single, connections: 8, seconds: 3)
            let atRest = node.residentKilobytes / 1024
            let full = max(1, ServingLimits.pendingRows / 1000)
            _ = try node.load(batch, connections: full, seconds: 3, accepting: 503)
            let atCapacity = node.residentKilobytes / 1024
            let over = try node.load(batch, connections: 3 * full, seconds: 10, accepting: 503)
            let overloaded = node.residentKilobytes / 1024
            let after = try node.load(single, connections: 8, seconds: 3)
            print("overload, \(3 * full) connections with 1,000 rows each where \(full) may wait:")
            print("  admitted: \(over.line)")
            print(
                "  shed with 503: \(over.refused.count)"
                    + (over.refused.isEmpty ? "" : ", p50 \(over.refused[over.refused.count / 2]) us, p99 \(over.refused[over.refused.count * 99 / 100]) us"))
            print("  resident \(atRest) MB before, \(atCapacity) MB at capacity, \(overloaded) MB at three times as much, \(node.residentKilobytes / 1024) MB after")
            print("  one row before: \(before.line)")
            print("  one row after:  \(after.line)")
        }
    }
}
