// The node's memory of predictions and outcomes: append-only segments under `records/`, erasable record by record.
//
// ```
// records/000001.records    "consilium-records/1\n", then frames (RecordFrame)
// records/000002.records    …
// ```
// Ids ascend, so the index of a segment is a sorted list. Segments are only appended to, except by an erasure, which
// writes the segment anew. A frame is acknowledged after the segment's sync; what follows the last whole frame of a
// segment was never acknowledged and is not read. A failed write or sync ends the segment: the next record starts a new
// one, so the node goes on as soon as the disk does.
//
// Confined to one thread, the journal's.

import Codec
import Storage

final class DecisionStore {
    private struct Segment {
        var path: String
        var ids: [PredictionID] = []
        var offsets: [UInt32] = []
        var bytes: Int

        /// Where `id` is or would be.
        func position(of id: PredictionID) -> Int {
            var (low, high) = (0, ids.count)
            while low < high {
                let middle = (low + high) / 2
                if ids[middle] < id { low = middle + 1 } else { high = middle }
            }
            return low
        }

        mutating func insert(_ id: PredictionID, at offset: Int) {
            let index = ids.last.map { $0 < id } ?? true ? ids.count : position(of: id)
            ids.insert(id, at: index)
            offsets.insert(UInt32(offset), at: index)
        }

        func offset(of id: PredictionID) -> Int? {
            let index = position(of: id)
            return index < ids.count && ids[index] == id ? Int(offsets[index]) : nil
        }
    }

    static let magic = Array("consilium-records/1\n".utf8)
    static let suffix = ".records"

    private let directory: String
    private var segments: [Segment] = []
    private var active: AppendFile?
    private var nextNumber = 1
    /// The latest outcome of each prediction that has one.
    private var outcomes: [PredictionID: OutcomeRecord] = [:]
    /// The greatest id in the store.
    private(set) var lastID: PredictionID?

    /// Opens or makes the store and reads its index.
    /// - Throws: `ServingError.records` when the directory or a segment cannot be read. Cost: one pass over all records.
    init(directory: String) throws(ServingError) {
        self.directory = directory
        do {
            try DurableFile.createDirectory(directory, mode: 0o700)
            for name in try DurableFile.list(directory) where name.hasSuffix(Self.suffix) {
                guard let number = Int(name.dropLast(Self.suffix.count)) else { continue }
                nextNumber = max(nextNumber, number + 1)
                segments.append(try load(directory + "/" + name))
            }
        } catch let error as ServingError {
            throw error
        } catch {
            throw .records(path: directory, problem: "\(error)")
        }
    }

    /// The number of predictions that are stored and not erased.
    var predictionCount: Int { segments.reduce(0) { $0 + $1.ids.count } }

    /// Writes records and returns when they are durable.
    /// - Throws: `ServingError.records`; the records then do not exist.
    func write(_ decisions: [DecisionRecord], _ newOutcomes: [OutcomeRecord]) throws(ServingError) {
        var bytes: [UInt8] = []
        var offsets: [Int] = []
        for decision in decisions {
            offsets.append(bytes.count)
            RecordFrame.append(.prediction, id: decision.id, salt: decision.salt, to: &bytes) { decision.writeBody(&$0) }
        }
        for outcome in newOutcomes {
            RecordFrame.append(.outcome, id: outcome.id, salt: outcome.salt, to: &bytes) { outcome.writeBody(&$0) }
        }
        let start = try append(bytes)
        let segment = segments.count - 1
        for (decision, offset) in zip(decisions, offsets) { segments[segment].insert(decision.id, at: start + offset) }
        for outcome in newOutcomes { outcomes[outcome.prediction] = outcome }
        for id in decisions.map(\.id) + newOutcomes.map(\.id) { lastID = max(lastID ?? id, id) }
    }

    /// Whether a prediction is stored and not erased.
    func contains(_ id: PredictionID) -> Bool { segments.contains { $0.offset(of: id) != nil } }

    /// A stored prediction, nil when there is none. Cost: reads its segment.
    func decision(_ id: PredictionID) throws(ServingError) -> DecisionRecord? {
        for segment in segments {
            guard let offset = segment.offset(of: id) else { continue }
            let bytes = try read(segment.path)
            guard let place = RecordFrame.place(in: bytes, at: offset), place.id == id else {
                throw .records(path: segment.path, problem: "a record that was there is damaged; restore the file from a backup")
            }
            return try decode(bytes, place, segment.path)
        }
        return nil
    }

    /// The latest outcome of a prediction.
    func outcome(of id: PredictionID) -> OutcomeRecord? { outcomes[id] }

    /// Every stored prediction that has an outcome, with the latest one, in order of ids. Cost: reads all segments.
    func labelled() throws(ServingError) -> [(decision: DecisionRecord, outcome: OutcomeRecord)] {
        var pairs: [(decision: DecisionRecord, outcome: OutcomeRecord)] = []
        for segment in segments where segment.ids.contains(where: { outcomes[$0] != nil }) {
            let bytes = try read(segment.path)
            for (id, offset) in zip(segment.ids, segment.offsets) {
                guard let outcome = outcomes[id], let place = RecordFrame.place(in: bytes, at: Int(offset)) else { continue }
                pairs.append((try decode(bytes, place, segment.path), outcome))
            }
        }
        return pairs.sorted { $0.decision.id < $1.decision.id }
    }

