// AVX-512 VNNI: vpdpbusd multiplies unsigned by signed bytes, so one side is shifted by +128 (its sign bit flipped) and
// 128 times the other side's sum is subtracted. This is exact, since even 255 * 128 * 8192 fits Int32.
#include "doubles.h"
#include "tables.h"
#if defined(__x86_64__)
#include <immintrin.h>
#define FEATURES "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
#define TARGET __attribute__((target(FEATURES)))
#define TARGET_INLINE static inline __attribute__((always_inline, target(FEATURES)))

TARGET_INLINE __mmask64 low(size_t bytes) { return bytes >= 64 ? ~0ull : (1ull << bytes) - 1; }

TARGET_INLINE void dots_of(const int8_t *x, const int8_t *rows, const uint32_t *select, size_t n, size_t d,
                           int32_t *out) {
    _Alignas(64) int8_t centre[SVK_MAX_DIMENSION];
    size_t whole = d / 64 * 64;
    __mmask64 tail = low(d - whole);
    int32_t shift = 0;
    memcpy(centre, x, d);
    for (size_t i = 0; i < d; i++) shift += x[i];
    if (tail) memset(centre + d, 0, whole + 64 - d);
    shift *= 128;
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    size_t r = 0;
    for (; r + 4 <= n; r += 4) {
        const int8_t *a = svk_row(rows, select, r, d), *b = svk_row(rows, select, r + 1, d);
        const int8_t *c = svk_row(rows, select, r + 2, d), *e = svk_row(rows, select, r + 3, d);
        if (select)
            for (size_t ahead = r + 8; ahead < r + 12 && ahead < n; ahead++)
                for (size_t i = 0; i < d; i += 64) _mm_prefetch((const char *)rows + select[ahead] * d + i, _MM_HINT_T0);
        __m512i sa = _mm512_setzero_si512(), sb = sa, sc = sa, se = sa;
        size_t i = 0;
        for (; i < whole; i += 64) {
            __m512i v = _mm512_load_si512(centre + i);
            sa = _mm512_dpbusd_epi32(sa, _mm512_xor_si512(_mm512_loadu_si512(a + i), flip), v);
            sb = _mm512_dpbusd_epi32(sb, _mm512_xor_si512(_mm512_loadu_si512(b + i), flip), v);
            sc = _mm512_dpbusd_epi32(sc, _mm512_xor_si512(_mm512_loadu_si512(c + i), flip), v);
            se = _mm512_dpbusd_epi32(se, _mm512_xor_si512(_mm512_loadu_si512(e + i), flip), v);
        }
        if (tail) {
            __m512i v = _mm512_load_si512(centre + i);
            sa = _mm512_dpbusd_epi32(sa, _mm512_xor_si512(_mm512_maskz_loadu_epi8(tail, a + i), flip), v);
            sb = _mm512_dpbusd_epi32(sb, _mm512_xor_si512(_mm512_maskz_loadu_epi8(tail, b + i), flip), v);
            sc = _mm512_dpbusd_epi32(sc, _mm512_xor_si512(_mm512_maskz_loadu_epi8(tail, c + i), flip), v);
            se = _mm512_dpbusd_epi32(se, _mm512_xor_si512(_mm512_maskz_loadu_epi8(tail, e + i), flip), v);
        }
        out[r] = _mm512_reduce_add_epi32(sa) - shift;
        out[r + 1] = _mm512_reduce_add_epi32(sb) - shift;
        out[r + 2] = _mm512_reduce_add_epi32(sc) - shift;
        out[r + 3] = _mm512_reduce_add_epi32(se) - shift;
    }
    for (; r < n; r++) {
        const int8_t *a = svk_row(rows, select, r, d);
        __m512i sa = _mm512_setzero_si512();
        for (size_t i = 0; i < d; i += 64)
            sa = _mm512_dpbusd_epi32(sa, _mm512_xor_si512(_mm512_maskz_loadu_epi8(low(d - i), a + i), flip),
                                     _mm512_load_si512(centre + i));
        out[r] = _mm512_reduce_add_epi32(sa) - shift;
    }
}

