// A plan can be well formed and still not make sense. These checks need the whole document.

import Models
import Tabular

extension Plan {
    func refuseContradictions() throws(StudyError) {
        func refuse(_ path: String, _ problem: String) throws(StudyError) {
            throw StudyError(.planContradiction, path: path, problem: problem)
        }
        if !privacy.secureAggregation {
            try refuse(
                "privacy.secureAggregation",
                "must be true: nothing leaves a site outside a secure sum")
        }
        if cohort.sitesMin > cohort.sitesMax {
            try refuse("cohort.sitesMin", "is above cohort.sitesMax: no cohort can satisfy both")
        }
        if cohort.sitesMin - cohort.colluders < 2 {
            try refuse(
                "cohort.colluders",
                "leaves fewer than 2 honest sites in the smallest cohort (sitesMin - colluders)")
        }
        if evaluation.everyRounds > training.rounds {
            try refuse(
                "evaluation.everyRounds",
                "is above training.rounds: that evaluation would never happen")
        }
        if gates.isEmpty {
            try refuse("gates", "must hold at least one gate: success is agreed before training")
        }
        if statement.mustNotBeUsedFor.isEmpty {
            try refuse("mustNotBeUsedFor", "must name at least one use that is ruled out")
        }
        try refuseGates(gates, "gates")
        try refuseGates(deployment.siteGates, "deployment.siteGates")
        try refuseSizes()
        try refuseSplitContradictions()
        try refusePrivacyContradictions()
    }

    /// Gates that no model can pass.
    private func refuseGates(_ gates: [SuccessGate], _ path: String) throws(StudyError) {
        for (index, gate) in gates.enumerated() {
            if let bound = gate.atLeast, let ceiling = gate.metric.ceiling, bound > ceiling {
                throw StudyError(
                    .planContradiction, path: "\(path)[\(index)].atLeast",
                    problem: "is above 1, which no \(gate.metric.rawValue) can reach")
            }
            if let bound = gate.atMost, bound < 0 {
                throw StudyError(
                    .planContradiction, path: "\(path)[\(index)].atMost",
                    problem: "is below 0, which no \(gate.metric.rawValue) can reach")
            }
        }
    }

    /// Model inputs that the schema's features become, at most: what `Preprocessor` makes of them.
    package var modelInputs: Int {
        schema.features.reduce(0) { count, feature in
            let values =
                switch feature.kind {
                case .numeric, .binary: 1
                case .categorical(let categories, let dropFirst):
                    categories.count - (dropFirst ? 1 : 0)
                }
            let hasIndicator =
                feature.missing == .imputeWithIndicator || feature.missing == .ownCategory
            return count + values + (hasIndicator ? 1 : 0)
        }
    }

    /// Models and evaluations that the modules below would not take.
    private func refuseSizes() throws(StudyError) {
        let inputs = modelInputs
        guard inputs <= Plan.inputsMax else {
            throw StudyError(
                .planContradiction, path: "schema.features",
                problem: "make \(inputs) model inputs; at most \(Plan.inputsMax) are possible")
        }
        let parameters = family.parameterCount(inputs: inputs)
        guard parameters <= ModelsLimits.parametersMax else {
            throw StudyError(
                .planContradiction, path: "model",
                problem:
                    "has \(parameters) parameters; at most \(ModelsLimits.parametersMax) are possible"
            )
        }
        let groups = sensitiveGroups
        guard groups.count <= ModelsLimits.groupsMax else {
            throw StudyError(
                .planContradiction, path: "schema.features",
                problem:
                    "the codes of the sensitive features make \(groups.count) groups; at most \(ModelsLimits.groupsMax) can be evaluated"
            )
        }
        guard Set(groups.map(\.name)).count == groups.count else {
            throw StudyError(
                .planContradiction, path: "schema.features",
                problem: "two groups of sensitive features would have one name (feature=code)")
        }
    }

    private func refuseSplitContradictions() throws(StudyError) {
        switch split {
        case .keyedHash: return
        case .rowNumberRule(let keys, _):
            if keys.isEmpty {
                throw StudyError(
                    .planContradiction, path: "split.datasetKeys", problem: "names no site")
            }
        case .rowLists(let lists):
            for site in lists.keys.sorted() {
                let list = lists[site] ?? .init(train: [], heldOut: [])
                guard Set(list.train).isDisjoint(with: list.heldOut) else {
                    throw StudyError(
                        .planContradiction, path: "split.sites.\(site)",
                        problem: "holds rows that are both trained on and held out")
                }
                guard !list.train.isEmpty else {
                    throw StudyError(
                        .planContradiction, path: "split.sites.\(site).train", problem: "is empty")
                }
            }
        }
    }
}
