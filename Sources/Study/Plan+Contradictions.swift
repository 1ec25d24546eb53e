// A plan can be well formed and still not make sense. These checks need the whole document.

import Models

extension Plan {
    func refuseContradictions() throws(StudyError) {
        func refuse(_ path: String, _ problem: String) throws(StudyError) {
            throw StudyError(.planContradiction, path: path, problem: problem)
        }
        if !privacy.secureAggregation {
            try refuse("privacy.secureAggregation", "must be true: nothing leaves a site outside a secure sum")
        }
        if !privacy.withoutDifferentialPrivacy {
            try refuse(
                "privacy.withoutDifferentialPrivacy",
                "this version offers no differential privacy mode: set it to true if the sites accept that, and each consent will repeat it")
        }
        if cohort.sitesMin > cohort.sitesMax {
            try refuse("cohort.sitesMin", "is above cohort.sitesMax: no cohort can satisfy both")
        }
        if cohort.sitesMin - cohort.colluders < 2 {
            try refuse("cohort.colluders", "leaves fewer than 2 honest sites in the smallest cohort (sitesMin - colluders)")
        }
        if evaluation.everyRounds > training.rounds {
            try refuse("evaluation.everyRounds", "is above training.rounds: that evaluation would never happen")
        }
        if gates.isEmpty {
            try refuse("gates", "must hold at least one gate: success is agreed before training")
        }
        if statement.mustNotBeUsedFor.isEmpty {
            try refuse("mustNotBeUsedFor", "must name at least one use that is ruled out")
        }
        for (index, gate) in gates.enumerated() {
            let isShare = gate.metric == .auc || gate.metric == .accuracy
            if isShare, let bound = gate.atLeast, bound > 1 {
                try refuse("gates[\(index)].atLeast", "is above 1, which no \(gate.metric.rawValue) can reach")
            }
        }
        try refuseSplitContradictions()
    }

    private func refuseSplitContradictions() throws(StudyError) {
        switch split {
        case .keyedHash: return
        case .rowNumberRule(let keys, _):
            if keys.isEmpty {
                throw StudyError(.planContradiction, path: "split.datasetKeys", problem: "names no site")
            }
        case .rowLists(let lists):
            for site in lists.keys.sorted() {
                let list = lists[site] ?? .init(train: [], heldOut: [])
                guard Set(list.train).isDisjoint(with: list.heldOut) else {
                    throw StudyError(.planContradiction, path: "split.sites.\(site)", problem: "holds rows that are both trained on and held out")
                }
                guard !list.train.isEmpty else {
                    throw StudyError(.planContradiction, path: "split.sites.\(site).train", problem: "is empty")
                }
            }
        }
    }
}
