// The loops of kernels.inc in both forms of forms.inc.

#include "CKernels.h"

typedef float lanes __attribute__((vector_size(32)));
typedef float lanes_unaligned __attribute__((vector_size(32), aligned(4), may_alias));

#define LOAD(p) (*(const lanes_unaligned *)(p))
#define STORE(p, v) (*(lanes_unaligned *)(p) = (v))

#define FORMS "kernels.inc"
#include "forms.inc"

#if defined(__x86_64__)
bool ck_has_avx2_fma(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#else
bool ck_has_avx2_fma(void) { return false; }
#endif

float ck_dot(bool wide, size_t n, const float *a, const float *b) { return CHOOSE(dot)(n, a, b); }

void ck_axpy(bool wide, size_t n, float scale, const float *x, float *y) { CHOOSE(axpy)(n, scale, x, y); }

void ck_dense_forward(bool wide, size_t rows, size_t inputs, size_t outputs, const float *x, const float *w,
                      const float *bias, float *y, bool rectified) {
    CHOOSE(dense_forward)(rows, inputs, outputs, x, w, bias, y, rectified);
}

void ck_packed_forward(bool wide, size_t rows, size_t inputs, size_t outputs, const float *x, const float *w,
                       const float *bias, float *y, bool rectified) {
    CHOOSE(packed_forward)(rows, inputs, outputs, x, w, bias, y, rectified);
}

void ck_dense_backward_weights(bool wide, size_t rows, size_t inputs, size_t outputs, const float *dy,
                               const float *x, float *dw, float *db) {
    CHOOSE(dense_backward_weights)(rows, inputs, outputs, dy, x, dw, db);
}

void ck_dense_backward_inputs(bool wide, size_t rows, size_t inputs, size_t outputs, const float *dy,
                              const float *w, const float *x, float *dx) {
    CHOOSE(dense_backward_inputs)(rows, inputs, outputs, dy, w, x, dx);
}

bool ck_rows_within(bool wide, size_t rows, size_t width, const double *x, const double *lower, const double *upper) {
    return CHOOSE(rows_within)(rows, width, x, lower, upper);
}

void ck_standardise(bool wide, size_t rows, size_t width, const double *x, const double *imputed, const double *centre,
                    const double *scale, double clip, float *y) {
    CHOOSE(standardise)(rows, width, x, imputed, centre, scale, clip, y);
}

void ck_momentum_step(bool wide, size_t n, float rate, float momentum, const float *gradient, float *velocity,
                      float *parameters) {
    CHOOSE(momentum_step)(n, rate, momentum, gradient, velocity, parameters);
}

void ck_adam_step(bool wide, size_t n, float rate, float correction, float beta1, float beta2, float epsilon,
                  const float *gradient, float *first, float *second, float *parameters) {
    CHOOSE(adam_step)(n, rate, correction, beta1, beta2, epsilon, gradient, first, second, parameters);
}
