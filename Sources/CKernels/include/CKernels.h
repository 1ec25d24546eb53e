// The few hot loops of training and prediction: see kernels.inc for what each computes.
// Two forms of each, chosen at run time: AVX2 with FMA, and baseline.
#pragma once

#include <stdbool.h>

// Whether this processor has AVX2 and FMA.
bool ck_has_avx2_fma(void);
