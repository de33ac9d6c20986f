// NEON with the dot-product extension (sdot): signed by signed bytes, so no correction is needed.
#include "doubles.h"
#include "tables.h"
#if defined(__aarch64__)
#include <arm_neon.h>

#define TARGET __attribute__((target("dotprod")))
#define TARGET_INLINE static inline __attribute__((always_inline, target("dotprod")))

TARGET_INLINE int32_t dot(const int8_t *x, const int8_t *y, size_t d) {
    int32x4_t a = vdupq_n_s32(0), b = a;
    size_t i = 0;
    for (; i + 32 <= d; i += 32) {
        a = vdotq_s32(a, vld1q_s8(x + i), vld1q_s8(y + i));
        b = vdotq_s32(b, vld1q_s8(x + i + 16), vld1q_s8(y + i + 16));
    }
    int32_t sum = vaddvq_s32(vaddq_s32(a, b));
    for (; i < d; i++) sum += x[i] * y[i];
    return sum;
}

TARGET static void dots(const int8_t *x, const int8_t *rows, const uint32_t *select, size_t n, size_t d,
                        int32_t *out) {
    for (size_t r = 0; r < n; r++) out[r] = dot(x, svk_row(rows, select, r, d), d);
}

TARGET static void norms(const int8_t *rows, size_t n, size_t d, int32_t *out) {
    for (size_t r = 0; r < n; r++) out[r] = dot(rows + r * d, rows + r * d, d);
}

static void pack(const int8_t *columns, size_t k, size_t d, const int32_t *bias, void *packed) {
    svk_pack_quads(columns, k, d, bias, 0, packed);
}

#define ROWS 4

// Four rows against sixteen columns of a panel, in 16 registers.
TARGET_INLINE void step(int32x4_t sum[ROWS][4], const int8_t *y, const uint32_t x[ROWS]) {
    int8x16_t v[4] = {vld1q_s8(y), vld1q_s8(y + 16), vld1q_s8(y + 32), vld1q_s8(y + 48)};
    for (int r = 0; r < ROWS; r++) {
        int8x16_t a = vreinterpretq_s8_u32(vdupq_n_u32(x[r]));
        for (int j = 0; j < 4; j++) sum[r][j] = vdotq_s32(sum[r][j], v[j], a);
    }
}

TARGET_INLINE void tile(const int8_t *const x[ROWS], size_t d, const int8_t *y, int32x4_t sum[ROWS][4]) {
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < 4; j++) sum[r][j] = vdupq_n_s32(0);
    size_t i = 0;
    for (; i + 4 <= d; i += 4, y += 256) {
        uint32_t a[ROWS] = {svk_load4(x[0] + i), svk_load4(x[1] + i), svk_load4(x[2] + i), svk_load4(x[3] + i)};
        step(sum, y, a);
    }
    if (i < d) {
        uint32_t a[ROWS];
        for (int r = 0; r < ROWS; r++) a[r] = svk_load_tail(x[r] + i, d - i);
        step(sum, y, a);
    }
}

TARGET static void nearest(const int8_t *rows, const uint32_t *select, size_t n, const void *packed, uint32_t *index,
                           int32_t *value, int32_t *second) {
    const svk_header *h = packed;
    for (size_t t = 0; t < n; t += ROWS) {
        const int8_t *x[ROWS];
        int32x4_t best[ROWS];
        int32x4_t next[ROWS];
        int32x4_t block[ROWS];
        size_t height = n - t < ROWS ? n - t : ROWS;
        for (size_t r = 0; r < ROWS; r++) {
            x[r] = svk_row(rows, select, t + (r < height ? r : height - 1), h->d);
            best[r] = next[r] = vdupq_n_s32(INT32_MAX);
            block[r] = vdupq_n_s32(-1);
        }
        for (size_t q = 0; q * 16 < h->k; q++) {
            const svk_panel *panel = svk_panel_at(h, q / 4);
            size_t c = q % 4 * 16;
            int32x4_t sum[ROWS][4];
            tile(x, h->d, panel->data + 4 * c, sum);
            for (int r = 0; r < ROWS; r++)
                for (int j = 0; j < 4; j++) {
                    int32x4_t v = vsubq_s32(vld1q_s32(panel->bias + c + 4 * j), vshlq_n_s32(sum[r][j], 1));
                    uint32x4_t less = vcltq_s32(v, best[r]);
                    next[r] = vminq_s32(next[r], vmaxq_s32(best[r], v));
                    best[r] = vminq_s32(best[r], v);
                    block[r] = vbslq_s32(less, vdupq_n_s32((int32_t)(4 * q) + j), block[r]);
                }
        }
        for (size_t r = 0; r < height; r++) {
            int32_t v[4], b[4], least = INT32_MAX, rest = vminvq_s32(next[r]);
            uint32_t at = UINT32_MAX;
            vst1q_s32(v, best[r]);
            vst1q_s32(b, block[r]);
            for (uint32_t lane = 0; lane < 4; lane++) {
                uint32_t column = (uint32_t)b[lane] * 4 + lane;
                if (b[lane] >= 0 && (v[lane] < least || (v[lane] == least && column < at))) {
                    least = v[lane];
                    at = column;
                }
            }
            for (uint32_t lane = 0; lane < 4; lane++)
                if (lane != at % 4 && v[lane] < rest) rest = v[lane];
            index[t + r] = at;
            value[t + r] = least;
            if (second) second[t + r] = rest;
        }
    }
}

