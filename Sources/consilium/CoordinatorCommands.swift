import Codec
import Coordinator
import Glibc
import Storage
import Study
import Telemetry

private let directory = Option.required("dir", "DIR", "the coordinator's directory")

let coordinatorCommands: [Command] = [
    Command(
        words: ["coordinator", "init"], summary: "make a coordinator: its CA, keys and configuration",
        options: [
            directory, .required("name", "NAME", "name of the federation: a-z, 0-9, -"),
            .value("listen", "HOST:PORT", "port for nodes (default 0.0.0.0:8440)"),
            .value("operator-listen", "HOST:PORT", "port for operators (default 127.0.0.1:8441)"),
            .repeated("host", "NAME", "name or address in the server certificate; the first goes into tokens"),
            .value("advertise", "HOST:PORT", "address that tokens carry, if it differs"),
        ]
    ) { invocation in
        let path = try invocation.require("dir")
        let hosts = invocation.all("host")
        let configuration = CoordinatorConfiguration(
            federation: try invocation.require("name"),
            listen: try ListenAddress(text: invocation["listen"] ?? "0.0.0.0:8440", path: "--listen"),
            operatorListen: try ListenAddress(text: invocation["operator-listen"] ?? "127.0.0.1:8441", path: "--operator-listen"),
            hosts: hosts.isEmpty ? ["localhost", "127.0.0.1"] : hosts, advertise: invocation["advertise"])
        let made = try CoordinatorDirectory.create(path, configuration, now: SystemClock().now().milliseconds / 1000)
        let fingerprint = made.authority.certificate.fingerprint.hex
        Output(invocation).answer(
            ["directory": .string(path), "federation": .string(configuration.federation), "authority": .string(fingerprint)],
            "Made the coordinator of federation \(configuration.federation) in \(path).\nCA fingerprint: \(fingerprint)\nStart it: consilium coordinator serve --dir \(path)")
    },
    Command(
        words: ["coordinator", "serve"], summary: "run the coordinator until SIGTERM",
        options: [directory, .flag("verbose", "log more")]
    ) { invocation in
        RunningProcess.holdTermination()
        let service = try CoordinatorService(
            directory: CoordinatorDirectory(opening: try invocation.require("dir")), logger: RunningProcess.logger("coordinator", invocation))
        try service.start()
        try service.keepRetention()
        RunningProcess.waitForTermination()
        service.stop()
    },
    Command(
        words: ["coordinator", "invite"], summary: "print a one-time token for a site (10 minutes)",
        options: [directory, .required("site", "NAME", "name of the site: a-z, 0-9, -"), .value("output", "FILE", "write the token to a file (0600) instead")]
    ) { invocation in
        let body: JSONValue = ["site": .string(try invocation.name("site"))]
        let answer = try RunningProcess.coordinator(try invocation.require("dir")).call("POST", "/v1/invitations", body: body.canonicalBytes())
        let token = answer["token"]?.stringValue ?? ""
        if let file = invocation["output"] {
            try DurableFile.writeAtomically(Array((token + "\n").utf8), to: file)
            Output(invocation).answer(["file": .string(file)], "Token written to \(file); it is good once, for 10 minutes.")
        } else {
            Output(invocation).answer(answer, token)
        }
    },
    Command(
        words: ["coordinator", "resume"], summary: "let a study go on that waits because a log has two histories",
        options: [directory, .required("study", "NAME", "the study")]
    ) { invocation in
        let study = try invocation.name("study")
        let answer = try RunningProcess.coordinator(try invocation.require("dir")).call("POST", "/v1/studies/\(study)/resume")
        Output(invocation).answer(answer, "Study \(study) goes on.")
    },
    Command(
        words: ["coordinator", "revoke"], summary: "cut a site off, open connections included",
        options: [directory, .required("site", "NAME", "the site")]
    ) { invocation in
        let site = try invocation.name("site")
        let answer = try RunningProcess.coordinator(try invocation.require("dir")).call("POST", "/v1/sites/\(site)/revoke")
        Output(invocation).answer(answer, "Site \(site) is revoked.")
    },
    Command(words: ["coordinator", "status"], summary: "show members, invitations and addresses", options: [directory]) { invocation in
        let answer = try RunningProcess.coordinator(try invocation.require("dir")).call("GET", "/v1/federation")
        let sites = answer["sites"]?.arrayValue ?? []
        let lines = sites.map { site in
            let state = site["revoked"] != .null ? "revoked" : site["connected"]?.boolValue == true ? "connected" : "not connected"
            return "  \(site["name"]?.stringValue ?? "")  \(state)  joined \(site["joined"]?.stringValue ?? "")"
        }
        Output(invocation).answer(
            answer,
            (["Federation \(answer["federation"]?.stringValue ?? ""), nodes at \(answer["nodes"]?.stringValue ?? "")"] + lines).joined(separator: "\n"))
    },
    Command(
        words: ["coordinator", "publish"], summary: "publish a study plan (JSON5) to all sites",
        operands: ["PLAN"], options: [directory]
    ) { invocation in
        let bytes = try DurableFile.read(invocation.operands[0], maxBytes: Plan.bytesMax)
        let answer = try RunningProcess.coordinator(try invocation.require("dir")).call("POST", "/v1/plans", body: bytes)
        Output(invocation).answer(answer, "Published plan \(answer["plan"]?.stringValue ?? "")")
    },
    Command(words: ["coordinator", "plans"], summary: "list plans and who consented", options: [directory]) { invocation in
        let answer = try RunningProcess.coordinator(try invocation.require("dir")).call("GET", "/v1/plans")
        let lines = (answer["plans"]?.arrayValue ?? []).map { plan in
            let consents = (plan["consents"]?.arrayValue ?? []).compactMap(\.stringValue).joined(separator: ", ")
            return "\(plan["study"]?.stringValue ?? "")  \((plan["plan"]?.stringValue ?? "").prefix(16))  \(plan["withdrawn"] == .null ? "in force" : "withdrawn")  consents: \(consents)"
        }
        Output(invocation).answer(answer, lines.isEmpty ? "No plan is published." : lines.joined(separator: "\n"))
    },
    Command(
        words: ["coordinator", "run"], summary: "start a run of a study and follow it to its end",
        options: [directory, .required("study", "NAME", "the study"), .flag("detach", "do not wait for the end")]
    ) { invocation in try followRun(invocation) },
    Command(
        words: ["coordinator", "cancel"], summary: "stop the run of a study; nothing is released",
        options: [directory, .required("study", "NAME", "the study")]
    ) { invocation in
        let study = try invocation.name("study")
        let answer = try RunningProcess.coordinator(try invocation.require("dir")).call("POST", "/v1/studies/\(study)/cancel")
        Output(invocation).answer(answer, "The run of \(study) is cancelled.")
    },
    Command(words: ["coordinator", "runs"], summary: "list runs with rounds, participants and metrics", options: [directory]) { invocation in
        let answer = try RunningProcess.coordinator(try invocation.require("dir")).call("GET", "/v1/runs")
        let lines = (answer["runs"]?.arrayValue ?? []).map { run in
            "\(run["run"]?.stringValue ?? "")  \(run["status"]?.stringValue ?? "")  \(run["rounds"]?.arrayValue?.count ?? 0) rounds  AUC \(run["metrics"]?["auc"]?.doubleValue.map { "\($0)" } ?? "–")"
        }
        Output(invocation).answer(answer, lines.isEmpty ? "There was no run yet." : lines.joined(separator: "\n"))
    },
    Command(words: ["coordinator", "releases"], summary: "list signed versions and the sites' verdicts", options: [directory]) { invocation in
        let answer = try RunningProcess.coordinator(try invocation.require("dir")).call("GET", "/v1/releases")
        let lines = (answer["releases"]?.arrayValue ?? []).map { release in
            "\(release["study"]?.stringValue ?? "") v\(release["version"]?.intValue ?? 0)  \((release["package"]?.stringValue ?? "").prefix(16))  \(release["verdicts"]?.objectValue?.count ?? 0) verdicts"
        }
        Output(invocation).answer(answer, lines.isEmpty ? "Nothing is released yet." : lines.joined(separator: "\n"))
    },
]

private func followRun(_ invocation: Invocation) throws {
    let study = try invocation.name("study")
    let client = try RunningProcess.coordinator(try invocation.require("dir"))
    let started = try client.call("POST", "/v1/studies/\(study)/runs")
    let name = started["run"]?.stringValue ?? ""
    if invocation.has("detach") {
        Output(invocation).answer(started, "Run \(name) has started.")
        return
    }
    let progress = Progress("Run \(name)", total: nil, unit: "rounds")
    var run = JSONValue.null
    repeat {
        usleep(100_000)
        run = try client.call("GET", "/v1/runs/\(name)")
        let rounds = run["rounds"]?.arrayValue ?? []
        progress.update(rounds.count { $0["ended"] != .null }, note: rounds.last?["kind"]?.stringValue ?? "")
    } while run["status"]?.stringValue == "running"
    let status = run["status"]?.stringValue ?? ""
    progress.finish(note: status)
    guard status == "released" else {
        throw Failure(.data, "run.\(status)", "run \(name) ended without a release: \(run["reason"]?.stringValue ?? status)")
    }
    Output(invocation).answer(run, "Run \(name) released version \(run["version"]?.intValue ?? 0).")
}
