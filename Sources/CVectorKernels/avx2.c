// AVX2: Int8 widened to Int16, multiplied and added in pairs (vpmaddwd), exact for every value.
#include "doubles.h"
#include "tables.h"
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdlib.h>

#define TARGET __attribute__((target("avx2")))
#define TARGET_INLINE static inline __attribute__((always_inline, target("avx2")))

TARGET_INLINE int32_t total(__m256i v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1));
    return _mm_cvtsi128_si32(s);
}

TARGET_INLINE __m256i widen(const int8_t *p) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p)); }

TARGET static void dots(const int8_t *x, const int8_t *rows, const uint32_t *select, size_t n, size_t d,
                        int32_t *out) {
    int16_t wide[SVK_MAX_DIMENSION];
    for (size_t i = 0; i < d; i++) wide[i] = x[i];
    for (size_t r = 0; r < n; r++) {
        const int8_t *row = svk_row(rows, select, r, d);
        __m256i a = _mm256_setzero_si256(), b = a;
        size_t i = 0;
        for (; i + 32 <= d; i += 32) {
            a = _mm256_add_epi32(a, _mm256_madd_epi16(widen(row + i), _mm256_loadu_si256((const __m256i *)(wide + i))));
            b = _mm256_add_epi32(
                b, _mm256_madd_epi16(widen(row + i + 16), _mm256_loadu_si256((const __m256i *)(wide + i + 16))));
        }
        int32_t sum = total(_mm256_add_epi32(a, b));
        for (; i < d; i++) sum += wide[i] * row[i];
        out[r] = sum;
    }
}

TARGET static void norms(const int8_t *rows, size_t n, size_t d, int32_t *out) {
    for (size_t r = 0; r < n; r++, rows += d) {
        __m256i a = _mm256_setzero_si256();
        size_t i = 0;
        for (; i + 16 <= d; i += 16) {
            __m256i v = widen(rows + i);
            a = _mm256_add_epi32(a, _mm256_madd_epi16(v, v));
        }
        int32_t sum = total(a);
        for (; i < d; i++) sum += rows[i] * rows[i];
        out[r] = sum;
    }
}

// Six rows by sixteen columns: x holds pairs of Int16, `x_step` apart from group to group.
TARGET_INLINE void tile(const int32_t *const x[6], size_t x_step, size_t groups, const int8_t *y, __m256i sum[6][2]) {
    for (int r = 0; r < 6; r++) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    for (size_t g = 0; g < groups; g++, y += 256) {
        __m256i y0 = _mm256_loadu_si256((const __m256i *)y), y1 = _mm256_loadu_si256((const __m256i *)(y + 32));
#pragma clang loop unroll(full)
        for (int r = 0; r < 6; r++) {
            __m256i a = _mm256_set1_epi32(x[r][g * x_step]);
            sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(a, y0));
            sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(a, y1));
        }
    }
}

#define BLOCK 24

// BLOCK rows as Int16 pairs, each padded to whole groups.
TARGET static void widen_rows(const int8_t *rows, const uint32_t *select, size_t first, size_t height, size_t d,
                              int16_t *to) {
    size_t step = (d + 1) / 2 * 2;
    for (size_t r = 0; r < height; r++) {
        const int8_t *row = svk_row(rows, select, first + r, d);
        for (size_t i = 0; i < d; i++) to[r * step + i] = row[i];
        if (step > d) to[r * step + d] = 0;
    }
}

