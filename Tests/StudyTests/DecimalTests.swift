import Study
import Testing

@Suite struct DecimalTests {
    @Test(
        arguments: [
            (0, 0, "0"), (0, 6, "0.000000"), (1, 0, "1"), (1, 2, "1.00"), (0.5, 0, "0"),
            (1.5, 0, "2"), (2.5, 0, "2"),
            (0.125, 2, "0.12"), (0.375, 2, "0.38"), (0.05, 1, "0.0"), (0.999_999_9, 6, "1.000000"),
            (12.345678, 3, "12.346"),
            (-1.25, 1, "-1.2"), (-0.0, 3, "0.000"), (-0.0004, 3, "0.000"), (-0.0006, 3, "-0.001"),
            (1.0 / 3, 6, "0.333333"),
            (123_456_789, 3, "123456789.000"), (5e-300, 6, "0.000000"),
            (1, 18, "1.000000000000000000"),
            (8.9e18, 0, "8900000000000000000"),
        ] as [(Double, Int, String)]) func writesFixedPlaces(
            _ value: Double, _ places: Int, _ text: String
        )
    {
        #expect(decimal(value, places: places) == text)
    }

    @Test func saysWhatItCannotWrite() {
        for value in [Double.nan, .infinity, -.infinity, .signalingNaN] {
            #expect(decimal(value, places: 6) == "not-a-number")
        }
        for value in [1e300, -1e300, 9e12.nextUp, 1e13] {
            #expect(decimal(value, places: 6) == "out-of-range")
        }
        #expect(decimal(10, places: 18) == "out-of-range")
    }

    /// Reading the text gives the value back to half a unit of the last place.
    @Test func isClose() throws {
        var numbers = SeededNumbers(11)
        for _ in 0..<5000 {
            let value =
                Double(Int64(bitPattern: numbers.next()) >> 12) / Double(1 << (numbers.next() % 50))
            for places in [0, 3, 6] where abs(value) < 1e9 {
                let read = try #require(Double(decimal(value, places: places)))
                var unit = 1.0
                for _ in 0..<places { unit /= 10 }
                #expect(abs(read - value) <= unit * 0.5 + abs(value) * 1e-15)
            }
        }
    }
}
