// The loops of lattice.inc in both forms of forms.inc.

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

#define FORMS "lattice.inc"
#include "forms.inc"

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