// Two calls, so that row addresses are plain sums if none are selected.
TARGET static void dots(const int8_t *x, const int8_t *rows, const uint32_t *select, size_t n, size_t d,
                        int32_t *out) {
    if (select) dots_of(x, rows, select, n, d, out);
    else dots_of(x, rows, NULL, n, d, out);
}

// (x + 128) x - 128 x = x^2: the same trick with the row itself on both sides.
TARGET static void norms(const int8_t *rows, size_t n, size_t d, int32_t *out) {
    const __m512i flip = _mm512_set1_epi8((char)0x80), ones = _mm512_set1_epi8(1);
    size_t whole = d / 64 * 64;
    __mmask64 tail = low(d - whole);
    for (size_t r = 0; r < n; r++, rows += d) {
        __m512i a = _mm512_setzero_si512(), b = a;
        for (size_t i = 0; i < whole; i += 64) {
            __m512i v = _mm512_loadu_si512(rows + i);
            a = _mm512_dpbusd_epi32(a, _mm512_xor_si512(v, flip), v);
            b = _mm512_dpbusd_epi32(b, ones, v);
        }
        if (tail) {
            __m512i v = _mm512_maskz_loadu_epi8(tail, rows + whole);
            a = _mm512_dpbusd_epi32(a, _mm512_xor_si512(v, flip), v);
            b = _mm512_dpbusd_epi32(b, ones, v);
        }
        out[r] = _mm512_reduce_add_epi32(_mm512_sub_epi32(a, _mm512_slli_epi32(b, 7)));
    }
}

static void pack(const int8_t *columns, size_t k, size_t d, const int32_t *bias, void *packed) {
    svk_pack_quads(columns, k, d, bias, -128, packed);
}

#define ROWS 6

// One group of four components: six rows by 16 J columns.
TARGET_INLINE void step(const int J, __m512i sum[ROWS][4], const int8_t *from, const uint32_t x[ROWS]) {
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    __m512i y[4];
    for (int j = 0; j < J; j++) y[j] = _mm512_loadu_si512(from + 64 * j);
#pragma clang loop unroll(full)
    for (int r = 0; r < ROWS; r++) {
        __m512i a = _mm512_xor_si512(_mm512_set1_epi32((int)x[r]), flip);
#pragma clang loop unroll(full)
        for (int j = 0; j < J; j++) sum[r][j] = _mm512_dpbusd_epi32(sum[r][j], a, y[j]);
    }
}

TARGET_INLINE void tile_of(const int J, const int8_t *const x[ROWS], size_t d, const svk_panel *panel,
                           __m512i sum[ROWS][4]) {
    const int8_t *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3], *x4 = x[4], *x5 = x[5], *from = panel->data;
    for (int j = 0; j < J; j++) {
        __m512i start = _mm512_loadu_si512(panel->start + 16 * j);
        for (int r = 0; r < ROWS; r++) sum[r][j] = start;
    }
    size_t i = 0;
    for (; i + 4 <= d; i += 4, from += 256) {
        uint32_t a[ROWS] = {svk_load4(x0 + i), svk_load4(x1 + i), svk_load4(x2 + i),
                            svk_load4(x3 + i), svk_load4(x4 + i), svk_load4(x5 + i)};
        step(J, sum, from, a);
    }
    if (i < d) {
        uint32_t a[ROWS] = {svk_load_tail(x0 + i, d - i), svk_load_tail(x1 + i, d - i), svk_load_tail(x2 + i, d - i),
                            svk_load_tail(x3 + i, d - i), svk_load_tail(x4 + i, d - i), svk_load_tail(x5 + i, d - i)};
        step(J, sum, from, a);
    }
}

