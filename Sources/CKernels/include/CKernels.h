// The few hot loops of training and prediction. Each has two forms, built from the same source
// (kernels.inc): AVX2 with FMA, and baseline. `wide` chooses, so that a test can force either;
// asking for the wide form on a processor without it is the caller's mistake.
//
// All matrices are row-major and dense, all pointers are to distinct memory. No allocation, no state,
// a fixed order of summation for each form: same inputs and same form, same bits.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Whether this processor has AVX2 and FMA.
bool ck_has_avx2_fma(void);

// Sum of a[i] * b[i].
float ck_dot(bool wide, size_t n, const float *a, const float *b);

// y[i] += scale * x[i].
void ck_axpy(bool wide, size_t n, float scale, const float *x, float *y);

// y[r][o] = bias[o] + sum over i of x[r][i] * w[o][i]; negative results become 0 when `rectified`.
// x: rows * inputs, w: outputs * inputs, y: rows * outputs.
void ck_dense_forward(bool wide, size_t rows, size_t inputs, size_t outputs, const float *x, const float *w,
                      const float *bias, float *y, bool rectified);

// The same with weights in blocks of eight outputs: w[o / 8][i][o % 8], and bias, with zeros for what the last block lacks.
void ck_packed_forward(bool wide, size_t rows, size_t inputs, size_t outputs, const float *x, const float *w,
                       const float *bias, float *y, bool rectified);

// dw[o][i] += sum over r of dy[r][o] * x[r][i];  db[o] += sum over r of dy[r][o].
void ck_dense_backward_weights(bool wide, size_t rows, size_t inputs, size_t outputs, const float *dy,
                               const float *x, float *dw, float *db);

// dx[r][i] = sum over o of dy[r][o] * w[o][i], or 0 where the activation x[r][i] is not above 0
// (x is the rectified output of the layer below).
void ck_dense_backward_inputs(bool wide, size_t rows, size_t inputs, size_t outputs, const float *dy,
                              const float *w, const float *x, float *dx);

// Whether lower[i] <= x[r][i] <= upper[i] everywhere; false for NaN. x: rows * width.
bool ck_rows_within(bool wide, size_t rows, size_t width, const double *x, const double *lower, const double *upper);

// y[r][i] = (x[r][i] - centre[i]) / scale[i], cut at -clip and clip; imputed[i] in the place of NaN. x, y: rows * width.
void ck_standardise(bool wide, size_t rows, size_t width, const double *x, const double *imputed, const double *centre,
                    const double *scale, double clip, float *y);

// velocity = momentum * velocity + gradient;  parameters -= rate * velocity.
void ck_momentum_step(bool wide, size_t n, float rate, float momentum, const float *gradient, float *velocity,
                      float *parameters);

// One step of Adam (Kingma and Ba 2015): first and second moments decay by beta1 and beta2, and
// parameters -= rate * first / (sqrt(second * correction) + epsilon).
// The caller folds the bias corrections into `rate` (divided by 1 - beta1^t) and `correction` (1 / (1 - beta2^t)).
void ck_adam_step(bool wide, size_t n, float rate, float correction, float beta1, float beta2, float epsilon,
                  const float *gradient, float *first, float *second, float *parameters);

// Masks of secure aggregation: AES-256-CTR keystreams over 32-bit words, for processors with VAES and AVX-512.
// Elsewhere the two functions below stop the program; OpenSSL does the work there.
bool ck_has_vector_aes(void);

// The fifteen round keys of a 32-byte key.
enum { CK_MASK_SCHEDULE_BYTES = 240 };
void ck_mask_schedule(const uint8_t *key, uint8_t *schedule);

// words[i] += or -= the keystream's word i, little-endian, mod 2^32. The first counter block is `block` as a
// big-endian number in 16 bytes; n / 4 + block stays below 2^32.
void ck_mask_add(const uint8_t *schedule, bool added, uint32_t block, size_t n, uint32_t *words);

// squares[r] = sum over i of x[r][i]^2, in double precision.
void ck_row_squares(bool wide, size_t rows, size_t columns, const float *x, double *squares);

// x[r][i] *= scale[r].
void ck_scale_rows(bool wide, size_t rows, size_t columns, const float *scale, float *x);

// Sums of products rounded to whole numbers, ties to even, modulo 2^32:
// dw[o][i] += sum over r of round(dy[r][o] * x[r][i]);  db[o] += sum over r of round(dy[r][o]).
// Every product and every dy is below 2^22 in size.
void ck_lattice_gradient(bool wide, size_t rows, size_t inputs, size_t outputs, const float *dy, const float *x,
                         uint32_t *dw, uint32_t *db);
