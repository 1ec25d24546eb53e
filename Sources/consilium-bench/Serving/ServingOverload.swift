// Three times what the node can do, of requests of a thousand rows: they come at a fixed rate, whether it answers or not. What is
// admitted stays bounded, what is not is told so at once, memory stays flat, and afterwards all is as before. Then requests of one
// row on three times as many connections as may be under way, each as fast as answers come.

import HTTP
import Serving
import Simulation

enum ServingOverload {
    private static let connections = 96

    static func run() throws {
        try ServingBenchmark.withNode { node in
            let single = ServingBenchmark.single(node.key)
            let before = try node.load(single, connections: 8, seconds: 3)
            try overload(node, "1,000 rows in binary", ServingBenchmark.batch(node.key))
            try overload(node, "5 rows with counterfactuals", ServingBenchmark.counterfactuals(node.key))
            let after = try node.load(single, connections: 8, seconds: 3)
            print("one row before: \(before.line)")
            print("one row after:  \(after.line)")
            let many = 3 * ServingLimits.waitingRequests
            let crowd = try node.load(single, connections: many, seconds: 4, accepting: 503)
            print("one row on \(many) connections, as fast as answers come: \(crowd.line); shed: \(shed(crowd)); resident \(node.residentKilobytes / 1024) MB")
        }
    }

    private static func overload(_ node: ServedNode, _ name: String, _ request: HTTPRequest) throws {
        let full = try node.load(request, connections: 8, seconds: 4)
        let capacity = Double(full.times.count) / full.seconds
        let calm = try node.load(request, connections: connections, seconds: 4, rate: capacity / 2, accepting: 503)
        let atRest = node.residentKilobytes / 1024
        let over = try node.load(request, connections: connections, seconds: 8, rate: 3 * capacity, accepting: 503)
        print("overload, \(name) a request, capacity \(Int(capacity)) a second with 8 connections (\(full.line)):")
        print("  half of it on \(connections) connections: \(calm.line); refused: \(shed(calm)); resident \(atRest) MB")
        print("  three times of it, admitted: \(over.line)")
        print("  shed with 503: \(shed(over)); resident \(node.residentKilobytes / 1024) MB")
    }

    private static func shed(_ result: ClosedLoad.Result) -> String {
        let times = result.refused
        return times.isEmpty ? "none" : "\(times.count), p50 \(times[times.count / 2]) us, p99 \(times[times.count * 99 / 100]) us"
    }
}
