#pragma once
// Shared by the paths: the packed layout and small helpers.
#include "CVectorKernels.h"
#include <string.h>

#define SVK_INLINE static inline __attribute__((always_inline))

// A packed matrix: this header (64 bytes), then panels. A panel: bias[64], start[64] (initial accumulators), then the
// components in the path's layout.
typedef struct {
    uint64_t k, d, panels, panel_bytes;
    uint64_t reserved[4];
} svk_header;

typedef struct {
    int32_t bias[SVK_PANEL];
    int32_t start[SVK_PANEL];
    int8_t data[];
} svk_panel;

/// Room for 64 columns of Int16 pairs, the widest layout.
SVK_INLINE size_t svk_panel_stride(size_t d) { return sizeof(svk_panel) + 256 * ((d + 1) / 2); }

SVK_INLINE const svk_panel *svk_panel_at(const svk_header *h, size_t p) {
    return (const svk_panel *)((const char *)(h + 1) + p * h->panel_bytes);
}

SVK_INLINE const int8_t *svk_row(const int8_t *rows, const uint32_t *select, size_t i, size_t d) {
    return rows + (select ? (size_t)select[i] : i) * d;
}

/// Loads four bytes, or fewer at the end of the row (the rest 0).
SVK_INLINE uint32_t svk_load4(const int8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}
SVK_INLINE uint32_t svk_load_tail(const int8_t *p, size_t bytes) {
    uint32_t v = 0;
    memcpy(&v, p, bytes);
    return v;
}

// Packs as groups of four components: data[(g * 64 + column) * 4 + t]. start = -128 * (sum of the column).
void svk_pack_quads(const int8_t *columns, size_t k, size_t d, const int32_t *bias, int offset, void *packed);
// Packs as pairs of Int16: data as Int16 [(g * 64 + column) * 2 + t]. start = 0.
void svk_pack_pairs(const int8_t *columns, size_t k, size_t d, const int32_t *bias, void *packed);
// Interleaves as Int16 pairs for `gram`.
void svk_interleave_pairs(const int8_t *rows, size_t n, size_t d, size_t p, void *panel, int64_t *sums);
// Interleaves as groups of four bytes for `gram`.
void svk_interleave_quads(const int8_t *rows, size_t n, size_t d, size_t p, void *panel, int64_t *sums);

// `weighted` for the components from `first` to d, in plain C.
void svk_weighted_from(size_t first, const int8_t *rows, const uint32_t *select, const int16_t *weight, size_t n,
                       size_t d, int32_t *out);

extern const svk_kernels svk_portable_kernels;
#if defined(__x86_64__)
extern const svk_kernels svk_avx2_kernels, svk_avx512_kernels;
#endif
#if defined(__aarch64__)
extern const svk_kernels svk_neon_kernels;
#endif
