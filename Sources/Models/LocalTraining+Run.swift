import Kernels

extension LocalTraining {
    /// Trains on a site's rows.
    ///
    /// - Parameters:
    ///   - parameters: the global parameters of the round.
    ///   - family: the model family.
    ///   - matrix: the site's labelled training rows.
    ///   - seed: decides the order of rows. Same parameters, rows, seed and machine: same bits.
    ///   - path: which kernels run; tests force one.
    /// - Throws: `ModelsError.noRows`, `.unlabelled`, `.shape`, or `.diverged` when a parameter stops being finite.
    /// - Cost: about 6 × parameters × rows × epochs multiplications.
    package func train(
        _ parameters: ModelParameters, family: ModelFamily, on matrix: FeatureMatrix, seed: UInt64,
        path: KernelPath = .best
    ) throws(ModelsError) -> LocalTrainingResult {
        let plan = try parameters.layers(of: family, for: matrix)
        precondition(
            epochs > 0 && batchSize > 0,
            "local training of \(epochs) epochs in batches of \(batchSize)")
        let start = parameters.tensors.map(\.values)
        let intercept =
            family.perSiteIntercept
            ? try SiteIntercept.fit(parameters, family: family, on: matrix, path: path) : nil
        var descent = Descent(
            network: Network(plan: plan, tensors: start, path: path), global: start, training: self,
            l2: Float(family.l2),
            localIntercept: intercept, batchRows: min(batchSize, matrix.rows))
        var order = Array(0..<matrix.rows)
        var generator = SeededGenerator(seed: seed)
        var loss = 0.0
        for epoch in 1...epochs {
            generator.shuffle(&order)
            loss = descent.epoch(matrix, order: order)
            guard loss.isFinite, descent.isFinite else { throw .diverged(epoch: epoch) }
        }
        let trained = parameters.replacing(tensors: descent.network.tensors)
        return LocalTrainingResult(
            parameters: trained, loss: loss, examples: matrix.rows,
            localIntercept: family.perSiteIntercept
                ? try SiteIntercept.fit(trained, family: family, on: matrix, path: path) : nil)
    }
}

/// One descent: the network under way, its gradient and the optimiser.
private struct Descent {
    var network: Network
    let global: [[Float]]
    let training: LocalTraining
    let l2: Float
    let localIntercept: Float
    let hasIntercept: Bool
    private var work: Network.Workspace
    private var gradient: [[Float]]
    private var optimizer: DescentStep

    init(
        network: Network, global: [[Float]], training: LocalTraining, l2: Float,
        localIntercept: Float?, batchRows: Int
    ) {
        self.network = network
        self.global = global
        self.training = training
        self.l2 = l2
        self.localIntercept = localIntercept ?? 0
        hasIntercept = localIntercept != nil
        work = Network.Workspace(network.plan, rowsMax: batchRows, withDeltas: true)
        gradient = global.map { [Float](repeating: 0, count: $0.count) }
        optimizer = DescentStep(training.optimizer, like: global)
    }

    var isFinite: Bool { network.tensors.allSatisfy { $0.allSatisfy(\.isFinite) } }

    /// One pass over the rows in `order`; the mean log loss of the rows as they were met.
    mutating func epoch(_ matrix: FeatureMatrix, order: [Int]) -> Double {
        var loss = 0.0
        for start in stride(from: 0, to: order.count, by: work.rowsMax) {
            let batch = order[start..<min(start + work.rowsMax, order.count)]
            loss += step(matrix, batch)
        }
        return loss / Double(order.count)
    }

    /// One step on a batch; the sum of its rows' log losses before the step.
    private mutating func step(_ matrix: FeatureMatrix, _ batch: ArraySlice<Int>) -> Double {
        work.gather(matrix, batch)
        network.forward(rows: batch.count, &work)
        let (loss, sharedBiasSlope) = fillOutputDeltas(matrix, batch)
        fillPenalties(
            l2: l2, proximalMu: Float(training.proximalMu), parameters: network.tensors, global: global,
            into: &gradient)
        network.backward(rows: batch.count, &work, gradient: &gradient)
        correctBias(by: sharedBiasSlope)
        optimizer.move(&network, gradient: gradient)
        return loss
    }

    /// Fills in the derivatives of the batch's mean log loss by the outputs of the last layer, with the site's intercept
    /// in place. Gives the summed loss, and how much steeper that loss is by the output bias without the intercept.
    private mutating func fillOutputDeltas(_ matrix: FeatureMatrix, _ batch: ArraySlice<Int>) -> (
        Double, Float
    ) {
        let last = network.plan.layers.count
        let share = 1 / Float(batch.count)
        // The shared bias moves for the shared model's sake; beside the intercept it counts as it was.
        let shift =
            hasIntercept ? localIntercept - (biasLogOdds(network.tensors) - biasLogOdds(global)) : 0
        var loss = 0.0
        var biasSlope: Float = 0
        for (index, row) in batch.enumerated() {
            let shared = network.logOdds(index, work)
            let label = matrix.labels[row]
            loss += logLoss(logOdds: Double(shared + shift), isPositive: label > 0.5)
            let probability = sigmoid(shared + shift)
            let delta = (probability - label) * share
            if hasIntercept { biasSlope += (sigmoid(shared) - probability) * share }
            if network.plan.outputs == 1 {
                work.deltas[last][index] = delta
            } else {
                work.deltas[last][2 * index] = -delta
                work.deltas[last][2 * index + 1] = delta
            }
        }
        return (loss, biasSlope)
    }

    /// What the output biases add to the log-odds.
    private func biasLogOdds(_ tensors: [[Float]]) -> Float {
        let biases = tensors[tensors.count - 1]
        return biases.count == 1 ? biases[0] : biases[1] - biases[0]
    }

    private mutating func correctBias(by slope: Float) {
        let last = gradient.count - 1
        if network.plan.outputs == 1 {
            gradient[last][0] += slope
        } else {
            gradient[last][0] -= slope
            gradient[last][1] += slope
        }
    }
}

extension ModelParameters {
    /// The layers of the model, when labelled rows of the matrix can train it.
    /// - Throws: `ModelsError.noRows`, `.unlabelled`, `.shape`.
    func layers(of family: ModelFamily, for matrix: FeatureMatrix) throws(ModelsError) -> LayerPlan {
        guard matrix.rows > 0 else { throw .noRows }
        guard matrix.isLabelled else { throw .unlabelled(rows: matrix.rows) }
        let plan = try layers(of: family)
        guard matrix.columns == plan.inputs else {
            throw .shape("rows of \(matrix.columns) columns for a model of \(plan.inputs) columns")
        }
        return plan
    }
}
