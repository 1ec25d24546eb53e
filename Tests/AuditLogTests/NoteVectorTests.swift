import Codec
import Cryptography
import Testing

@testable import AuditLog

@Suite struct NoteVectorTests {
    @Test func parsesGoodVerifierKeysAndNoBadOnes() throws {
        guard let file = try Vectors.json("tlog/notes.json") else { return }
        for vector in try file.list("vkeys") {
            let key = try VerifierKey(try vector.text("vkey"))
            #expect(try key.name.text == vector.text("name"))
            #expect(try Hex.encode(key.keyIDBytes) == vector.text("key_id_hex"))
            #expect(try Int(key.kind.rawValue) == vector.int("type"))
            #expect(try key.publicKey.bytes == vector.hex("public_key_hex"))
            #expect(try key.text == vector.text("vkey"))
        }
        var bad = try file.list("bad_vkeys").map { try $0.text("vkey") }
        bad += try file.list("bad_vkey_increments").map { try $0.asText() }
        let whole = Array(try file.text("bad_vkey_substrings_of"))
        for start in whole.indices {
            for end in start...whole.count where end - start < whole.count {
                bad.append(String(whole[start..<end]))
            }
        }
        for text in bad {
            #expect(throws: NoteError.self, "\(text.debugDescription)") { try VerifierKey(text) }
        }
    }

    @Test func opensGoodNotesAndNoBadOnes() throws {
        guard let file = try Vectors.json("tlog/notes.json") else { return }
        for vector in try file.list("notes") {
            let id = try vector.text("id")
            let known = try vector.list("known").map { try VerifierKey(try $0.asText()) }
            let note = try vector.base64("note_b64")
            let verdict = verdict { try OpenedNote(note, known: known) }
            switch try vector.text("expect") {
            case "ok":
                let opened = try OpenedNote(note, known: known)
                #expect(try opened.text == vector.base64("text_b64"), "\(id)")
                let names = opened.signers.map { "\($0.key.name)+\(Hex.encode($0.key.keyIDBytes))" }
                #expect(try names == vector.list("verified").map(\.stringValue), "\(id)")
                if opened.note.bytes != note {
                    #expect(id.contains("repeat"), "\(id) is written back differently")
                }
            case "either": break
            case let word: #expect(verdict == word, "\(id)")
            }
        }
    }

    private func verdict(_ body: () throws -> OpenedNote) -> String {
        do {
            _ = try body()
            return "ok"
        } catch let error as NoteError {
            switch error {
            case .malformed: return "malformed"
            case .invalidSignature: return "invalid_signature"
            case .unverified: return "unverified"
            case .ambiguousKey: return "ambiguous_key"
            default: return "\(error)"
            }
        } catch {
            return "\(error)"
        }
    }

    @Test func signsBitForBit() throws {
        guard let vector = try Vectors.json("tlog/notes.json")?["signer_key"] else { return }
        let key = try VerifierKey(try vector.text("vkey"))
        let signer = NoteSigner(
            name: key.name, kind: .log,
            key: try SigningKey(seed: SecretBytes(copying: try vector.hex("seed_hex"))))
        #expect(signer.verifierKey == key)
        #expect(
            try Array(signer.sign(vector.base64("text_b64")).line.utf8)
                == vector.base64("signature_line_b64"))
    }

    @Test func parsesGoodCheckpointsAndNoBadOnes() throws {
        guard let file = try Vectors.json("tlog/checkpoint-bodies.json") else { return }
        let key = try VerifierKey(try file.text("vkey"))
        for vector in try file.list("cases") {
            let note = try vector.base64("note_b64")
            switch try vector.text("expect") {
            case "ok":
                let head = try Checkpoint(note, signedBy: key)
                #expect(try head.text == SignedNote(note).text)
            case "bad": #expect(throws: NoteError.self) { try Checkpoint(note, signedBy: key) }
            default: _ = try? Checkpoint(note, signedBy: key)
            }
        }
    }

    @Test func opensGoodCosignaturesAndNoBadOnes() throws {
        guard let file = try Vectors.json("tlog/cosignatures.json") else { return }
        for vector in try file.list("cases") {
            let id = try vector.text("id")
            let key = try VerifierKey(try vector.text("vkey"))
            let note = try vector.base64("note_b64")
            guard try vector.text("expect") == "ok" else {
                let word = verdict { try OpenedNote(note, known: [key]) }
                #expect(try word == vector.text("expect"), "\(id)")
                continue
            }
            let opened = try OpenedNote(note, known: [key])
            let time = try #require(opened.signers.first?.timeSeconds)
            #expect(try time == vector.uint64("timestamp") || time == UInt64(Int64.max), "\(id)")
            #expect(
                try Cosignature.message(text: opened.text, timeSeconds: time)
                    == vector.base64("signed_message_b64"), "\(id)")
            guard id == "ok-kat" else { continue }
            let seed = try SigningKey(seed: SecretBytes(copying: try file.hex("witness_seed_hex")))
            let line = NoteSigner(name: key.name, kind: .witness, key: seed).cosign(
                opened.text, timeSeconds: time)
            #expect(opened.note.signatures.contains(line))
        }
    }
}