TARGET static void nearest(const int8_t *rows, const uint32_t *select, size_t n, const void *packed, uint32_t *index,
                           int32_t *value, int32_t *second) {
    const svk_header *h = packed;
    size_t d = h->d, groups = (d + 1) / 2;
    int16_t *wide = malloc(BLOCK * groups * 4);
    for (size_t first = 0; first < n; first += BLOCK) {
        size_t height = n - first < BLOCK ? n - first : BLOCK;
        __m256i best[BLOCK], next[BLOCK], block[BLOCK];
        widen_rows(rows, select, first, height, d, wide);
        for (size_t r = 0; r < BLOCK; r++) {
            best[r] = next[r] = _mm256_set1_epi32(INT32_MAX);
            block[r] = _mm256_set1_epi32(-1);
        }
        for (size_t q = 0; q * 16 < h->k; q++) {
            const svk_panel *panel = svk_panel_at(h, q / 4);
            size_t c = q % 4 * 16;
            __m256i bias0 = _mm256_loadu_si256((const __m256i *)(panel->bias + c));
            __m256i bias1 = _mm256_loadu_si256((const __m256i *)(panel->bias + c + 8));
            for (size_t t = 0; t < height; t += 6) {
                const int32_t *x[6];
                __m256i sum[6][2];
                for (size_t r = 0; r < 6; r++)
                    x[r] = (const int32_t *)wide + (t + r < height ? t + r : height - 1) * groups;
                tile(x, 1, groups, panel->data + 4 * c, sum);
                for (size_t r = 0; r < 6 && t + r < height; r++)
                    for (int j = 0; j < 2; j++) {
                        __m256i v = _mm256_sub_epi32(j ? bias1 : bias0, _mm256_slli_epi32(sum[r][j], 1));
                        __m256i less = _mm256_cmpgt_epi32(best[t + r], v);
                        next[t + r] = _mm256_min_epi32(next[t + r], _mm256_max_epi32(best[t + r], v));
                        best[t + r] = _mm256_blendv_epi8(best[t + r], v, less);
                        block[t + r] = _mm256_blendv_epi8(block[t + r], _mm256_set1_epi32((int)(2 * q) + j), less);
                    }
            }
        }
        for (size_t r = 0; r < height; r++) {
            int32_t v[8], s[8], b[8], least = INT32_MAX, rest = INT32_MAX;
            uint32_t at = UINT32_MAX;
            _mm256_storeu_si256((__m256i *)s, next[r]);
            _mm256_storeu_si256((__m256i *)v, best[r]);
            _mm256_storeu_si256((__m256i *)b, block[r]);
            for (uint32_t lane = 0; lane < 8; lane++) {
                uint32_t column = (uint32_t)b[lane] * 8 + lane;
                if (b[lane] >= 0 && (v[lane] < least || (v[lane] == least && column < at))) {
                    least = v[lane];
                    at = column;
                }
            }
            for (uint32_t lane = 0; lane < 8; lane++) {
                int32_t other = lane == at % 8 ? s[lane] : v[lane];
                if (other < rest) rest = other;
            }
            index[first + r] = at;
            value[first + r] = least;
            if (second) second[first + r] = rest;
        }
    }
    free(wide);
}

TARGET static void products(const int8_t *rows, size_t n, const void *packed, int32_t *out, size_t stride) {
    const svk_header *h = packed;
    size_t d = h->d, groups = (d + 1) / 2;
    int16_t *wide = malloc(BLOCK * groups * 4);
    for (size_t first = 0; first < n; first += BLOCK) {
        size_t height = n - first < BLOCK ? n - first : BLOCK;
        widen_rows(rows, NULL, first, height, d, wide);
        for (size_t q = 0; q < 4 * h->panels && q * 16 < h->k; q++)
            for (size_t t = 0; t < height; t += 6) {
                const int32_t *x[6];
                __m256i sum[6][2];
                size_t width = h->k - q * 16 < 16 ? h->k - q * 16 : 16;
                for (size_t r = 0; r < 6; r++)
                    x[r] = (const int32_t *)wide + (t + r < height ? t + r : height - 1) * groups;
                tile(x, 1, groups, svk_panel_at(h, q / 4)->data + q % 4 * 64, sum);
                for (size_t r = 0; r < 6 && t + r < height; r++)
                    memcpy(out + (first + t + r) * stride + q * 16, sum[r], width * 4);
            }
    }
    free(wide);
}

