import Kernels
import Testing

@Suite struct FeatureMatrixTests {
    @Test func keepsRowsInOrder() throws {
        let matrix = try FeatureMatrix(
            rows: 2, columns: 3, values: [1, 2, 3, 4, 5, 6], labels: [0, 1])
        #expect(matrix.row(1) == [4, 5, 6])
        #expect(matrix[row: 0, column: 2] == 3)
        let picked = matrix.selecting([1, 1, 0])
        #expect(picked.values == [4, 5, 6, 4, 5, 6, 1, 2, 3])
        #expect(picked.labels == [1, 1, 0])
    }

    @Test func takesNoRows() throws {
        let matrix = try FeatureMatrix(rows: 0, columns: 3, values: [])
        #expect(matrix.rows == 0 && matrix.isLabelled)
    }

    @Test(arguments: [
        (-1, 2, 0, 0), (2, 0, 0, 0), (2, 3, 5, 0), (2, 3, 7, 2), (2, 3, 6, 1), (2, 3, 6, 3),
        (Int.max, 2, 4, 0),
    ])
    func refusesCountsThatDoNotFit(rows: Int, columns: Int, values: Int, labels: Int) {
        #expect(throws: KernelsError.self) {
            try FeatureMatrix(
                rows: rows, columns: columns, values: [Float](repeating: 0, count: values),
                labels: [Float](repeating: 0, count: labels))
        }
    }
}

@Suite struct SeededGeneratorTests {
    /// First outputs of java.util.SplittableRandom's mixer for seed 1234567, as published with the algorithm's ports.
    @Test func matchesThePublishedSequence() {
        var generator = SeededGenerator(seed: 1_234_567)
        #expect(
            (0..<3).map { _ in generator.next() } == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
            ])
    }

    @Test func shufflesEvenly() {
        var generator = SeededGenerator(seed: 7)
        var firsts = [Int](repeating: 0, count: 6)
        for _ in 0..<6000 {
            var items = [0, 1, 2, 3, 4, 5]
            generator.shuffle(&items)
            #expect(items.sorted() == [0, 1, 2, 3, 4, 5])
            firsts[items[0]] += 1
        }
        #expect(firsts.allSatisfy { (850...1150).contains($0) })
    }

    @Test func unitFloatsStayBelowOne() {
        var generator = SeededGenerator(seed: [1, 2, 3])
        #expect((0..<10_000).allSatisfy { _ in (0..<1).contains(generator.unitFloat()) })
    }
}
