import Models
import Testing

@testable import ModelPackage

@Suite struct SafeTensorsTests {
    private let tensors = [
        Tensor(name: "output.weight", shape: [1, 3], values: [0.5, -1.25, 3e-20]),
        Tensor(name: "output.bias", shape: [1], values: [-0.0]),
        Tensor(name: "scalar", shape: [], values: [7]),
        Tensor(name: "empty", shape: [0, 4], values: []),
    ]

    /// A file from a header text and a buffer of so many bytes.
    private func file(_ header: String, buffer: Int = 0, length: Int? = nil) -> [UInt8] {
        let count = UInt64(length ?? header.utf8.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: count >> UInt64(8 * $0)) }
            + Array(header.utf8) + [UInt8](repeating: 0, count: buffer)
    }

    @Test func roundTripsEveryShape() throws {
        let bytes = SafeTensors.encode(tensors, metadata: ["format": "consilium"])
        let read = try SafeTensors(parsing: bytes)
        #expect(read.metadata == ["format": "consilium"])
        let back = try read.tensors()
        #expect(back.map(\.name) == ["empty", "output.bias", "output.weight", "scalar"])
        for tensor in back {
            let original = try #require(tensors.first { $0.name == tensor.name })
            #expect(tensor.shape == original.shape)
            #expect(tensor.values.map(\.bitPattern) == original.values.map(\.bitPattern))
        }
    }

    @Test func headerIsPaddedToEightAndOrderedByName() {
        let bytes = SafeTensors.encode(tensors)
        let length = Int(bytes[0]) | Int(bytes[1]) << 8
        #expect(length % 8 == 0)
        #expect(bytes[8] == UInt8(ascii: "{"))
        #expect(SafeTensors.encode(tensors.reversed()) == bytes)
    }

    @Test func readsWhatTheReferenceLibraryWrites() throws {
        // safetensors 0.8.0: save({"b": float32 [[1, 2]], "a": float32 [0.5]}), header padded by one space per missing byte.
        let header =
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[4,12]}}"#
        var bytes = file(header + String(repeating: " ", count: (8 - header.utf8.count % 8) % 8))
        for value in [0.5, 1, 2] as [Float] {
            for shift in [0, 8, 16, 24] as [UInt32] {
                bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> shift))
            }
        }
        #expect(try SafeTensors(parsing: bytes).tensors().map(\.values) == [[0.5], [1, 2]])
    }

    @Test func emptyFileOfNoTensorsIsAllowed() throws {
        #expect(try SafeTensors(parsing: file("{}")).entries.isEmpty)
        #expect(try SafeTensors(parsing: file("{}      ")).entries.isEmpty)
    }

    @Test(arguments: [
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 7),  // buffer ends early
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 9),  // bytes left over
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12),  // hole at the start
        (
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[5,9]}}"#,
            9
        ),  // hole
        (
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
            12
        ),  // overlap
        (
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
            8
        ),  // same bytes twice
        (#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8),  // shape and size differ
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8),  // ends before it begins
        (#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#, 0),  // overflow
        (
            #"{"a":{"dtype":"F32","shape":[9223372036854775807,9223372036854775807,0],"data_offsets":[0,0]}}"#,
            0
        ),
        (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8),
        (#"{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}"#, 8),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8.5]}}"#, 8),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}"#, 8),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}"#, 8),
        (#"{"a":{"dtype":"F32","shape":[2]}}"#, 8),
        (#"{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}"#, 8),
        (#"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#, 4),
        (
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            4
        ),
        (#"{"a":[],"__metadata__":{}}"#, 0),
        (#"{"__metadata__":{"a":1}}"#, 0),
        (#"{"__metadata__":"text"}"#, 0),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#, 4),  // not JSON
        (#" {}"#, 0),
        (#"[]"#, 0),
        ("", 0),
    ]) func refusesHeader(_ header: String, _ buffer: Int) {
        #expect(throws: PackageError.self) {
            try SafeTensors(parsing: file(header, buffer: buffer))
        }
    }

    @Test func refusesLyingLengths() {
        for bytes in [
            [], [0], [UInt8](repeating: 0, count: 7), [UInt8](repeating: 0, count: 8),
            [UInt8](repeating: 255, count: 16),
        ] {
            #expect(throws: PackageError.self) { try SafeTensors(parsing: bytes) }
        }
        #expect(throws: PackageError.self) { try SafeTensors(parsing: file("{}", length: 3)) }
        #expect(throws: PackageError.self) {
            try SafeTensors(parsing: file("{}", length: PackageLimits.tensorHeaderBytes + 1))
        }
    }

    @Test func refusesNumbersThatAreNotFiniteAndOtherTypes() throws {
        for value in [Float.nan, .infinity, -.infinity] {
            let bytes = SafeTensors.encode([Tensor(name: "a", shape: [2], values: [1, value])])
            #expect(throws: PackageError.self) { try SafeTensors(parsing: bytes).tensors() }
        }
        let integers = file(#"{"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}"#, buffer: 4)
        #expect(try SafeTensors(parsing: integers).entries.count == 1)
        #expect(throws: PackageError.self) { try SafeTensors(parsing: integers).tensors() }
    }

    @Test func everyTruncationIsRefused() {
        let bytes = SafeTensors.encode(tensors)
        for count in 0..<bytes.count {
            #expect(throws: PackageError.self) {
                try SafeTensors(parsing: Array(bytes.prefix(count)))
            }
        }
    }
}