TARGET static void sums(const int8_t *rows, const uint32_t *select, size_t n, size_t d, int64_t *out) {
    for (size_t first = 0; first < n; first += 255) {
        size_t height = n - first < 255 ? n - first : 255, i = 0;
        for (; i + 32 <= d; i += 32) {
            __m256i a = _mm256_setzero_si256(), b = a;
            for (size_t r = 0; r < height; r++) {
                const int8_t *row = svk_row(rows, select, first + r, d) + i;
                a = _mm256_add_epi16(a, widen(row));
                b = _mm256_add_epi16(b, widen(row + 16));
            }
            int16_t part[32];
            memcpy(part, &a, 32);
            memcpy(part + 16, &b, 32);
            for (size_t j = 0; j < 32; j++) out[i + j] += part[j];
        }
        for (; i < d; i++) {
            int32_t sum = 0;
            for (size_t r = 0; r < height; r++) sum += svk_row(rows, select, first + r, d)[i];
            out[i] += sum;
        }
    }
}

TARGET static void gram(const void *a, const void *b, size_t n, size_t rows_out, size_t columns_out, int64_t *out,
                        size_t stride) {
    for (size_t i = 0; i < rows_out; i += 6)
        for (size_t c = 0; c < columns_out; c += 16) {
            const int32_t *x[6];
            __m256i sum[6][2];
            int32_t part[6][16];
            for (size_t r = 0; r < 6; r++) x[r] = (const int32_t *)a + (i + r < rows_out ? i + r : rows_out - 1);
            tile(x, SVK_PANEL, (n + 1) / 2, (const int8_t *)b + 4 * c, sum);
            memcpy(part, sum, sizeof part);
            for (size_t r = 0; r < 6 && i + r < rows_out; r++)
                for (size_t j = 0; j < 16 && c + j < columns_out; j++) out[(i + r) * stride + c + j] += part[r][j];
        }
}

SVK_DOUBLE_KERNELS(TARGET, 2)
SVK_TABLE_KERNEL(TARGET, 4)

// 64 components of all rows, two rows at a time as pairs of Int16.
TARGET static void weighted(const int8_t *rows, const uint32_t *select, const int16_t *weight, size_t n, size_t d,
                            int32_t *out) {
    size_t i = 0;
    for (; i + 64 <= d; i += 64) {
        __m256i sum[4][2];
        for (int t = 0; t < 4; t++) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
        for (size_t r = 0; r < n; r += 2) {
            const int8_t *a = svk_row(rows, select, r, d) + i, *b = r + 1 < n ? svk_row(rows, select, r + 1, d) + i : a;
            uint32_t pair = (uint16_t)weight[r] | (r + 1 < n ? (uint32_t)(uint16_t)weight[r + 1] << 16 : 0);
            const __m256i w = _mm256_set1_epi32((int32_t)pair);
#pragma clang loop unroll(full)
            for (int t = 0; t < 4; t++) {
                __m256i x = widen(a + 16 * t), y = widen(b + 16 * t);
                sum[t][0] = _mm256_add_epi32(sum[t][0], _mm256_madd_epi16(_mm256_unpacklo_epi16(x, y), w));
                sum[t][1] = _mm256_add_epi32(sum[t][1], _mm256_madd_epi16(_mm256_unpackhi_epi16(x, y), w));
            }
        }
        for (int t = 0; t < 4; t++) {
            __m256i *to = (__m256i *)(out + i + 16 * t);
            __m256i front = _mm256_permute2x128_si256(sum[t][0], sum[t][1], 0x20);
            __m256i back = _mm256_permute2x128_si256(sum[t][0], sum[t][1], 0x31);
            _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), front));
            _mm256_storeu_si256(to + 1, _mm256_add_epi32(_mm256_loadu_si256(to + 1), back));
        }
    }
    if (i < d) svk_weighted_from(i, rows, select, weight, n, d, out);
}

const svk_kernels svk_avx2_kernels = {
    .path = SVK_AVX2, .name = "avx2", .dots = dots, .norms = norms, .pack = svk_pack_pairs, .nearest = nearest,
    .products = products, .sums = sums, .weighted = weighted, .interleave = svk_interleave_pairs, .gram = gram,
    SVK_DOUBLE_TABLE, .add_rows = add_rows,
};
#endif
