import Testing

@testable import Telemetry

@Suite struct ClockTests {
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_555_555_678, "2026-11-24T21:25:55.678Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
            (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (4_107_542_400_007, "2100-03-01T00:00:00.007Z"),
        ] as [(Int64, String)])
    func writesAndReadsMoments(_ milliseconds: Int64, _ text: String) {
        #expect(Timestamp(milliseconds: milliseconds).iso8601 == text)
        #expect(Timestamp(iso8601: text)?.milliseconds == milliseconds)
    }

    @Test func readsShorterForms() {
        #expect(Timestamp(iso8601: "2026-11-24T21:00:00Z")?.iso8601 == "2026-11-24T21:00:00.000Z")
        #expect(Timestamp(iso8601: "2026-11-24")?.iso8601 == "2026-11-24T00:00:00.000Z")
    }

    @Test(arguments: [
        "", "2026", "2026-1-24", "2026-13-01", "2026-00-01", "2026-01-00", "2026-02-29",
        "2100-02-29", "2026-04-31", "2026-11-24T", "2026-11-24T24:00:00Z", "2026-11-24T23:60:00Z",
        "2026-11-24T23:59:60Z", "2026-11-24T23:59:59", "2026-11-24T23:59:59+00:00",
        "2026-11-24T23:59:59.1Z", "2026-11-24T23:59:59.1234Z", "2026-11-24t23:59:59Z",
        "2026-11-24 23:59:59Z",
        "2026-11-24T23:59:59.123Zx", "+026-11-24", "2026-11-24Z", "２０２６-11-24", "2026-11-2",
        "2026-11-24T21:00:00.Z",
    ])
    func refusesOtherTexts(_ text: String) { #expect(Timestamp(iso8601: text) == nil) }

    /// Every day of 800 years follows the one before.
    @Test func everyDayHasOneName() {
        var previous = ""
        for day in -146_097...146_097 {
            let moment = Timestamp(milliseconds: Int64(day) * 86_400_000)
            let text = moment.iso8601
            if text <= previous || Timestamp(iso8601: text) != moment {
                Issue.record("\(day) is \(text)")
                return
            }
            previous = text
        }
    }

    @Test func aManualClockStandsUntilItIsMoved() {
        let clock = ManualClock(Timestamp(milliseconds: 1000))
        #expect(clock.now() == clock.now())
        clock.advance(seconds: 1.5)
        #expect(clock.now().milliseconds == 2500)
        clock.set(Timestamp(milliseconds: 7))
        #expect(clock.now() < Timestamp(milliseconds: 8))
        #expect(clock.now().adding(seconds: -0.007).milliseconds == 0)
    }

    @Test func theSystemClockIsPlausible() {
        let now = SystemClock().now()
        #expect(now.milliseconds > 1_700_000_000_000 && SystemClock().now() >= now)
    }
}