// Six rows against one panel, in 24 registers; only the columns in use, in steps of 16, 32 and 64 of its 64. The sums
// of the others do not change.
TARGET_INLINE void tile(const int8_t *const x[ROWS], size_t d, const svk_panel *panel, size_t width,
                        __m512i sum[ROWS][4]) {
    if (width > 32) tile_of(4, x, d, panel, sum);
    else if (width > 16) tile_of(2, x, d, panel, sum);
    else tile_of(1, x, d, panel, sum);
}

TARGET_INLINE size_t panel_width(const svk_header *h, size_t p) {
    return h->k - p * SVK_PANEL < SVK_PANEL ? h->k - p * SVK_PANEL : SVK_PANEL;
}

#define BLOCK 48

TARGET_INLINE void nearest_of(const int two, const int8_t *rows, const uint32_t *select, size_t n, const void *packed,
                              uint32_t *index, int32_t *value, int32_t *second) {
    const svk_header *h = packed;
    const size_t d = h->d;
    const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    for (size_t first = 0; first < n; first += BLOCK) {
        size_t height = n - first < BLOCK ? n - first : BLOCK;
        __m512i best[BLOCK], next[BLOCK], block[BLOCK];
        for (size_t r = 0; r < BLOCK; r++) {
            best[r] = next[r] = _mm512_set1_epi32(INT32_MAX);
            block[r] = _mm512_set1_epi32(-1);
        }
        for (size_t p = 0; p < h->panels; p++) {
            const svk_panel *panel = svk_panel_at(h, p);
            for (size_t t = 0; t < height; t += ROWS) {
                const int8_t *x[ROWS];
                __m512i sum[ROWS][4];
                for (size_t r = 0; r < ROWS; r++) {
                    x[r] = svk_row(rows, select, first + (t + r < height ? t + r : height - 1), d);
                    for (int j = 0; j < 4; j++) sum[r][j] = _mm512_setzero_si512();
                }
                // Selected rows may be anywhere: prefetch those of the next block while this one is processed.
                if (select && p == 0)
                    for (size_t r = first + BLOCK + t; r < n && r < first + BLOCK + t + ROWS; r++)
                        for (size_t i = 0; i < d; i += 64)
                            _mm_prefetch((const char *)rows + select[r] * d + i, _MM_HINT_T1);
                // A missing column has the largest bias and a sum of 0.
                tile(x, d, panel, panel_width(h, p), sum);
#pragma clang loop unroll(full)
                for (size_t r = 0; r < ROWS; r++) {
                    __m512i b = best[t + r], s = next[t + r], q = block[t + r];
#pragma clang loop unroll(full)
                    for (int j = 0; j < 4; j++) {
                        __m512i v = _mm512_sub_epi32(_mm512_loadu_si512(panel->bias + 16 * j),
                                                     _mm512_slli_epi32(sum[r][j], 1));
                        __mmask16 less = _mm512_cmplt_epi32_mask(v, b);
                        if (two) s = _mm512_min_epi32(s, _mm512_max_epi32(b, v));
                        b = _mm512_min_epi32(b, v);
                        q = _mm512_mask_mov_epi32(q, less, _mm512_set1_epi32((int)(4 * p) + j));
                    }
                    best[t + r] = b;
                    if (two) next[t + r] = s;
                    block[t + r] = q;
                }
            }
        }
        for (size_t r = 0; r < height; r++) {
            int32_t least = _mm512_reduce_min_epi32(best[r]);
            __m512i column = _mm512_add_epi32(_mm512_slli_epi32(block[r], 4), lanes);
            column = _mm512_mask_mov_epi32(column, _mm512_cmplt_epi32_mask(block[r], _mm512_setzero_si512()),
                                           _mm512_set1_epi32(-1));
            __mmask16 here = _mm512_cmpeq_epi32_mask(best[r], _mm512_set1_epi32(least));
            uint32_t at = _mm512_mask_reduce_min_epu32(here, column);
            index[first + r] = at;
            value[first + r] = least;
            if (two)
                second[first + r] = _mm512_reduce_min_epi32(
                    _mm512_mask_mov_epi32(best[r], (__mmask16)(1u << at % 16), next[r]));
        }
    }
}

