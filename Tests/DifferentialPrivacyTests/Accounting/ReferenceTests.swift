import Codec
import DifferentialPrivacy
import Testing

/// Every case of the published reference values, to the tolerances that the file states.
@Suite("Accounting against published values")
struct AccountingReferenceTests {
    @Test("Rényi divergences and ε, order by order", arguments: Reference.cases("gaussian"))
    func renyi(item: Reference.Case) throws {
        let event = try PrivacyEvent.poissonGaussian(
            samplingRate: item.number("q"), noiseMultiplier: item.number("sigma"), steps: item.steps())
        var accountant = RenyiAccountant()
        let step = try accountant.cost(
            of: .poissonGaussian(samplingRate: item.number("q"), noiseMultiplier: item.number("sigma"), steps: 1))
        for (order, tenths) in [("1.5", 15), ("2", 20), ("2.7", 27), ("8", 80), ("32", 320)] {
            let ours = try #require(step[tenths: tenths])
            #expect(relativeDifference(ours, try item.number("rdp_per_step", order)) < 1e-7, "order \(order): \(ours)")
        }
        accountant.add(event)
        let delta = try item.number("delta")
        let integers = try accountant.total.epsilon(delta: delta, orders: RenyiOrders.integers)
        #expect(relativeDifference(integers.value, try item.number("rdp", "integer_grid", "eps")) < 1e-9)
        #expect(RenyiOrders.value(integers.order) == (try item.number("rdp", "integer_grid", "opt_order")))
        let opacus = try accountant.total.epsilon(delta: delta, orders: RenyiOrders.opacus)
        #expect(relativeDifference(opacus.value, try item.number("rdp", "opacus_grid", "eps")) < 1e-6)
        #expect(abs(RenyiOrders.value(opacus.order) - (try item.number("rdp", "opacus_grid", "opt_order"))) < 1e-9)
        let all = try accountant.total.epsilon(delta: delta)
        let lowest = try item.bracket().lowerBound
        #expect(all.value == min(integers.value, opacus.value) && all.value >= lowest)
    }

    @Test("ε from privacy loss lies in the bracket, never below it", arguments: Reference.cases("gaussian"))
    func loss(item: Reference.Case) throws {
        let event = try PrivacyEvent.poissonGaussian(
            samplingRate: item.number("q"), noiseMultiplier: item.number("sigma"), steps: item.steps())
        let epsilon = try LossAccountant([event]).epsilon(delta: item.number("delta"))
        let bracket = try item.bracket()
        #expect(epsilon >= bracket.lowerBound && epsilon <= bracket.upperBound * 1.005)
        #expect(relativeDifference(epsilon, try item.number("pld", "eps_pessimistic")) < 2e-4, "\(epsilon)")
        if let exact = item.optional("exact_eps") { #expect(epsilon >= exact && epsilon <= exact * (1 + 1e-9)) }
    }

    @Test("rounds of different kinds", arguments: Reference.cases("heterogeneous"))
    func heterogeneous(item: Reference.Case) throws {
        let phases = try #require(item.value["phases"]?.arrayValue).map { phase in
            let phase = Reference.Case(value: phase)
            return try PrivacyEvent.poissonGaussian(
                samplingRate: phase.number("q"), noiseMultiplier: phase.number("sigma"), steps: phase.steps())
        }
        let delta = try item.number("delta")
        let renyi = try RenyiAccountant(phases).total.epsilon(delta: delta, orders: RenyiOrders.integers)
        #expect(relativeDifference(renyi.value, try item.number("rdp_integer_orders_eps")) < 1e-9)
        #expect(RenyiOrders.value(renyi.order) == (try item.number("rdp_opt_order")))
        let loss = try LossAccountant(phases).epsilon(delta: delta)
        #expect(relativeDifference(loss, try item.number("pld_eps")) < 5e-4, "\(loss)")
    }

    @Test("δ at a given ε", arguments: Reference.cases("delta_at_eps"))
    func deltaAtEpsilon(item: Reference.Case) throws {
        let event = try PrivacyEvent.poissonGaussian(
            samplingRate: item.number("q"), noiseMultiplier: item.number("sigma"), steps: item.steps())
        let epsilon = try item.number("eps")
        let renyi = RenyiAccountant([event]).total.delta(epsilon: epsilon, orders: RenyiOrders.integers)
        #expect(relativeDifference(renyi.value, try item.number("rdp_integer_delta")) < 1e-7)
        let loss = try LossAccountant([event]).delta(epsilon: epsilon)
        #expect(relativeDifference(loss, try item.number("pld_delta")) < 1e-3, "\(loss)")
    }

