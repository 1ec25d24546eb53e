import Codec
import Cryptography
import Messages
import Study
import Testing

func digest(_ number: UInt8) -> Digest { SHA256.hash([number]) }

/// A message of some type as bytes and back, whatever the type.
struct Sample: Sendable, CustomStringConvertible {
    let name: String
    let bytes: [UInt8]
    /// Decodes, and encodes what came out; throws what the decoder throws.
    let again: @Sendable ([UInt8]) throws(MessageError) -> [UInt8]

    var description: String { name }

    init(_ name: String, _ message: Instruction) {
        (self.name, bytes) = ("instruction " + name, message.encoded)
        again = { bytes throws(MessageError) in try Instruction(encoded: bytes).encoded }
    }

    init(_ name: String, _ message: Report) {
        (self.name, bytes) = ("report " + name, message.encoded)
        again = { bytes throws(MessageError) in try Report(encoded: bytes).encoded }
    }

    init(_ name: String, _ message: InstructionBatch) {
        (self.name, bytes) = ("batch " + name, message.encoded)
        again = { bytes throws(MessageError) in try InstructionBatch(encoded: bytes).encoded }
    }

    init(_ name: String, _ message: RoundWork) {
        (self.name, bytes) = ("work " + name, message.canonicalBytes)
        again = { bytes throws(MessageError) in try RoundWork(parsing: bytes).canonicalBytes }
    }

    init(_ message: EnrolmentRequest) {
        (name, bytes) = ("enrolment request", message.encoded)
        again = { bytes throws(MessageError) in try EnrolmentRequest(encoded: bytes).encoded }
    }

    init(_ message: EnrolmentGrant) {
        (name, bytes) = ("enrolment grant", message.encoded)
        again = { bytes throws(MessageError) in try EnrolmentGrant(encoded: bytes).encoded }
    }
}

/// One of everything that the two parties can say.
enum Samples {
    static let key = SigningKey.generate(random: SeededRandom(seed: 1))

    static let statistics = RoundWork(
        kind: .statistics, run: "heart-1", planHash: digest(1), number: 1 << 24 | 1, step: 0)
    static let training = RoundWork(
        kind: .training, run: "heart-1", planHash: digest(1), number: 1 << 24 | 2, step: 7,
        preprocessor: digest(2),
        model: digest(3))
    static let curve = RoundWork(
        kind: .evaluation, run: "heart-1", planHash: digest(1), number: 1 << 24 | 3, step: 8,
        preprocessor: digest(2),
        model: digest(4), isCurve: true)

    static let instructions: [(String, Instruction)] = [
        ("plan offer", .planOffer(plan: Array(#"{"consilium":"plan/1"}"#.utf8))),
        ("plan withdrawn", .planWithdrawn(planHash: digest(1))),
        (
            "round open",
            .roundOpen(work: training.canonicalBytes, start: [1, 2, 3], opening: [4, 5], results: [digest(7), digest(8)])
        ),
        ("manifest", .manifest(signed: [1, 2])), ("witness", .witness(request: Array("old 0\n".utf8))),
        ("witnessed", .witnessed(answer)),
        ("aggregation", .aggregation(round: 1 << 24 | 2, message: [9, 8, 7])),
        ("run ended", .runEnded(run: "heart-1", released: true)),
        ("run failed", .runEnded(run: "heart-1", released: false)),
        ("release", .release(study: "heart", version: 3, package: digest(5), bundle: digest(6))),
    ]
    static let answer = WitnessAnswer(
        origin: "consilium/heart/a", witness: "coordinator", status: 409, body: Array("17\n".utf8), latest: [1, 2, 3])
    static let reports: [(String, Report)] = [
        ("manifest signature", .manifestSignature(manifest: digest(1), signature: [UInt8](repeating: 3, count: 64))),
        ("witness request", .witnessRequest(witness: "b", request: [4, 5])), ("witness answer", .witnessAnswer(answer)),
        ("fork evidence", .forkEvidence([123, 125])),
        ("consent", .consent([1, 2, 3, 4])),
        ("consent withdrawn", .consentWithdrawn(planHash: digest(1))),
        ("aggregation", .aggregation(round: .max, message: [7])),
        (
            "refusal",
            .refusal(
                subject: digest(1), code: "policy.cohort",
                sentence: "the cohort is below this site's minimum (4)")
        ),
        ("verdict", .versionVerdict(package: digest(5), accepted: true, code: "accepted")),
        ("verdict without code", .versionVerdict(package: digest(5), accepted: false, code: "")),
    ]
    static let request = EnrolmentRequest(
        secret: SHA256.hash([7]).bytes, site: "basel", certificateRequest: Array(0..<200), key: key,
        clock: 1_795_000_000_000)
    static let grant = EnrolmentGrant(
        federation: "heart", siteIndex: 4,
        certificatePEM: Array("-----BEGIN CERTIFICATE-----".utf8),
        authorityPEM: Array("-----BEGIN".utf8), coordinatorKey: key.publicKey)
    static let batch = InstructionBatch(items: [
        .init(sequence: 5, instruction: Instruction.planWithdrawn(planHash: digest(1)).encoded),
        .init(sequence: 6, instruction: []), .init(sequence: .max, instruction: [1]),
    ])

    static let all: [Sample] =
        instructions.map { Sample($0.0, $0.1) } + reports.map { Sample($0.0, $0.1) }
        + [
            Sample("full", batch), Sample("empty", InstructionBatch(items: [])),
            Sample("statistics", statistics),
            Sample("training", training), Sample("curve", curve), Sample(request), Sample(grant),
        ]
}
