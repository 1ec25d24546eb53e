// `report.html`: the scenario's report as one file that needs no network, made from `report.json`.

import Codec
import DifferentialPrivacy
import Study

/// Renders a scenario report.
package enum ReportPage {
    /// - Parameter report: the value of `report.json`.
    /// - Returns: a complete HTML document; everything that came from data is escaped.
    package static func html(_ report: JSONValue) -> String {
        let runs = report["runs"]?.arrayValue ?? []
        var body = header(report)
        body += section("Learning curves", runs.map(curves).joined())
        body += section("Versions", versions(report))
        body += section("Differential privacy", runs.map(privacy).joined())
        body += section("Sites", sites(report))
        body += section("Who took part in which round", runs.map(participation).joined())
        body += section("What left each site", egress(report))
        body += section("Logs", logs(report))
        return """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
            <title>\(escape(text(report["title"])))</title><style>\(style)</style></head>
            <body><main>\(body)</main></body></html>

            """
    }

    private static let style = """
        body{margin:0;font:15px/1.5 system-ui,sans-serif;color:#1c2733;background:#f6f8fa}
        main{max-width:1020px;margin:0 auto;padding:28px 20px 60px}
        h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:34px 0 10px}h3{font-size:15px;margin:14px 0 6px}
        p.lead{color:#51606f;margin:0 0 14px}table{border-collapse:collapse;width:100%;background:#fff;font-size:13.5px}
        th,td{text-align:left;padding:6px 10px;border-bottom:1px solid #e3e8ee;vertical-align:top}th{color:#51606f;font-weight:600}
        td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}code{font:12px ui-monospace,monospace;color:#37506b}
        .card{background:#fff;border:1px solid #e3e8ee;border-radius:8px;padding:14px 16px;margin:0 0 14px;overflow-x:auto}
        .ok{color:#12704a;font-weight:600}.bad{color:#b3261e;font-weight:600}
        .in{display:inline-block;width:12px;height:12px;border-radius:2px;background:#2b7a78}
        .out{display:inline-block;width:12px;height:12px;border-radius:2px;background:#e3a29d}
        .figures{display:flex;gap:18px;flex-wrap:wrap}.figures div{min-width:110px}.figures b{display:block;font-size:22px}
        svg text{font:11px system-ui,sans-serif;fill:#51606f}
        """

    // MARK: Parts

    private static func header(_ report: JSONValue) -> String {
        let metrics = report["metrics"]?.objectValue ?? [:]
        let figures = metrics.keys.sorted().map { name in
            "<div><b>\(number(metrics[name], 3))</b>\(escape(name))</div>"
        }.joined()
        let source = text(report["data"]?["source"]) == "stand-in"
            ? "Stand-in data from a seed: no real patient is in these figures."
            : "The real files of the sites were used."
        return """
            <h1>\(escape(text(report["title"])))</h1>
            <p class="lead">\(source) \(number(report["seconds"], 1)) seconds, \(escape(text(report["started"]))). Plan
            <code>\(escape(text(report["plan"]?["hash"])))</code></p>
            <div class="card figures">\(figures)</div>
            """
    }

    private static func section(_ title: String, _ content: String) -> String {
        "<h2>\(escape(title))</h2>\(content)"
    }

    private static func curves(_ run: JSONValue) -> String {
        let rounds = run["rounds"]?.arrayValue ?? []
        var loss: [(Double, Double)] = []
        var auc: [(Double, Double)] = []
        for round in rounds {
            let step = round["step"]?.doubleValue ?? 0
            if text(round["kind"]) == "training", let value = round["loss"]?.doubleValue { loss.append((step + 1, value)) }
            if let value = round["metrics"]?["auc"]?.doubleValue { auc.append((step, value)) }
        }
        return """
            <div class="card"><h3>\(escape(text(run["run"])))</h3>
            \(LineChart(title: "Mean training loss by round", points: loss).svg)
            \(LineChart(title: "AUC on rows that no site trained on", points: auc).svg)</div>
            """
    }

    private static func versions(_ report: JSONValue) -> String {
        let rows = (report["versions"]?.arrayValue ?? []).map { version -> String in
            let metrics = version["metrics"]?.objectValue ?? [:]
            let listed = metrics.keys.sorted().map { "\(escape($0)) \(number(metrics[$0], 3))" }.joined(separator: ", ")
            let gates = (version["gates"]?.arrayValue ?? []).map { gate -> String in
                let passed = gate["passed"]?.boolValue ?? false
                return "<span class=\"\(passed ? "ok" : "bad")\">\(escape(text(gate["gate"]?["metric"]))) \(passed ? "passed" : "missed")</span>"
            }.joined(separator: ", ")
            let live = (version["installed"]?.arrayValue ?? []).map { escape(text($0)) }.joined(separator: ", ")
            return "<tr><td>\(number(version["version"], 0))</td><td>\(listed)</td><td>\(gates)</td><td>\(live)</td><td><code>\(escape(short(version["package"])))</code></td></tr>"
        }
        return table(["Version", "Secure evaluation", "Gates agreed before training", "Went live at", "Package"], rows)
    }

    /// What each run says about the rows behind it: mode, unit, whom to trust, what it cost, what lies outside.
    private static func privacy(_ run: JSONValue) -> String {
        let name = escape(text(run["run"]))
        guard let privacy = run["privacy"], privacy != .null else {
            return "<div class=\"card\"><h3>\(name)</h3>No differential privacy: what the model says about single rows is not bounded. The plan says so and every consent repeats it. Updates left the sites inside secure sums only.</div>"
        }
        func cell(_ key: String) -> String { escape(text(privacy[key])) }
        let loss = epsilon(privacy["pld"]).map { ", ε \($0) by privacy loss distributions" } ?? ""
        let outside = (privacy["outside"]?.objectValue ?? [:]).sorted { $0.key < $1.key }
            .map { "<br>Outside the guarantee, \(escape($0.key)): \(escape(text($0.value)))" }.joined()
        let ledgers = (privacy["ledgers"]?.objectValue ?? [:]).sorted { $0.key < $1.key }
            .map { "\(escape($0.key)) <code>\(escape(text($0.value)))</code>" }.joined(separator: "<br>")
        let row = """
            <tr><td>\(cell("mode"))</td><td>\(cell("unit"))<br>\(cell("neighbouring"))</td><td>ε \(epsilon(privacy["rdp"]) ?? "–") by Rényi divergences\(loss) at δ \(cell("delta"))</td>
            <td>q \(cell("samplingRate")), σ \(cell("noiseMultiplier")), C \(cell("clippingNorm")), \(number(privacy["steps"], 0)) steps</td>
            <td>\(number(privacy["rounds"], 0)) rounds of \(number(privacy["sitesMin"], 0)) to \(number(privacy["sitesMax"], 0)) sites, \(number(privacy["droppedRounds"], 0)) dropped and charged too</td><td>\(ledgers)</td></tr>
            """
        return "<h3>\(name)</h3><p class=\"lead\">\(cell("trust"))\(outside)</p>"
            + table(["Mode", "Unit", "Guarantee", "Mechanism", "Rounds", "Privacy ledgers of the sites"], [row])
    }

    private static func sites(_ report: JSONValue) -> String {
        let rows = (report["sites"]?.arrayValue ?? []).map { site -> String in
            let metrics = (site["versions"]?.arrayValue ?? []).map { version -> String in
                "v\(number(version["version"], 0)): AUC \(number(version["metrics"]?["auc"], 3)), accuracy \(number(version["metrics"]?["accuracy"], 3)) (\(number(version["metrics"]?["rows"], 0)) rows)"
            }.joined(separator: "<br>")
            return """
                <tr><td>\(escape(text(site["name"])))</td><td class="n">\(number(site["rows"]?["accepted"], 0))</td>
                <td class="n">\(number(site["rows"]?["quarantined"], 0))</td><td>\(metrics)</td>
                <td class="n">\(number(site["predictions"], 0))</td><td class="n">\(number(site["outcomes"], 0))</td>
                <td><code>\(escape(text(site["url"])))</code></td></tr>
                """
        }
        return "<p class=\"lead\">Metrics of each site on its own held-out rows were computed there and read from the site's own interface for this report; the coordinator never saw them.</p>"
            + table(["Site", "Rows", "Quarantined", "On its own held-out rows", "Predictions", "Outcomes", "Address"], rows)
    }

    private static func participation(_ run: JSONValue) -> String {
        let sites = (run["sites"]?.arrayValue ?? []).map { text($0) }
        let rounds = run["rounds"]?.arrayValue ?? []
        let rows = rounds.map { round -> String in
            let present = Set((round["participants"]?.arrayValue ?? []).map { text($0) })
            let cells = sites.map { "<td><span class=\"\(present.contains($0) ? "in" : "out")\" title=\"\(escape($0))\"></span></td>" }.joined()
            let end = text(round["abort"]).isEmpty ? "\(number(round["milliseconds"], 0)) ms" : "<span class=\"bad\">\(escape(text(round["abort"])))</span>"
            return "<tr><td class=\"n\">\(number(round["step"], 0))</td><td>\(escape(text(round["kind"])))</td>\(cells)<td class=\"n\">\(number(round["rows"], 0))</td><td class=\"n\">\(number(round["loss"], 4))</td><td class=\"n\">\(end)</td></tr>"
        }
        return "<div class=\"card\"><h3>\(escape(text(run["run"])))</h3>"
            + table(["After round", "Secure sum"] + sites + ["Rows", "Loss", "Time"], rows) + "</div>"
    }

    private static func egress(_ report: JSONValue) -> String {
        let rows = (report["sites"]?.arrayValue ?? []).flatMap { site -> [String] in
            (site["egress"]?.arrayValue ?? []).map { item in
                "<tr><td>\(escape(text(site["name"])))</td><td>\(escape(text(item["type"])))</td><td class=\"n\">\(number(item["messages"], 0))</td><td class=\"n\">\(number(item["bytes"], 0))</td></tr>"
            }
        }
        return "<p class=\"lead\">Every message that a node sent, from its own egress record. Nothing about one site's rows is in any of them except inside a masked vector.</p>"
            + table(["Site", "Message type", "Messages", "Bytes"], rows)
    }

    private static func logs(_ report: JSONValue) -> String {
        let rows = (report["logs"]?.arrayValue ?? []).map { log -> String in
            let good = log["verified"]?.boolValue ?? false
            return "<tr><td>\(escape(text(log["origin"])))</td><td class=\"n\">\(number(log["entries"], 0))</td><td><code>\(escape(text(log["root"])))</code></td><td class=\"\(good ? "ok" : "bad")\">\(good ? "verified offline" : "NOT verified")</td></tr>"
        }
        return table(["Log", "Entries", "Signed root", "consilium audit verify"], rows)
    }

    // MARK: Small things

    private static func table(_ heads: [String], _ rows: [String]) -> String {
        "<div class=\"card\"><table><tr>" + heads.map { "<th>\(escape($0))</th>" }.joined() + "</tr>" + rows.joined() + "</table></div>"
    }

    static func escape(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            default: result.append(character)
            }
        }
        return result
    }

    private static func text(_ value: JSONValue?) -> String { value?.stringValue ?? "" }
    /// An ε for people: three decimals, never less than it is.
    private static func epsilon(_ value: JSONValue?) -> String? { value?.stringValue.flatMap(Double.init).map(sentenceNumber) }
    private static func short(_ value: JSONValue?) -> String { String(text(value).prefix(16)) }

    private static func number(_ value: JSONValue?, _ places: Int) -> String {
        guard let number = value?.doubleValue, number.isFinite else { return "–" }
        // Counts are shown as counts.
        return decimal(number, places: number == number.rounded() && number > 1 ? 0 : places)
    }
}

