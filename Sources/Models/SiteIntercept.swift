import Glibc
import Kernels

/// The intercept that a site keeps for itself.
///
/// Sites differ in how common the outcome is (36 to 93 % among the four hospitals), for reasons that no feature
/// carries. With `perSiteIntercept` the log-odds at a site are the shared model's plus one number of the site's own: the
/// random intercept of mixed-effects models. The site fits it on its training rows, given the shared parameters,
/// whenever it needs it. It is in no update and no package: local training holds it fixed beside the weights, and trains
/// the shared bias on the loss of the shared model alone, as if there were no intercept. So the weights do not bend to
/// explain prevalence, and a site without rows of its own, which has intercept 0, still has a whole model.
package enum SiteIntercept {
    /// Variance of the normal prior over intercepts, centred on 0. It leaves a site of a hundred rows almost free, and keeps a site
    /// with rows of one class only from running off to infinity.
    package static let priorVariance = 4.0

    /// The intercept of largest posterior density: a concave problem of one unknown, solved by guarded Newton steps.
    ///
    /// - Parameters:
    ///   - parameters, family: the shared model.
    ///   - matrix: the site's labelled training rows.
    /// - Throws: `ModelsError.noRows`, `.unlabelled` or `.shape`.
    /// - Cost: one prediction per row and a few passes over the results.
    package static func fit(
        _ parameters: ModelParameters, family: ModelFamily, on matrix: FeatureMatrix,
        path: KernelPath = .best
    ) throws(ModelsError) -> Float {
        guard matrix.rows > 0 else { throw .noRows }
        guard matrix.isLabelled else { throw .unlabelled(rows: matrix.rows) }
        let logOdds = try Predictor(parameters, family: family, path: path).logOdds(matrix)
        var intercept = 0.0
        for _ in 0..<50 {
            var slope = intercept / priorVariance
            var curvature = 1 / priorVariance
            for (z, label) in zip(logOdds, matrix.labels) {
                let p = 1 / (1 + exp(-(Double(z) + intercept)))
                slope += p - Double(label)
                curvature += p * (1 - p)
            }
            let step = max(-2, min(2, slope / curvature))
            intercept -= step
            if abs(step) < 1e-9 { break }
        }
        return Float(intercept)
    }
}
