import Codec
import Coordinator
import Glibc
import Simulation
import Storage
import Study
import Telemetry

let scenarioCommands: [Command] = [
    Command(
        words: ["scenario", "run"], summary: "run a scenario file: a whole federation, start to end",
        operands: ["FILE"],
        options: [
            .required("out", "DIR", "directory for everything of the run; new or empty"),
            .value("data", "DIR", "where the real data files are (default: CONSILIUM_DATA, else ../shared/data)"),
            .flag("keep", "leave the federation running at the end"),
        ]
    ) { invocation in try run(invocation) },
    Command(
        words: ["scenario", "data"], summary: "write the rows that each site of a scenario would have, real or stand-in",
        operands: ["FILE"],
        options: [
            .required("out", "DIR", "directory that gets SITE/rows.csv and SITE/arrivals.csv"),
            .value("site", "NAME", "only this site's files: nobody else's rows are written"),
            .value("data", "DIR", "where the real data files are (default: CONSILIUM_DATA, else ../shared/data)"),
        ]
    ) { invocation in try writeData(invocation) },
    Command(
        words: ["scenario", "stop"], summary: "stop a federation that `scenario run --keep` left running", operands: ["DIR"]
    ) { invocation in
        let out = invocation.operands[0]
        var stopped = 0
        for name in try DurableFile.list(out) {
            guard let bytes = try? DurableFile.read("\(out)/\(name)/endpoint.json", maxBytes: 4096),
                let pid = (try? JSONValue.parse(bytes, dialect: .strict))?["pid"]?.intValue
            else { continue }
            // A number left behind by a process that was killed may belong to anybody by now.
            guard RunningProcess.isOurs(pid) else { continue }
            if kill(pid_t(pid), SIGTERM) == 0 { stopped += 1 }
        }
        Output(invocation).answer(["stopped": .integer(Int64(stopped))], "Asked \(stopped) processes to stop.")
    },
]

private func run(_ invocation: Invocation) throws {
    let file = invocation.operands[0]
    let scenario = try Scenario(path: file)
    let out = absolute(try invocation.require("out"))
    let directory = try dataDirectory(invocation)
    switch scenario.transport {
    case .memory: try runInMemory(scenario, directory, out, invocation)
    case .processes: try runProcesses(scenario, directory, out, invocation)
    }
}

/// Where the real data files are, if anywhere.
private func dataDirectory(_ invocation: Invocation) throws -> String? {
    let data = invocation["data"] ?? Environment["CONSILIUM_DATA"]
    if let data, !DurableFile.isDirectory(data) { throw Failure(.noInput, "no-data", "\(data) is not a directory") }
    let fallback = "../shared/data"
    return (data ?? (DurableFile.isDirectory(fallback) ? fallback : nil)).map(absolute)
}

/// The rows of the sites as `scenario run` deals them, for federations that are not started by it, such as containers.
private func writeData(_ invocation: Invocation) throws {
    let scenario = try Scenario(path: invocation.operands[0])
    let out = absolute(try invocation.require("out"))
    let sites = invocation["site"].map { [$0] } ?? scenario.siteNames
    for site in sites {
        guard scenario.siteNames.contains(site) else {
            throw Failure(.usage, "usage", "the scenario has no site \(site); its sites are \(scenario.siteNames.joined(separator: ", "))")
        }
        let rows = "\(out)/\(site)/rows.csv"
        guard !DurableFile.exists(rows) else { throw Failure(.cannotCreate, "data-exists", "\(rows) exists already: choose another directory, or remove it") }
    }
    let plan = try scenario.plan()
    let data = try ScenarioData(scenario, plan: plan, directory: try dataDirectory(invocation))
    for site in sites {
        try DurableFile.createDirectory("\(out)/\(site)")
        try DurableFile.writeAtomically(data.arrivals[site] ?? [], to: "\(out)/\(site)/arrivals.csv")
        try DurableFile.writeAtomically(data.rows[site] ?? [], to: "\(out)/\(site)/rows.csv")
    }
    Output(invocation).answer(
        ["source": .string(data.source.rawValue), "directory": .string(out), "sites": .array(sites.map { .string($0) })],
        "Wrote the \(data.source == .files ? "real" : "stand-in") rows of \(sites.joined(separator: ", ")) below \(out).")
}