TARGET static void products(const int8_t *rows, size_t n, const void *packed, int32_t *out, size_t stride) {
    const svk_header *h = packed;
    for (size_t t = 0; t < n; t += ROWS) {
        const int8_t *x[ROWS];
        size_t height = n - t < ROWS ? n - t : ROWS;
        for (size_t r = 0; r < ROWS; r++) x[r] = rows + (t + (r < height ? r : height - 1)) * h->d;
        for (size_t q = 0; q * 16 < h->k; q++) {
            int32x4_t sum[ROWS][4];
            size_t width = h->k - q * 16 < 16 ? h->k - q * 16 : 16;
            tile(x, h->d, svk_panel_at(h, q / 4)->data + q % 4 * 64, sum);
            for (size_t r = 0; r < height; r++) memcpy(out + (t + r) * stride + q * 16, sum[r], width * 4);
        }
    }
}

TARGET static void sums(const int8_t *rows, const uint32_t *select, size_t n, size_t d, int64_t *out) {
    for (size_t first = 0; first < n; first += 255) {
        size_t height = n - first < 255 ? n - first : 255, i = 0;
        for (; i + 16 <= d; i += 16) {
            int16x8_t a = vdupq_n_s16(0), b = a;
            for (size_t r = 0; r < height; r++) {
                int8x16_t v = vld1q_s8(svk_row(rows, select, first + r, d) + i);
                a = vaddw_s8(a, vget_low_s8(v));
                b = vaddw_high_s8(b, v);
            }
            int16_t part[16];
            vst1q_s16(part, a);
            vst1q_s16(part + 8, b);
            for (size_t j = 0; j < 16; j++) out[i + j] += part[j];
        }
        for (; i < d; i++)
            for (size_t r = 0; r < height; r++) out[i] += svk_row(rows, select, first + r, d)[i];
    }
}

TARGET static void gram(const void *a, const void *b, size_t n, size_t rows_out, size_t columns_out, int64_t *out,
                        size_t stride) {
    size_t groups = (n + 3) / 4;
    for (size_t i = 0; i < rows_out; i += ROWS)
        for (size_t c = 0; c < columns_out; c += 16) {
            int32x4_t sum[ROWS][4];
            size_t o[ROWS];
            for (size_t r = 0; r < ROWS; r++) {
                o[r] = 4 * (i + r < rows_out ? i + r : rows_out - 1);
                for (int j = 0; j < 4; j++) sum[r][j] = vdupq_n_s32(0);
            }
            const int8_t *x = a, *y = (const int8_t *)b + 4 * c;
            for (size_t g = 0; g < groups; g++, x += 256, y += 256) {
                uint32_t u[ROWS];
                for (int r = 0; r < ROWS; r++) u[r] = svk_load4(x + o[r]);
                step(sum, y, u);
            }
            int32_t part[ROWS][16];
            for (int r = 0; r < ROWS; r++)
                for (int j = 0; j < 4; j++) vst1q_s32(part[r] + 4 * j, sum[r][j]);
            for (size_t r = 0; r < ROWS && i + r < rows_out; r++)
                for (size_t j = 0; j < 16 && c + j < columns_out; j++) out[(i + r) * stride + c + j] += part[r][j];
        }
}

SVK_DOUBLE_KERNELS(TARGET, 1)
SVK_TABLE_KERNEL(TARGET, 4)

static void weighted(const int8_t *rows, const uint32_t *select, const int16_t *weight, size_t n, size_t d,
                     int32_t *out) {
    svk_weighted_from(0, rows, select, weight, n, d, out);
}

const svk_kernels svk_neon_kernels = {
    .path = SVK_NEON, .name = "neon", .dots = dots, .norms = norms, .pack = pack, .nearest = nearest,
    .products = products, .sums = sums, .weighted = weighted, .interleave = svk_interleave_quads, .gram = gram,
    SVK_DOUBLE_TABLE, .add_rows = add_rows,
};
#endif
