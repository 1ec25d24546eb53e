// Contradictions inside a schema. Every problem names its place in the document.

extension Schema {
    /// Refuses a schema that contradicts itself or exceeds a limit.
    /// - Parameter path: where the schema stands in its document, such as `plan.schema`.
    /// - Throws: `TabularError.schema` for the first problem in document order.
    package func check(path: String = "schema") throws(TabularError) {
        guard !features.isEmpty else {
            throw .schema(path: "\(path).features", problem: "names no feature")
        }
        guard features.count <= TabularLimits.featuresMax else {
            throw .schema(
                path: "\(path).features", problem: "more than \(TabularLimits.featuresMax) features"
            )
        }
        var names = Set<String>()
        var columnsUsed = Set<String>()
        for (index, feature) in features.enumerated() {
            let place = "\(path).features[\(index)]"
            try checkName(feature.name, "\(place).name")
            try checkName(feature.column, "\(place).column")
            try checkText(feature.description, "\(place).description")
            guard names.insert(feature.name).inserted else {
                throw .schema(
                    path: "\(place).name",
                    problem: "\(feature.name) is the name of an earlier feature")
            }
            guard columnsUsed.insert(feature.column).inserted else {
                throw .schema(
                    path: "\(place).column",
                    problem: "\(feature.column) is already the column of an earlier feature")
            }
            try feature.check(place)
        }
        try checkLabel(path, columnsUsed, names)
        if let subject = subjectColumn {
            try checkName(subject, "\(path).subjectColumn")
            if columnsUsed.contains(subject) || subject == label.column {
                throw .schema(
                    path: "\(path).subjectColumn",
                    problem: "\(subject) is also a feature or the label")
            }
        }
        try checkLayout(path)
        guard badRowShareMax >= 0 && badRowShareMax <= 1 else {
            throw .schema(path: "\(path).badRowShareMax", problem: "must be between 0 and 1")
        }
        guard preprocessing.clip >= 1 && preprocessing.clip <= 1e6 else {
            throw .schema(
                path: "\(path).preprocessing.clip", problem: "must be between 1 and 1000000")
        }
    }

    private func checkLabel(
        _ path: String, _ columnsUsed: Set<String>, _ names: Set<String>
    ) throws(TabularError) {
        try checkName(label.column, "\(path).label.column")
        try checkText(label.description, "\(path).label.description")
        if columnsUsed.contains(label.column) || names.contains(label.column) {
            throw .schema(
                path: "\(path).label.column", problem: "the label \(label.column) is also a feature"
            )
        }
        switch label.positive {
        case .equals(let codes):
            guard !codes.isEmpty else {
                throw .schema(path: "\(path).label.positive.equals", problem: "names no value")
            }
            guard label.range == nil else {
                throw .schema(path: "\(path).label.range", problem: "is only for greaterThan")
            }
            try checkCodes(codes, "\(path).label.positive.equals")
            try checkCodes(label.negative, "\(path).label.negative")
            try checkDisjoint(
                label.negative, codes, "\(path).label.negative", "is also a positive value")
        case .greaterThan(let bound):
            guard label.negative.isEmpty else {
                throw .schema(path: "\(path).label.negative", problem: "is only for equals")
            }
            guard bound.isFinite, abs(bound) <= TabularLimits.rangeMagnitudeMax else {
                throw .schema(
                    path: "\(path).label.positive.greaterThan", problem: "is not a usable number")
            }
            if let range = label.range {
                try checkRange(range, "\(path).label.range")
                guard range.contains(bound), bound < range.upperBound else {
                    throw .schema(
                        path: "\(path).label.positive.greaterThan",
                        problem: "leaves only one class inside the range")
                }
            }
        }
    }

    private func checkLayout(_ path: String) throws(TabularError) {
        guard delimiter == 0x09 || (delimiter > 0x20 && delimiter < 0x7F), delimiter != 0x22,
            delimiter != 0x2E,
            !isLetterOrDigit(delimiter)
        else {
            throw .schema(
                path: "\(path).delimiter", problem: "must be one character such as , ; | or tab")
        }
        if hasHeader {
            guard columns.isEmpty else {
                throw .schema(
                    path: "\(path).columns",
                    problem: "is only for files without header (header: false)")
            }
            return
        }
        guard !columns.isEmpty else {
            throw .schema(
                path: "\(path).columns",
                problem: "must list the columns in file order when header is false")
        }
        guard columns.count <= TabularLimits.fieldsMax else {
            throw .schema(
                path: "\(path).columns", problem: "more than \(TabularLimits.fieldsMax) columns")
        }
        for (index, column) in columns.enumerated() {
            try checkName(column, "\(path).columns[\(index)]")
        }
        // The same comparison that a header line goes through.
        do {
            _ = try ColumnBinding(schema: self, columns: columns, labelled: true)
        } catch .header(let problem) {
            throw .schema(path: "\(path).columns", problem: problem)
        }
    }
}