TARGET static void nearest(const int8_t *rows, const uint32_t *select, size_t n, const void *packed, uint32_t *index,
                           int32_t *value, int32_t *second) {
    if (second) nearest_of(1, rows, select, n, packed, index, value, second);
    else nearest_of(0, rows, select, n, packed, index, value, NULL);
}

TARGET static void products(const int8_t *rows, size_t n, const void *packed, int32_t *out, size_t stride) {
    const svk_header *h = packed;
    const size_t d = h->d;
    for (size_t first = 0; first < n; first += BLOCK) {
        size_t height = n - first < BLOCK ? n - first : BLOCK;
        for (size_t p = 0; p < h->panels; p++) {
            size_t width = panel_width(h, p);
            for (size_t t = 0; t < height; t += ROWS) {
                const int8_t *x[ROWS];
                __m512i sum[ROWS][4] = {{{0}}};
                for (size_t r = 0; r < ROWS; r++)
                    x[r] = rows + (first + (t + r < height ? t + r : height - 1)) * d;
                tile(x, d, svk_panel_at(h, p), width, sum);
                for (size_t r = 0; r < ROWS; r++) {
                    if (t + r >= height) break;
                    int32_t *to = out + (first + t + r) * stride + p * SVK_PANEL;
                    for (size_t j = 0; j < 4; j++) {
                        size_t left = width > 16 * j ? width - 16 * j : 0;
                        _mm512_mask_storeu_epi32(to + 16 * j, (__mmask16)low(left > 16 ? 16 : left), sum[r][j]);
                    }
                }
            }
        }
    }
}

// 64 components of up to 255 rows at a time in Int16, `blocks` such parts of each row together, so that a row's memory
// is read at once. Rows named by `select` may be anywhere, so they are prefetched.
TARGET_INLINE void sums_of(const int blocks, const int8_t *rows, const uint32_t *select, size_t first, size_t height, size_t d,
                           size_t i, __mmask64 last, int64_t *out) {
    enum { AHEAD = 8 };
    __m512i a[4], b[4];
    for (int t = 0; t < blocks; t++) a[t] = b[t] = _mm512_setzero_si512();
    for (size_t r = 0; r < height; r++) {
        const int8_t *row = svk_row(rows, select, first + r, d) + i;
        if (select && r + AHEAD < height) {
            const int8_t *ahead = svk_row(rows, select, first + r + AHEAD, d) + i;
            for (int t = 0; t < blocks; t++) _mm_prefetch((const char *)(ahead + 64 * t), _MM_HINT_T0);
        }
#pragma clang loop unroll(full)
        for (int t = 0; t < blocks; t++) {
            __m512i v = _mm512_maskz_loadu_epi8(t == blocks - 1 ? last : ~0ull, row + 64 * t);
            a[t] = _mm512_add_epi16(a[t], _mm512_cvtepi8_epi16(_mm512_castsi512_si256(v)));
            b[t] = _mm512_add_epi16(b[t], _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64(v, 1)));
        }
    }
    for (int t = 0; t < blocks; t++) {
        int16_t part[64];
        _mm512_storeu_si512(part, a[t]);
        _mm512_storeu_si512(part + 32, b[t]);
        size_t from = i + 64 * (size_t)t;
        for (size_t j = 0; j < 64 && from + j < d; j++) out[from + j] += part[j];
    }
}

TARGET static void sums(const int8_t *rows, const uint32_t *select, size_t n, size_t d, int64_t *out) {
    for (size_t first = 0; first < n; first += 255) {
        size_t height = n - first < 255 ? n - first : 255, i = 0;
        for (; i + 256 <= d; i += 256) sums_of(4, rows, select, first, height, d, i, ~0ull, out);
        for (; i < d; i += 64) sums_of(1, rows, select, first, height, d, i, low(d - i), out);
    }
}