    @Test("the noise that a promise needs", arguments: Reference.cases("calibration"))
    func calibration(item: Reference.Case) throws {
        let target = try item.number("target_eps")
        let calibration = try NoiseCalibration(
            samplingRate: item.number("q"), steps: item.steps(), delta: item.number("delta"))
        let renyi = try calibration.noiseMultiplier(epsilon: target, by: .renyi(orders: RenyiOrders.integers))
        #expect(relativeDifference(renyi, try item.number("sigma_rdp_integer_orders")) < 1e-4)
        // A minute without optimisation, but for the closed form.
        guard samplingIsLong || item.optional("sigma_exact_gaussian") != nil else { return }
        let loss = try calibration.noiseMultiplier(epsilon: target, by: .loss)
        #expect(relativeDifference(loss, try item.number("sigma_pld")) < 1e-4, "\(loss)")
        if let exact = item.optional("sigma_exact_gaussian") { #expect(loss >= exact && loss <= exact * (1 + 1e-6)) }
        let event = try PrivacyEvent.poissonGaussian(
            samplingRate: item.number("q"), noiseMultiplier: loss, steps: item.steps())
        #expect(try LossAccountant([event]).epsilon(delta: item.number("delta")) <= target)
    }

    @Test("the Gaussian in closed form", arguments: Reference.cases("analytic_gaussian"))
    func analyticGaussian(item: Reference.Case) throws {
        let (mu, delta, exact) = try (1 / item.number("sigma_over_sensitivity"), item.number("delta"), item.number("eps"))
        let epsilon = try AnalyticGaussian.epsilon(mu: mu, delta: delta)
        #expect(relativeDifference(epsilon, exact) < 1e-9)
        #expect(relativeDifference(AnalyticGaussian.delta(mu: mu, epsilon: exact), delta) < 1e-9)
    }

    @Test("zero-concentrated privacy", arguments: Reference.cases("zcdp_to_eps"))
    func concentrated(item: Reference.Case) throws {
        let bound = try ConcentratedPrivacy.epsilon(rho: item.number("rho"), delta: item.number("delta"))
        #expect(relativeDifference(bound.epsilon, try item.number("eps")) < 1e-9)
        #expect(relativeDifference(bound.order, try item.number("opt_alpha")) < 1e-5)
        #expect(bound.epsilon <= (try item.number("simple_bound")))
    }

    @Test("discrete Gaussian shares of many sites", arguments: Reference.cases("distributed_discrete_gaussian"))
    func distributed(item: Reference.Case) throws {
        let gamma = try item.number("gamma")
        let noise = try DistributedDiscreteGaussian(
            localDeviation: item.number("local_stddev") / gamma, parties: Int(item.number("num_clients")),
            l2Sensitivity: item.number("l2_inflated") / gamma, dimension: Int(item.number("dim")))
        #expect(relativeDifference(noise.l1Sensitivity * gamma, try item.number("l1")) < 1e-9)
        #expect(noise.deviationFromGaussian > 0 && noise.deviationFromGaussian < 1e-300)
        let (q, delta) = try (item.number("q"), item.number("delta"))
        let event = try PrivacyEvent(noise: .distributed(noise), samplingRate: q, steps: item.steps())
        var accountant = RenyiAccountant()
        let step = try accountant.cost(of: PrivacyEvent(noise: .distributed(noise), samplingRate: q, steps: 1))
        let epsilon = try accountant.cost(of: event).epsilon(delta: delta, orders: RenyiOrders.integers)
        if q == 1 {
            for (order, tenths) in [("2", 20), ("8", 80), ("32", 320)] {
                #expect(relativeDifference(try #require(step[tenths: tenths]), try item.number("rdp_per_step", order)) < 1e-9)
            }
            #expect(relativeDifference(epsilon.value, try item.number("eps")) < 1e-9)
            #expect(RenyiOrders.value(epsilon.order) == (try item.number("opt_order")))
        } else {
            // The file's divergences are the looser bound of Zhu and Wang; at order 2 the two agree.
            #expect(relativeDifference(try #require(step[tenths: 20]), try item.number("rdp_per_step", "2")) < 1e-9)
            #expect(try #require(step[tenths: 80]) < (try item.number("rdp_per_step", "8")))
            #expect(relativeDifference(epsilon.value, try item.number("eps_tight_subsampling")) < 1e-9)
            #expect(RenyiOrders.value(epsilon.order) == (try item.number("opt_order_tight")))
            #expect(epsilon.value < (try item.number("eps")))
        }
    }
}