private func runInMemory(_ scenario: Scenario, _ data: String?, _ out: String, _ invocation: Invocation) throws {
    let memory = try MemoryScenario(scenario, dataDirectory: data)
    let (source, outcomes) = try memory.run()
    let names = Set(outcomes.flatMap { $0.run.metrics.keys }).sorted()
    let means = Dictionary(uniqueKeysWithValues: names.map { name in
        let values = outcomes.compactMap { $0.run.metrics[name] }
        return (name, values.reduce(0, +) / Double(max(values.count, 1)))
    })
    let reached = scenario.expect.map { $0.isReached(by: means[$0.metric]) }
    let report: JSONValue = [
        "consilium": "scenario-report/1", "title": .string(scenario.title), "data": ["source": .string(source.rawValue)],
        "plan": ["study": .string(memory.plan.study)], "metrics": .object(means.mapValues { .number($0) }),
        "splits": .array(outcomes.map { outcome in
            ["split": outcome.split.map { .integer(Int64($0)) } ?? .null, "metrics": .object(outcome.run.metrics.mapValues { .number($0) })]
        }),
        "expect": scenario.expect.map { .string($0.text) } ?? .null,
        "reached": reached.map { .bool($0) } ?? .null, "runs": .array(outcomes.map(\.run.json)),
    ]
    try DurableFile.createDirectory(out)
    try DurableFile.writeAtomically(report.prettyBytes(), to: out + "/report.json", mode: 0o644)
    try DurableFile.writeAtomically(Array(ReportPage.html(report).utf8), to: out + "/report.html", mode: 0o644)
    var lines = outcomes.map { outcome in
        (outcome.split.map { "split \($0)" } ?? "result") + ": " + line(outcome.run.metrics)
    }
    if outcomes.count > 1 { lines.append("mean: " + line(means)) }
    if let expect = scenario.expect { lines.append("\(expect.text): \(reached == true ? "reached" : "MISSED")") }
    lines.append("data: \(source.rawValue); report in \(out)")
    Output(invocation).answer(report, lines.joined(separator: "\n"))
    if reached == false { throw Failure(.data, "scenario.missed", "the scenario's expectation was not reached") }
}

private func runProcesses(_ scenario: Scenario, _ data: String?, _ out: String, _ invocation: Invocation) throws {
    let quiet = invocation.wantsJSON
    let life = try ProcessScenario(scenario, program: ChildProcess.ownProgram ?? CommandLine.arguments[0], out: out, dataDirectory: data) { line in
        if quiet { return }
        Output.complain(line)
    }
    let report = try life.run(keep: invocation.has("keep"))
    Output(invocation).answer(report, table(report, out: out, kept: invocation.has("keep")))
    if let expect = scenario.expect, !expect.isReached(by: report["metrics"]?[expect.metric]?.doubleValue) {
        throw Failure(.data, "scenario.missed", "the scenario's expectation was not reached: \(expect.text)")
    }
}

private func line(_ metrics: [String: Double]) -> String {
    metrics.keys.sorted().map { "\($0) \(rounded(metrics[$0] ?? 0))" }.joined(separator: ", ")
}

private func rounded(_ value: Double) -> String { decimal(value, places: value >= 100 ? 0 : 4) }

/// The short table at the end of the life.
private func table(_ report: JSONValue, out: String, kept: Bool) -> String {
    var lines = ["", pad("site", 14) + pad("rows", 7) + pad("version", 9) + pad("AUC", 8) + pad("accuracy", 10) + pad("predictions", 13) + "log entries"]
    let logs = report["logs"]?.arrayValue ?? []
    for site in report["sites"]?.arrayValue ?? [] {
        let name = site["name"]?.stringValue ?? ""
        let version = site["versions"]?.arrayValue?.last
        func metric(_ name: String) -> String { version?["metrics"]?[name]?.doubleValue.map { decimal($0, places: 3) } ?? "–" }
        let entries = logs.first { $0["party"]?.stringValue == name }?["entries"]?.intValue ?? 0
        lines.append(
            pad(name, 14) + pad("\(site["rows"]?["accepted"]?.intValue ?? 0)", 7) + pad("\(version?["version"]?.intValue ?? 0)", 9)
                + pad(metric("auc"), 8) + pad(metric("accuracy"), 10) + pad("\(site["predictions"]?.intValue ?? 0)", 13) + "\(entries)")
    }
    for version in report["versions"]?.arrayValue ?? [] {
        let metrics = version["metrics"]?.objectValue?.compactMapValues(\.doubleValue) ?? [:]
        lines.append("version \(version["version"]?.intValue ?? 0), secure evaluation: " + line(metrics))
    }
    if let median = report["metrics"]?["medianRoundMilliseconds"]?.doubleValue {
        lines.append("median training round: \(decimal(median, places: 0)) ms")
    }
    let verified = logs.count { $0["verified"]?.boolValue == true }
    lines.append("\(verified) of \(logs.count) logs verified offline; data: \(report["data"]?["source"]?.stringValue ?? ""); \(decimal(report["seconds"]?.doubleValue ?? 0, places: 1)) s")
    lines.append("report: \(out)/report.html and report.json")
    if kept {
        lines.append("")
        lines.append("The federation is still running. Operators: \(report["federation"]?["operator"]?.stringValue ?? "") (key in \(out)/coordinator/keys/operator.key)")
        for site in report["sites"]?.arrayValue ?? [] {
            let name = site["name"]?.stringValue ?? ""
            lines.append("  \(name): \(site["url"]?.stringValue ?? "")  CA \(out)/\(name)/keys/serving-ca.crt.pem  key \(out)/\(name)/keys/ward.key")
        }
        lines.append("Stop it: consilium scenario stop \(out)")
    }
    return lines.joined(separator: "\n")
}

private func pad(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(1, width - text.count)) }

private func absolute(_ path: String) -> String {
    guard !path.hasPrefix("/") else { return path }
    // getcwd allocates; the copy is freed at once.
    guard let here = unsafe getcwd(nil, 0) else { return path }
    defer { unsafe free(here) }
    return unsafe String(cString: here) + "/" + path
}