extension Feature {
    func check(_ place: String) throws(TabularError) {
        guard missingCodes.count <= TabularLimits.missingCodesMax else {
            throw .schema(
                path: "\(place).missingCodes",
                problem: "more than \(TabularLimits.missingCodesMax) codes")
        }
        try checkCodes(missingCodes, "\(place).missingCodes")
        switch kind {
        case .numeric(let unit, let range, let integer):
            try checkText(unit ?? "", "\(place).unit")
            try checkRange(range, "\(place).range")
            if integer,
                range.lowerBound.rounded() != range.lowerBound
                    || range.upperBound.rounded() != range.upperBound
            {
                throw .schema(
                    path: "\(place).range", problem: "must have whole bounds for an integer feature"
                )
            }
        case .categorical(let categories, let dropFirst):
            guard categories.count >= 2 else {
                throw .schema(path: "\(place).categories", problem: "needs at least two categories")
            }
            guard categories.count <= TabularLimits.categoriesMax else {
                throw .schema(
                    path: "\(place).categories",
                    problem: "more than \(TabularLimits.categoriesMax) categories")
            }
            try checkCodes(categories, "\(place).categories")
            try checkDisjoint(
                missingCodes + ["?"], categories, "\(place).categories", "is also a missing code")
            if dropFirst && categories.count < 2 {
                throw .schema(path: "\(place).dropFirstCategory", problem: "leaves no column")
            }
        case .binary(let zero, let one):
            try checkCodes([zero, one], "\(place).codes")
            try checkDisjoint(
                missingCodes + ["?"], [zero, one], "\(place).codes", "is also a missing code")
        }
        if missing == .ownCategory, case .categorical = kind { return }
        if missing == .ownCategory {
            throw .schema(
                path: "\(place).missing", problem: "own-category is only for categorical features")
        }
    }
}

private func isLetterOrDigit(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2B, 0x2D, 0x5F: return true
    default: return false
    }
}

private func checkName(_ name: String, _ place: String) throws(TabularError) {
    guard !name.isEmpty else { throw .schema(path: place, problem: "is empty") }
    guard name.utf8.count <= TabularLimits.nameBytesMax else {
        throw .schema(path: place, problem: "is longer than \(TabularLimits.nameBytesMax) bytes")
    }
    guard name.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F }),
        name.utf8.first != 0x20, name.utf8.last != 0x20
    else {
        throw .schema(
            path: place, problem: "holds control characters or starts or ends with a space")
    }
}

private func checkText(_ text: String, _ place: String) throws(TabularError) {
    guard text.utf8.count <= TabularLimits.textBytesMax else {
        throw .schema(path: place, problem: "is longer than \(TabularLimits.textBytesMax) bytes")
    }
}

private func checkRange(_ range: ClosedRange<Double>, _ place: String) throws(TabularError) {
    guard range.lowerBound.isFinite && range.upperBound.isFinite,
        max(abs(range.lowerBound), abs(range.upperBound)) <= TabularLimits.rangeMagnitudeMax
    else { throw .schema(path: place, problem: "must have finite bounds of at most 1e15") }
    guard range.lowerBound < range.upperBound else {
        throw .schema(
            path: place, problem: "is empty: the lower bound must be below the upper bound")
    }
}

/// Codes must be plain, and different also when read as numbers.
private func checkCodes(_ codes: [String], _ place: String) throws(TabularError) {
    var seen = Set<String>()
    for (index, code) in codes.enumerated() {
        try checkName(code, "\(place)[\(index)]")
        guard seen.insert(comparable(code)).inserted else {
            throw .schema(path: "\(place)[\(index)]", problem: "\(code) is listed twice")
        }
    }
}

private func checkDisjoint(
    _ others: [String], _ codes: [String], _ place: String, _ problem: String
) throws(TabularError) {
    let taken = Set(others.map(comparable))
    if let clash = codes.first(where: { taken.contains(comparable($0)) }) {
        throw .schema(path: place, problem: "\(clash) \(problem)")
    }
}

/// A text under which two codes that a row could not tell apart are equal.
private func comparable(_ code: String) -> String {
    DecimalText.parse(code).map { "number \($0 == 0 ? 0 : $0)" } ?? "text \(code)"
}
