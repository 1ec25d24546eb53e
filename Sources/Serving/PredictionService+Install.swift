// `POST /v1/models`: a signed package, as a bundle, becomes a candidate. For models that the site imports (`consilium model import`) and
// for packages that come by another way than from the coordinator.

import Codec
import Cryptography
import HTTP
import ModelPackage

extension PredictionService {
    func install(_ bundle: [UInt8], _ principal: Principal, _ responder: HTTPResponder) throws {
        let package: VerifiedPackage
        do {
            package = try VerifiedPackage.verify(PackageContents(bundle: bundle), trustedKeys: deployments.trustedKeys)
        } catch {
            throw RequestRefusal(422, .schema, "\(error)")
        }
        try worker.run { [self] in
            do {
                // An import without an intercept must not take away the one that a release came with.
                let intercept = deployments.settings(of: package.digest).intercept
                try deployments.install(package, intercept: intercept, by: Actor(principal))
                responder.respond(
                    .json([
                        "model": .string(package.name), "version": .integer(Int64(package.version)), "digest": .string(package.digest.hex),
                    ]))
            } catch {
                refuse(.install, RequestRefusal(error as? ServingError ?? .stopped), responder)
            }
        }
    }
}
