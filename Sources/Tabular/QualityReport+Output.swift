import Codec

extension QualityReport {
    /// The report as a document.
    package var json: JSONValue {
        var object: [String: JSONValue] = [
            "rows": integer(rowCount), "accepted": integer(acceptedCount),
            "quarantined": integer(quarantinedCount),
            "incomplete": integer(incompleteCount), "duplicates": integer(duplicateCount),
            "columns": .array(columns.map(\.json)),
            "reasons": .array(
                reasons.map { reason in
                    [
                        "column": .string(reason.violation.name),
                        "rule": .string(reason.violation.rule.code),
                        "problem": .string(reason.violation.description),
                        "rows": integer(reason.count),
                    ]
                }),
            "examples": .array(examples.map(\.json)),
            "notes": .array(notes.map { .string($0) }),
        ]
        if let positiveCount { object["positive"] = integer(positiveCount) }
        return .object(object)
    }

    /// The report for a terminal: a few lines and a table, ending in a line end.
    package func text() -> String {
        var lines = [
            "\(rowCount) rows: \(acceptedCount) accepted, \(quarantinedCount) refused"
                + (incompleteCount > 0 ? ", \(incompleteCount) left out as incomplete" : "")
                + (duplicateCount > 0 ? ", \(duplicateCount) exact duplicates" : "")
        ]
        if let positiveCount, acceptedCount > 0 {
            lines.append(
                "\(positiveCount) positive (\(percent(Double(positiveCount) / Double(acceptedCount))))"
            )
        }
        lines.append("")
        lines += aligned(
            [["column", "missing", "min", "median", "mean", "max", "values"]] + columns.map(\.cells)
        )
        if !reasons.isEmpty {
            lines += ["", "refused rows by reason:"]
            lines += reasons.prefix(QualityReport.examplesMax).map {
                "  \($0.count) × \($0.violation)"
            }
            lines += ["", "first refused rows:"] + examples.map { "  \($0)" }
        }
        if !notes.isEmpty { lines += ["", "to look at:"] + notes.map { "  \($0)" } }
        return lines.joined(separator: "\n") + "\n"
    }
}

extension QuarantinedRow {
    /// The row's place and reasons, never its values.
    package var json: JSONValue {
        [
            "line": integer(line), "row": integer(dataRow),
            "violations": .array(
                violations.map { violation in
                    [
                        "column": .string(violation.name), "rule": .string(violation.rule.code),
                        "problem": .string(violation.description),
                    ]
                }),
        ]
    }
}

extension ColumnReport {
    fileprivate var json: JSONValue {
        var object: [String: JSONValue] = [
            "name": .string(name), "column": .string(column), "observed": integer(observedCount),
            "missing": integer(missingCount), "constant": .bool(isConstant),
        ]
        if let distribution {
            object["minimum"] = .number(distribution.minimum)
            object["lowerQuartile"] = .number(distribution.lowerQuartile)
            object["median"] = .number(distribution.median)
            object["upperQuartile"] = .number(distribution.upperQuartile)
            object["maximum"] = .number(distribution.maximum)
            object["mean"] = .number(distribution.mean)
            object["standardDeviation"] = .number(distribution.deviation)
        }
        if !codeCounts.isEmpty {
            object["counts"] = .object(
                Dictionary(uniqueKeysWithValues: codeCounts.map { ($0.code, integer($0.count)) }))
        } else {
            object["zeros"] = integer(zeroCount)
        }
        if let zeroFinding { object["zeroFinding"] = .string(zeroFinding.rawValue) }
        return .object(object)
    }

    fileprivate var cells: [String] {
        let figures =
            distribution.map { [$0.minimum, $0.median, $0.mean, $0.maximum].map(short) } ?? [
                "", "", "", "",
            ]
        let values = codeCounts.map { "\($0.code): \($0.count)" }.joined(separator: "  ")
        return [column, "\(missingCount)"] + figures + [values]
    }
}

/// At most four digits after the point.
private func short(_ number: Double) -> String {
    let rounded = (number * 10_000).rounded() / 10_000
    return plain(rounded)
}

private func integer(_ value: Int) -> JSONValue { .integer(Int64(value)) }

/// Cells in columns: the first and last to the left, the others to the right.
private func aligned(_ rows: [[String]]) -> [String] {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
        let cells = row.enumerated().map { column, cell -> String in
            let gap = String(repeating: " ", count: widths[column] - cell.count)
            if column == row.count - 1 { return cell }
            return column == 0 ? cell + gap : gap + cell
        }
        let line = cells.joined(separator: "  ")
        return String(line.reversed().drop { $0 == " " }.reversed())
    }
}
