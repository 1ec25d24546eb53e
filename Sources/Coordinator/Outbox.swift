// What waits for a site until its node polls. An outbox lives as long as a session of the node: a node
// that restarts opens a new session, gets the standing instructions again, and has lost its rounds.

import Cryptography
import HTTP
import Messages

/// Instructions for one site.
struct Outbox {
    /// Random name that the node chose when its process started.
    private(set) var session: [UInt8] = []
    private var items: [InstructionBatch.Item] = []
    private var next: UInt64 = 1
    /// Blobs that this site may fetch: those that an instruction named.
    private(set) var blobs: Set<Digest> = []
    /// The poll that waits for something to come.
    private var waiting: (responder: HTTPResponder, deadline: UInt64)?

    /// When the last poll came.
    private var polled: UInt64 = 0

    static let itemsMax = 1024
    /// Milliseconds without a poll after which a node counts as gone: longer than a poll is held.
    static let silenceMilliseconds: UInt64 = 35_000
    /// Largest number that a poll may name; nobody gets there by counting.
    static let sequenceMax: UInt64 = 1 << 62
    static let batchBytesMax = 32 << 20

    mutating func put(_ instruction: Instruction) {
        guard !session.isEmpty else { return }
        for blob in instruction.offered { blobs.insert(blob) }
        guard items.count < Outbox.itemsMax else { return }
        items.append(.init(sequence: next, instruction: instruction.encoded))
        next += 1
    }

    /// Starts over for a node that has just started, or that this process does not know yet. Numbers go on
    /// from the node's last one, so that what it has never hides what it has not.
    mutating func open(_ session: [UInt8], standing: [Instruction], after sequence: UInt64) {
        answerWaiting(.error(409, "another process of this site has started: only one node may run per site"))
        self.session = session
        items = []
        next = sequence + 1
        for instruction in standing { put(instruction) }
    }

    /// Takes a poll: forgets what the node has, answers at once or keeps the poll until `deadline`.
    mutating func poll(after sequence: UInt64, _ responder: HTTPResponder, at now: UInt64, deadline: UInt64) {
        polled = now
        items.removeAll { $0.sequence <= sequence }
        answerWaiting(.error(409, "a newer poll of this site has come"))
        waiting = (responder, deadline)
        flush()
    }

    /// Answers the waiting poll if there is something to say.
    mutating func flush() {
        guard !items.isEmpty, waiting != nil else { return }
        var batch: [InstructionBatch.Item] = []
        var bytes = 0
        for item in items.prefix(256) {
            bytes += item.instruction.count
            guard batch.isEmpty || bytes <= Outbox.batchBytesMax else { break }
            batch.append(item)
        }
        answerWaiting(HTTPResponse(contentType: "application/octet-stream", body: InstructionBatch(items: batch).encoded))
    }

    /// Lets a poll go that has waited long enough.
    mutating func expire(at now: UInt64) {
        guard let deadline = waiting?.deadline, deadline <= now else { return }
        answerWaiting(HTTPResponse(contentType: "application/octet-stream", body: InstructionBatch(items: []).encoded))
    }

    /// Ends everything; for a revoked site and at stop.
    mutating func close(_ message: String) {
        answerWaiting(.error(503, message))
        session = []
        items = []
    }

    /// Whether a node of this site polls.
    func isConnected(at now: UInt64) -> Bool { !session.isEmpty && now < polled + Outbox.silenceMilliseconds }

    /// When the waiting poll must be answered; nil without one.
    var deadline: UInt64? { waiting?.deadline }

    private mutating func answerWaiting(_ response: HTTPResponse) {
        waiting?.responder.respond(response)
        waiting = nil
    }
}