// Four rows of one panel become 64 groups of four bytes.
TARGET static void interleave(const int8_t *rows, size_t n, size_t d, size_t p, void *panel, int64_t *sums) {
    size_t first = p * SVK_PANEL;
    __mmask64 mask = low(d - first);
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i total[4];
    int8_t *to = panel;
    for (int j = 0; j < 4; j++) total[j] = _mm512_setzero_si512();
    for (size_t r = 0; r < n; r += 4, to += 256) {
        const int8_t *from = rows + r * d + first;
        __m512i v[4], w[4], o[4];
        for (size_t t = 0; t < 4; t++)
            v[t] = r + t < n ? _mm512_maskz_loadu_epi8(mask, from + t * d) : _mm512_setzero_si512();
        w[0] = _mm512_unpacklo_epi8(v[0], v[1]);
        w[1] = _mm512_unpackhi_epi8(v[0], v[1]);
        w[2] = _mm512_unpacklo_epi8(v[2], v[3]);
        w[3] = _mm512_unpackhi_epi8(v[2], v[3]);
        // Each of these contains, in its 128-bit lane l, the components 16 l + 4 j ... of the four rows.
        o[0] = _mm512_unpacklo_epi16(w[0], w[2]);
        o[1] = _mm512_unpackhi_epi16(w[0], w[2]);
        o[2] = _mm512_unpacklo_epi16(w[1], w[3]);
        o[3] = _mm512_unpackhi_epi16(w[1], w[3]);
        // A 4 x 4 transpose of 128-bit lanes puts them in the order of the components.
        __m512i a = _mm512_shuffle_i32x4(o[0], o[1], 0x44), b = _mm512_shuffle_i32x4(o[2], o[3], 0x44);
        __m512i c = _mm512_shuffle_i32x4(o[0], o[1], 0xEE), e = _mm512_shuffle_i32x4(o[2], o[3], 0xEE);
        o[0] = _mm512_shuffle_i32x4(a, b, 0x88);
        o[1] = _mm512_shuffle_i32x4(a, b, 0xDD);
        o[2] = _mm512_shuffle_i32x4(c, e, 0x88);
        o[3] = _mm512_shuffle_i32x4(c, e, 0xDD);
        for (int j = 0; j < 4; j++) {
            total[j] = _mm512_dpbusd_epi32(total[j], ones, o[j]);
            _mm512_storeu_si512(to + 64 * j, o[j]);
        }
    }
    int32_t part[64];
    for (int j = 0; j < 4; j++) _mm512_storeu_si512(part + 16 * j, total[j]);
    // The panel's sums follow the groups; `gram` needs them for its correction.
    memcpy(to, part, sizeof part);
    for (size_t c = 0; c < SVK_PANEL; c++) sums[c] += part[c];
}

TARGET static void gram(const void *a, const void *b, size_t n, size_t rows_out, size_t columns_out, int64_t *out,
                        size_t stride) {
    size_t groups = (n + 3) / 4;
    const int32_t *column_sums = (const int32_t *)((const int8_t *)b + 256 * groups);
    __m512i start[4];
    for (int j = 0; j < 4; j++)
        start[j] = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(_mm512_loadu_si512(column_sums + 16 * j), 7));
    for (size_t i = 0; i < rows_out; i += ROWS) {
        const int8_t *x[ROWS], *y = b;
        __m512i sum[ROWS][4];
        for (size_t r = 0; r < ROWS; r++) {
            x[r] = (const int8_t *)a + 4 * (i + r < rows_out ? i + r : rows_out - 1);
            for (int j = 0; j < 4; j++) sum[r][j] = start[j];
        }
        const int8_t *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3], *x4 = x[4], *x5 = x[5];
        for (size_t g = 0; g < groups; g++, y += 256) {
            size_t o = 256 * g;
            uint32_t u[ROWS] = {svk_load4(x0 + o), svk_load4(x1 + o), svk_load4(x2 + o),
                                svk_load4(x3 + o), svk_load4(x4 + o), svk_load4(x5 + o)};
            step(4, sum, y, u);
        }
        for (size_t r = 0; r < ROWS; r++) {
            if (i + r >= rows_out) break;
            int32_t part[64];
            for (int j = 0; j < 4; j++) _mm512_storeu_si512(part + 16 * j, sum[r][j]);
            int64_t *to = out + (i + r) * stride;
            for (size_t c = 0; c < columns_out; c++) to[c] += part[c];
        }
    }
}

