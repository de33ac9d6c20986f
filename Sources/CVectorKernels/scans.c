// Plain loops shared by all paths: the compiler vectorises them, or memory bandwidth limits them.
#include "paths.h"
#include <math.h>
#pragma STDC FP_CONTRACT OFF

void svk_fold_least(const uint32_t *select, size_t n, const uint32_t *index, const int32_t *value,
                    const int32_t *norm, int32_t *least, int32_t *owner, int32_t base) {
    if (select) {
        for (size_t t = 0; t < n; t++) {
            size_t row = select[t];
            int32_t distance = value[t] + norm[row];
            if (distance < least[row]) {
                least[row] = distance;
                owner[row] = base + (int32_t)index[t];
            }
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        int32_t distance = value[i] + norm[i];
        int closer = distance < least[i];
        least[i] = closer ? distance : least[i];
        owner[i] = closer ? base + (int32_t)index[i] : owner[i];
    }
}

size_t svk_unsettled(const int32_t *least, const int32_t *owner, size_t n, const int32_t *reach, int32_t shift,
                     uint32_t *out) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        out[count] = (uint32_t)i;
        count += (int64_t)reach[owner[i] + shift] < 4 * (int64_t)least[i];
    }
    return count;
}

size_t svk_at_least(const int32_t *value, size_t n, int32_t threshold, uint32_t *out) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        out[count] = (uint32_t)i;
        count += value[i] >= threshold;
    }
    return count;
}

// Eight partial sums, to avoid a dependency chain; the order affects the result.
#define SVK_SQUARE_SUM(x, d, total)                                                                         \
    double part[8] = {0};                                                                                   \
    size_t i = 0;                                                                                           \
    for (; i + 8 <= d; i += 8)                                                                              \
        for (size_t l = 0; l < 8; l++) part[l] += (double)x[i + l] * (double)x[i + l];                      \
    for (; i < d; i++) part[i % 8] += (double)x[i] * (double)x[i];                                          \
    double total = ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]))

// Adding and subtracting 1.5 * 2^52 rounds a small Double to an integer, half to even.
#define SVK_ROUND_ROW(x, d, factor, out)                                                                    \
    for (size_t j = 0; j < d; j++) {                                                                        \
        double q = (double)x[j] * factor;                                                                   \
        q = q > 127 ? 127 : q < -127 ? -127 : q;                                                            \
        out[j] = (int8_t)(int32_t)((q + 6755399441055744.0) - 6755399441055744.0);                          \
    }

size_t svk_quantise(const float *x, size_t n, size_t d, double scale, int8_t *out) {
    for (size_t r = 0; r < n; r++, x += d, out += d) {
        SVK_SQUARE_SUM(x, d, total);
        if (!(total < INFINITY)) return r;
        double factor = total > 0 ? scale / sqrt(total) : 0;
        SVK_ROUND_ROW(x, d, factor, out);
    }
    return n;
}

size_t svk_quantise_integers(const int32_t *x, size_t n, size_t d, double scale, int8_t *out) {
    for (size_t r = 0; r < n; r++, x += d, out += d) {
        SVK_SQUARE_SUM(x, d, total);
        double factor = total > 0 ? scale / sqrt(total) : 0;
        SVK_ROUND_ROW(x, d, factor, out);
    }
    return n;
}

void svk_gains(const int32_t *product, size_t stride, size_t n, size_t k, const int32_t *norm,
               const int32_t *column_norm, const int32_t *least, int64_t *gain) {
    for (size_t r = 0; r < n; r++) {
        const int32_t *row = product + r * stride, room = least[r] - norm[r];
        for (size_t c = 0; c < k; c++) {
            int32_t won = room - column_norm[c] + 2 * row[c];
            gain[c] += won > 0 ? won : 0;
        }
    }
}