/// A small line chart in SVG.
struct LineChart {
    var title: String
    var points: [(x: Double, y: Double)]

    private let width = 460.0
    private let height = 190.0

    var svg: String {
        guard points.count > 1 else { return "" }
        let xs = points.map(\.x)
        let ys = points.map(\.y)
        let (left, right) = (xs.min() ?? 0, xs.max() ?? 1)
        var (low, high) = (ys.min() ?? 0, ys.max() ?? 1)
        if high - low < 1e-9 { (low, high) = (low - 0.5, high + 0.5) }
        let across = (width - 70) / max(right - left, 1e-9)
        let up = (height - 50) / (high - low)
        func place(_ point: (x: Double, y: Double)) -> String {
            "\(decimal(48 + (point.x - left) * across, places: 1)),\(decimal(height - 26 - (point.y - low) * up, places: 1))"
        }
        let line = points.map(place).joined(separator: " ")
        let dots = points.map { point -> String in
            let parts = place(point).split(separator: ",")
            return "<circle cx=\"\(parts[0])\" cy=\"\(parts[1])\" r=\"2.5\" fill=\"#2b7a78\"/>"
        }.joined()
        return """
            <svg width="\(Int(width))" height="\(Int(height))" viewBox="0 0 \(Int(width)) \(Int(height))" role="img" aria-label="\(ReportPage.escape(title))">
            <text x="48" y="14">\(ReportPage.escape(title))</text>
            <line x1="48" y1="\(Int(height - 26))" x2="\(Int(width - 22))" y2="\(Int(height - 26))" stroke="#c5ced8"/>
            <line x1="48" y1="24" x2="48" y2="\(Int(height - 26))" stroke="#c5ced8"/>
            <text x="4" y="30">\(decimal(high, places: 3))</text><text x="4" y="\(Int(height - 24))">\(decimal(low, places: 3))</text>
            <text x="46" y="\(Int(height - 10))">\(decimal(left, places: 0))</text><text x="\(Int(width - 40))" y="\(Int(height - 10))">\(decimal(right, places: 0))</text>
            <polyline points="\(line)" fill="none" stroke="#2b7a78" stroke-width="2"/>\(dots)</svg>
            """
    }
}