    /// Removes values and salt of a prediction and its outcomes for good; ids stay. Writes the segments anew.
    /// - Returns: false when nothing with this id is stored.
    func erase(_ id: PredictionID) throws(ServingError) -> Bool {
        guard contains(id) else { return false }
        active = nil
        outcomes[id] = nil
        for index in segments.indices { segments[index] = try rewrite(segments[index], without: id) }
        return true
    }
}

extension DecisionStore {
    /// Appends and syncs. Returns the offset of the first byte.
    private func append(_ bytes: [UInt8]) throws(ServingError) -> Int {
        do {
            let file = try openActive()
            let start = file.size
            try file.append(bytes)
            try file.sync()
            segments[segments.count - 1].bytes = file.size
            return start
        } catch {
            active = nil
            throw .records(path: directory, problem: "\(error)")
        }
    }

    private func openActive() throws(StorageError) -> AppendFile {
        if let active, active.size < ServingLimits.segmentBytes { return active }
        let number = String(nextNumber)
        let path = directory + "/" + String(repeating: "0", count: max(0, 6 - number.utf8.count)) + number + Self.suffix
        nextNumber += 1
        let file = try AppendFile(path)
        try file.append(Self.magic)
        segments.append(Segment(path: path, bytes: file.size))
        active = file
        return file
    }

    private func load(_ path: String) throws(ServingError) -> Segment {
        let bytes = try read(path)
        guard bytes.starts(with: Self.magic) else {
            // A crash before the first sync leaves less than the magic; anything else is not ours.
            guard Self.magic.starts(with: bytes) else { throw .records(path: path, problem: "it is not a record segment; move it away") }
            return Segment(path: path, bytes: bytes.count)
        }
        var segment = Segment(path: path, bytes: bytes.count)
        var offset = Self.magic.count
        while let place = RecordFrame.place(in: bytes, at: offset) {
            offset += place.count
            lastID = max(lastID ?? place.id, place.id)
            switch place.kind {
            case .prediction: segment.insert(place.id, at: place.offset)
            case .outcome: note(try outcome(bytes, place, path))
            case .erased: break
            }
        }
        return segment
    }

    private func note(_ outcome: OutcomeRecord) {
        if let known = outcomes[outcome.prediction], known.id > outcome.id { return }
        outcomes[outcome.prediction] = outcome
    }

    private func rewrite(_ segment: Segment, without id: PredictionID) throws(ServingError) -> Segment {
        let bytes = try read(segment.path)
        guard bytes.starts(with: Self.magic) else { return segment }
        var kept = Self.magic
        var renewed = Segment(path: segment.path, bytes: 0)
        var offset = Self.magic.count
        var isChanged = false
        while let place = RecordFrame.place(in: bytes, at: offset) {
            offset += place.count
            if try concerns(place, id, bytes, segment.path) {
                isChanged = true
                RecordFrame.append(.erased, id: place.id, salt: [UInt8](repeating: 0, count: RecordFrame.saltBytes), to: &kept) { _ in }
            } else {
                if place.kind == .prediction { renewed.insert(place.id, at: kept.count) }
                kept += bytes[place.offset..<place.offset + place.count]
            }
        }
        guard isChanged else { return segment }
        renewed.bytes = kept.count
        do {
            try DurableFile.writeAtomically(kept, to: segment.path, mode: 0o600)
        } catch {
            throw .records(path: segment.path, problem: "\(error)")
        }
        return renewed
    }

    private func concerns(_ place: RecordFrame.Place, _ id: PredictionID, _ bytes: [UInt8], _ path: String) throws(ServingError) -> Bool {
        switch place.kind {
        case .prediction: place.id == id
        case .outcome: try outcome(bytes, place, path).prediction == id
        case .erased: false
        }
    }

    private func decode(_ bytes: [UInt8], _ place: RecordFrame.Place, _ path: String) throws(ServingError) -> DecisionRecord {
        let (salt, body) = RecordFrame.content(bytes, place)
        do {
            return try DecisionRecord(id: place.id, salt: salt, body: body)
        } catch {
            throw .records(path: path, problem: "a record cannot be read: \(error)")
        }
    }

    private func outcome(_ bytes: [UInt8], _ place: RecordFrame.Place, _ path: String) throws(ServingError) -> OutcomeRecord {
        let (salt, body) = RecordFrame.content(bytes, place)
        do {
            return try OutcomeRecord(id: place.id, salt: salt, body: body)
        } catch {
            throw .records(path: path, problem: "an outcome cannot be read: \(error)")
        }
    }

    private func read(_ path: String) throws(ServingError) -> [UInt8] {
        do {
            return try DurableFile.read(path, maxBytes: ServingLimits.segmentBytes + ServingLimits.pendingRows * ServingLimits.recordBytes)
        } catch {
            throw .records(path: path, problem: "\(error)")
        }
    }
}
