#pragma once
// Sums of rows of a table of Float, half precision or Int8, written once over vectors of sixteen numbers and compiled for
// every path, like doubles.h.
#include "paths.h"
#pragma STDC FP_CONTRACT OFF

typedef float svk_f16s __attribute__((vector_size(64), aligned(4)));
typedef int32_t svk_i16s __attribute__((vector_size(64), aligned(4)));
typedef int16_t svk_h16s __attribute__((vector_size(32), aligned(1)));
typedef int8_t svk_b16s __attribute__((vector_size(16), aligned(1)));
typedef float svk_u16s __attribute__((vector_size(64), aligned(1)));

// In single precision the exponent and the fraction of half precision lie 13 bits higher, and the exponent counts from
// 112 more. The sign, copied to the bits above by widening, stays where it is. Exact for all but infinities and NaN.
#define SVK_HALF_MASK ((int32_t)0x8FFFE000)
#define SVK_HALF_SCALE 0x1p112f

// *sum += weight * the sixteen numbers at p. Vectors this wide are no results of functions in the baseline's ABI.
SVK_INLINE void svk_add_sixteen(const int kind, const char *p, float weight, svk_f16s *sum) {
    svk_f16s x;
    if (kind == SVK_F32) {
        x = (svk_f16s) * (const svk_u16s *)p;
    } else if (kind == SVK_I8) {
        x = __builtin_convertvector(*(const svk_b16s *)p, svk_f16s);
    } else {
        svk_i16s bits = __builtin_convertvector(*(const svk_h16s *)p, svk_i16s) << 13 & SVK_HALF_MASK;
        x = (svk_f16s)bits * SVK_HALF_SCALE;
    }
    svk_f16s product = weight * x;
    *sum = *sum + product;
}

SVK_INLINE float svk_one(const int kind, const char *p) {
    float number;
    int16_t half;
    int32_t bits;
    switch (kind) {
    case SVK_F32:
        memcpy(&number, p, 4);
        return number;
    case SVK_I8:
        return (float)*(const int8_t *)p;
    default:
        memcpy(&half, p, 2);
        bits = (int32_t)((uint32_t)(int32_t)half << 13) & SVK_HALF_MASK;
        memcpy(&number, &bits, 4);
        return number * SVK_HALF_SCALE;
    }
}

// `V` vectors of columns of all rows, the sums in registers. Rows may be anywhere, so they are prefetched.
SVK_INLINE void svk_add_columns(const int V, const int kind, const size_t size, const char *table, size_t stride,
                                const uint32_t *rows, const float *weight, size_t n, size_t first, float *sums) {
    enum { AHEAD = 6 };
    svk_f16s sum[8];
    for (int v = 0; v < V; v++) sum[v] = *(const svk_f16s *)(sums + first + 16 * v);
    for (size_t r = 0; r < n; r++) {
        if (r + AHEAD < n) {
            const char *next = table + rows[r + AHEAD] * stride + first * size;
            for (size_t byte = 0; byte < 16 * size * (size_t)V; byte += 64) __builtin_prefetch(next + byte);
        }
        const char *row = table + rows[r] * stride + first * size;
        for (int v = 0; v < V; v++) svk_add_sixteen(kind, row + 16 * v * size, weight[r], &sum[v]);
    }
    for (int v = 0; v < V; v++) *(svk_f16s *)(sums + first + 16 * v) = sum[v];
}

SVK_INLINE void svk_add_rows_all(const int V, const int kind, const size_t size, const char *table, size_t stride,
                                 const uint32_t *rows, const float *weight, size_t n, size_t d, float *sums) {
    size_t first = 0;
    for (; first + 16 * (size_t)V <= d; first += 16 * (size_t)V)
        svk_add_columns(V, kind, size, table, stride, rows, weight, n, first, sums);
    for (; first + 16 <= d; first += 16) svk_add_columns(1, kind, size, table, stride, rows, weight, n, first, sums);
    for (size_t r = 0; r < n; r++)
        for (size_t i = first; i < d; i++) {
            float product = weight[r] * svk_one(kind, table + rows[r] * stride + i * size);
            sums[i] = sums[i] + product;
        }
}

// The function of a path: `target` is its attribute, V the vectors of sixteen sums that its registers hold.
#define SVK_TABLE_KERNEL(target, V)                                                                              \
    target static void add_rows(int kind, const void *table, size_t stride, const uint32_t *rows,                \
                                const float *weight, size_t n, size_t d, float *sums) {                          \
        switch (kind) {                                                                                          \
        case SVK_F32:                                                                                            \
            svk_add_rows_all(V, SVK_F32, 4, table, stride, rows, weight, n, d, sums);                            \
            break;                                                                                               \
        case SVK_F16:                                                                                            \
            svk_add_rows_all(V, SVK_F16, 2, table, stride, rows, weight, n, d, sums);                            \
            break;                                                                                               \
        default:                                                                                                 \
            svk_add_rows_all(V, SVK_I8, 1, table, stride, rows, weight, n, d, sums);                             \
        }                                                                                                        \
    }