SVK_DOUBLE_KERNELS(TARGET, 8)
SVK_TABLE_KERNEL(TARGET, 8)

// 64 components a group, `groups` of them together: two rows at a time, as pairs of Int16. Rows may be anywhere, so they
// are prefetched.
TARGET_INLINE void weighted_groups(const int groups, const int8_t *rows, const uint32_t *select, const int16_t *weight,
                                   size_t n, size_t d, size_t i, int32_t *out) {
    enum { AHEAD = 8 };
    __m512i sum[4][4];
    for (int g = 0; g < groups; g++)
        for (int t = 0; t < 4; t++) sum[g][t] = _mm512_setzero_si512();
    for (size_t r = 0; r < n; r += 2) {
        for (size_t next = r + AHEAD; next < r + AHEAD + 2 && next < n; next++)
            for (int g = 0; g < groups; g++) _mm_prefetch((const char *)svk_row(rows, select, next, d) + i + 64 * g, _MM_HINT_T0);
        const int8_t *a = svk_row(rows, select, r, d) + i, *b = r + 1 < n ? svk_row(rows, select, r + 1, d) + i : a;
        uint32_t pair = (uint16_t)weight[r] | (r + 1 < n ? (uint32_t)(uint16_t)weight[r + 1] << 16 : 0);
        const __m512i w = _mm512_set1_epi32((int32_t)pair);
#pragma clang loop unroll(full)
        for (int g = 0; g < groups; g++) {
#pragma clang loop unroll(full)
            for (int half = 0; half < 2; half++) {
                __m512i x = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(a + 64 * g + 32 * half)));
                __m512i y = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(b + 64 * g + 32 * half)));
                sum[g][2 * half] = _mm512_dpwssd_epi32(sum[g][2 * half], _mm512_unpacklo_epi16(x, y), w);
                sum[g][2 * half + 1] = _mm512_dpwssd_epi32(sum[g][2 * half + 1], _mm512_unpackhi_epi16(x, y), w);
            }
        }
    }
    const __m512i front = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    const __m512i back = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    for (int g = 0; g < groups; g++)
        for (int half = 0; half < 2; half++) {
            int32_t *to = out + i + 64 * g + 32 * half;
            __m512i low = sum[g][2 * half], high = sum[g][2 * half + 1];
            _mm512_storeu_si512(to, _mm512_add_epi32(_mm512_loadu_si512(to), _mm512_permutex2var_epi64(low, front, high)));
            _mm512_storeu_si512(
                to + 16, _mm512_add_epi32(_mm512_loadu_si512(to + 16), _mm512_permutex2var_epi64(low, back, high)));
        }
}

TARGET static void weighted(const int8_t *rows, const uint32_t *select, const int16_t *weight, size_t n, size_t d,
                            int32_t *out) {
    size_t i = 0;
    for (; i + 256 <= d; i += 256) weighted_groups(4, rows, select, weight, n, d, i, out);
    for (; i + 64 <= d; i += 64) weighted_groups(1, rows, select, weight, n, d, i, out);
    if (i < d) svk_weighted_from(i, rows, select, weight, n, d, out);
}

const svk_kernels svk_avx512_kernels = {
    .path = SVK_AVX512VNNI, .name = "avx512vnni", .dots = dots, .norms = norms, .pack = pack, .nearest = nearest,
    .products = products, .sums = sums, .weighted = weighted, .interleave = interleave, .gram = gram,
    SVK_DOUBLE_TABLE, .add_rows = add_rows,
};
#endif
