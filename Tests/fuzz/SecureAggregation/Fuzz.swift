// libFuzzer's entry. CONSILIUM_FUZZ_PART says what is fed: every decoder, a site's session, the coordinator's session.
// The first bytes of an input choose, the rest is edits of a real message or the message itself. `Tests/fuzz/run`.

import Cryptography
import Glibc

@testable import SecureAggregation

/// Takes an input apart; zeros after its end.
struct Input {
    private var bytes: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

    var isEmpty: Bool { bytes.isEmpty }
    mutating func byte() -> UInt8 { bytes.popFirst() ?? 0 }
    mutating func index(_ count: Int) -> Int { (Int(byte()) << 8 | Int(byte())) % max(count, 1) }
    mutating func take(_ count: Int) -> [UInt8] {
        defer { bytes = bytes.dropFirst(count) }
        return Array(bytes.prefix(count))
    }

    /// A message: the real one with up to seven edits, or raw bytes.
    mutating func message(near real: [UInt8]) -> [UInt8] {
        let choice = byte()
        guard choice < 0xC0 else { return take(Int(byte()) * 4) }
        var message = real
        for _ in 0..<Int(choice & 7) where !message.isEmpty {
            let operation = byte()
            let place = index(message.count)
            switch operation % 6 {
            case 0: message[place] = byte()
            case 1: message[place] ^= 1 << (byte() & 7)
            case 2: message.removeLast(min(message.count, 1 + place % 64))
            case 3: message += take(Int(byte() % 64))
            case 4: message.remove(at: place)
            default: message.insert(byte(), at: place)
            }
        }
        return message
    }
}

private enum Part: String {
    case decoders, client, server
}

private let round: FuzzRound = {
    do { return try FuzzRound() } catch { fatalError("the honest round failed: \(error)") }
}()
private let decoders = Decoders(round)
private let sessions = Sessions(round)
private let part: Part = {
    // Safe: getenv gives a C string or null, and nothing here sets the environment.
    let text = unsafe getenv("CONSILIUM_FUZZ_PART").map { unsafe String(cString: $0) } ?? ""
    return Part(rawValue: text) ?? .decoders
}()

@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // Safe: libFuzzer hands over `count` readable bytes.
    var input = Input(unsafe Array(UnsafeBufferPointer(start: data, count: count)))
    switch part {
    case .decoders: decoders.run(&input)
    case .client: sessions.runClient(&input)
    case .server: sessions.runServer(&input)
    }
    return 0
}
