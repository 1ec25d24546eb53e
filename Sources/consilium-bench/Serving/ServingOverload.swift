// Three times as many requests of one row as the node can answer, at a fixed rate, on three times as many connections as may
// wait. What is admitted stays bounded, what is not is told so at once, memory stays flat, and afterwards all is as before.
// Then the same with requests of a thousand rows, without a rate: those cannot all be sent in time, so only what is admitted counts.

import Serving
import Simulation

enum ServingOverload {
    private static let connections = 3 * ServingLimits.waitingRequests

    static func run() throws {
        try ServingBenchmark.withNode { node in
            let (single, batch) = (ServingBenchmark.single(node.key), ServingBenchmark.batch(node.key))
            let before = try node.load(single, connections: 8, seconds: 3)
            let capacity = Double(before.times.count) / before.seconds
            let calm = try node.load(single, connections: connections, seconds: 3, rate: capacity / 4, accepting: 503)
            let atRest = node.residentKilobytes / 1024
            let over = try node.load(single, connections: connections, seconds: 8, rate: 3 * capacity, accepting: 503)
            let overloaded = node.residentKilobytes / 1024
            let after = try node.load(single, connections: 8, seconds: 3)
            print("overload, \(Int(3 * capacity)) requests a second asked for on \(connections) connections where \(ServingLimits.waitingRequests) may wait:")
            print("  at a quarter of capacity: \(calm.line), \(calm.refused.count) refused; resident \(atRest) MB")
            print("  admitted: \(over.line)")
            print("  shed with 503: \(shed(over)); resident \(overloaded) MB")
            print("  before: \(before.line)")
            print("  after:  \(after.line)")
            let large = try node.load(batch, connections: 96, seconds: 5, accepting: 503)
            print("96 connections with 1,000 rows each, as fast as they can: \(large.line); shed: \(shed(large)); resident \(node.residentKilobytes / 1024) MB")
        }
    }

    private static func shed(_ result: ClosedLoad.Result) -> String {
        let times = result.refused
        return times.isEmpty ? "none" : "\(times.count), p50 \(times[times.count / 2]) us, p99 \(times[times.count * 99 / 100]) us"
    }
}
