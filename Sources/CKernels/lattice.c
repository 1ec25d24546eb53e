// Builds lattice.inc in both forms, as kernels.c does with kernels.inc.

#include "CKernels.h"

typedef float lanes __attribute__((vector_size(32)));
typedef float lanes_unaligned __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint32_t words __attribute__((vector_size(32)));
typedef uint32_t words_unaligned __attribute__((vector_size(32), aligned(4), may_alias));
typedef double doubles __attribute__((vector_size(32)));
typedef float quad_unaligned __attribute__((vector_size(16), aligned(4), may_alias));

#define LOAD(p) (*(const lanes_unaligned *)(p))
#define RAISE 12582912.0f
#define RAISE_BITS UINT32_C(0x4b400000)

// See kernels.c.
#pragma clang diagnostic ignored "-Wpsabi"

#define TARGET
#define NAME(x) baseline_##x
#include "lattice.inc"
#undef TARGET
#undef NAME

#if defined(__x86_64__)
#define TARGET __attribute__((target("avx2,fma")))
#define NAME(x) wide_##x
#include "lattice.inc"
#undef TARGET
#undef NAME
#define CHOOSE(call) (wide ? wide_##call : baseline_##call)
#else
#define CHOOSE(call) ((void)wide, baseline_##call)
#endif

void ck_row_squares(bool wide, size_t rows, size_t columns, const float *x, double *squares) {
    CHOOSE(row_squares)(rows, columns, x, squares);
}

void ck_scale_rows(bool wide, size_t rows, size_t columns, const float *scale, float *x) {
    CHOOSE(scale_rows)(rows, columns, scale, x);
}

void ck_lattice_gradient(bool wide, size_t rows, size_t inputs, size_t outputs, const float *dy, const float *x,
                         uint32_t *dw, uint32_t *db) {
    CHOOSE(lattice_gradient)(rows, inputs, outputs, dy, x, dw, db);
}
