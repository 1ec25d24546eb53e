// Loops of private training over spans, in front of `CKernels`: norms of rows, and gradients whose per-row products
// are rounded to whole numbers before they are summed. Matrices are as in `DenseKernels`.

import CKernels

/// squares[r] = Σ x[r, i]² for the first `rows` rows of `columns` values, in double precision.
package func rowSquares(
    rows: Int, columns: Int, _ x: Span<Float>, into squares: inout MutableSpan<Double>,
    path: KernelPath = .best
) {
    precondition(
        rows >= 0 && columns >= 0 && x.count >= rows * columns && squares.count >= rows,
        "the rows and their squares differ in size")
    // Reason: the C loop reads and writes exactly the sizes checked above.
    unsafe x.withUnsafeBufferPointer { x in
        unsafe squares.withUnsafeMutableBufferPointer { squares in
            unsafe ck_row_squares(path.flag, rows, columns, x.baseAddress, squares.baseAddress)
        }
    }
}

/// x[r, i] ·= scale[r] for the first `rows` rows of `columns` values.
package func scaleRows(
    rows: Int, columns: Int, by scale: Span<Float>, _ x: inout MutableSpan<Float>,
    path: KernelPath = .best
) {
    precondition(
        rows >= 0 && columns >= 0 && x.count >= rows * columns && scale.count >= rows,
        "the rows and their scales differ in size")
    // Reason: the C loop reads and writes exactly the sizes checked above.
    unsafe scale.withUnsafeBufferPointer { scale in
        unsafe x.withUnsafeMutableBufferPointer { x in
            unsafe ck_scale_rows(path.flag, rows, columns, scale.baseAddress, x.baseAddress)
        }
    }
}

/// Rows of one call of `latticeGradient`: sums of so many products below 2^21 in size stay below 2^31.
package let latticeRowsMax = 512

/// Adds the layer's gradients, every row's products rounded to whole numbers first (ties to even):
/// weightSums[o, i] += Σ round(dy[r, o] · x[r, i]) and biasSums[o] += Σ round(dy[r, o]), modulo 2^32.
///
/// Products and `dy` are below 2^22 in size, and `rows` at most `latticeRowsMax`. Costs what `denseBackwardWeights`
/// does.
package func latticeGradient(
    rows: Int, _ dy: Span<Float>, _ x: Span<Float>, weightSums: inout MutableSpan<UInt32>,
    biasSums: inout MutableSpan<UInt32>, path: KernelPath = .best
) {
    let outputs = biasSums.count
    let inputs = layerInputs(weightSums.count, outputs)
    precondition(
        (0...latticeRowsMax).contains(rows) && x.count >= rows * inputs && dy.count >= rows * outputs,
        "the layer and its rows differ in size")
    // Reason: the C loops read and write exactly the sizes checked above.
    unsafe dy.withUnsafeBufferPointer { dy in
        unsafe x.withUnsafeBufferPointer { x in
            unsafe weightSums.withUnsafeMutableBufferPointer { dw in
                unsafe biasSums.withUnsafeMutableBufferPointer { db in
                    unsafe ck_lattice_gradient(
                        path.flag, rows, inputs, outputs, dy.baseAddress, x.baseAddress,
                        dw.baseAddress, db.baseAddress)
                }
            }
        }
    }
}

extension NaiveKernels {
    /// squares[r] = Σ x[r, i]².
    package static func rowSquares(
        rows: Int, columns: Int, _ x: Span<Float>, into squares: inout MutableSpan<Double>
    ) {
        for r in 0..<rows {
            squares[r] = 0
            for i in 0..<columns {
                squares[r] += Double(x[r * columns + i]) * Double(x[r * columns + i])
            }
        }
    }

    /// Sums of rounded products, modulo 2^32.
    package static func latticeGradient(
        rows: Int, _ dy: Span<Float>, _ x: Span<Float>, weightSums: inout MutableSpan<UInt32>,
        biasSums: inout MutableSpan<UInt32>
    ) {
        let outputs = biasSums.count
        let inputs = layerInputs(weightSums.count, outputs)
        func word(_ value: Float) -> UInt32 {
            UInt32(bitPattern: Int32(value.rounded(.toNearestOrEven)))
        }
        for r in 0..<rows {
            for o in 0..<outputs {
                for i in 0..<inputs {
                    weightSums[o * inputs + i] &+= word(dy[r * outputs + o] * x[r * inputs + i])
                }
                biasSums[o] &+= word(dy[r * outputs + o])
            }
        }
    }
}
