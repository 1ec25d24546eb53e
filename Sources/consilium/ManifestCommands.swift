// The list of members: drawn up at the coordinator, compared and signed by people at the sites.
// `protocol/secure-aggregation.md` §7.

import Codec
import Simulation
import Storage

private let directory = Option.required("dir", "DIR", "the directory of the coordinator or node")

let manifestCommands: [Command] = [
    Command(
        words: ["manifest", "propose"], summary: "draw up the list of members and ask every site to sign it",
        options: [.required("dir", "DIR", "the coordinator's directory")]
    ) { invocation in
        let answer = try RunningProcess.coordinator(try invocation.require("dir")).call("POST", "/v1/manifest")
        let text = ManifestText.list("Proposed", answer["proposed"] ?? .null)
        Output(invocation).answer(answer, text + "\nEach site's people compare it with what the other sites told them, then: consilium manifest sign HASH --dir DIR")
    },
    Command(
        words: ["manifest", "show"], summary: "show the list of members in force and the one that waits for signatures", options: [directory]
    ) { invocation in
        let path = try invocation.require("dir")
        let answer = try isNode(path)
            ? RunningProcess.node(path).call("GET", "/v1/node/manifest") : RunningProcess.coordinator(path).call("GET", "/v1/manifest")
        let lists = [("In force", answer["inForce"]), ("Waits for signatures", answer["proposed"])].compactMap { title, list in
            list.flatMap { $0 == .null ? nil : ManifestText.list(title, $0) }
        }
        Output(invocation).answer(answer, lines(lists))
    },
    Command(
        words: ["manifest", "sign"], summary: "sign a list of members for this site, after comparing names and keys",
        operands: ["HASH"], options: [.required("dir", "DIR", "the node's directory")]
    ) { invocation in
        let hash = invocation.operands[0]
        guard hash.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0 | 0x20) }), (12...64).contains(hash.utf8.count) else {
            throw Failure(.usage, "usage", "HASH is the hash of the list, at least its first 12 hex digits: see `consilium manifest show`")
        }
        let answer = try RunningProcess.node(try invocation.require("dir")).call("POST", "/v1/node/manifest/\(hash)/sign")
        let isInForce = answer["inForce"]?["manifest"]?.stringValue?.hasPrefix(hash.lowercased()) ?? false
        Output(invocation).answer(
            answer,
            isInForce
                ? "Signed; the list is in force at this site."
                : "Signed; the list takes effect here when \(answer["proposed"]?["signaturesNeeded"]?.intValue ?? 0) sites have signed.")
    },
]

private func lines(_ lists: [String]) -> String {
    lists.isEmpty ? "There is no list of members yet: consilium manifest propose at the coordinator." : lists.joined(separator: "\n\n")
}

private func isNode(_ path: String) throws -> Bool {
    guard let bytes = try? DurableFile.read(path + "/endpoint.json", maxBytes: 4096) else { return DurableFile.exists(path + "/policy.json5") }
    return try JSONValue.parse(bytes, dialect: .strict)["role"]?.stringValue == "node"
}

/// A list of members for people.
private enum ManifestText {
    static func list(_ title: String, _ list: JSONValue) -> String {
        let members = list["members"]?.arrayValue ?? []
        let width = members.map { $0["name"]?.stringValue?.utf8.count ?? 0 }.max() ?? 0
        let rows = members.map { member -> String in
            let name = member["name"]?.stringValue ?? ""
            let padding = String(repeating: " ", count: width - name.utf8.count)
            return "  \(name)\(padding)  \(member["key"]?.stringValue ?? "")  \(member["signed"]?.boolValue ?? false ? "signed" : "-")"
        }
        let head = "\(title): list \(list["sequence"]?.intValue ?? 0) of \(list["federation"]?.stringValue ?? ""), "
            + "\(list["signatures"]?.intValue ?? 0) of \(list["signaturesNeeded"]?.intValue ?? 0) signatures\n  hash \(list["manifest"]?.stringValue ?? "")"
        return ([head] + rows).joined(separator: "\n")
    }
}
