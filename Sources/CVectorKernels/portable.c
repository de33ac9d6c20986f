// The path for every machine: plain C over Int16 pairs.
#include "doubles.h"
#include "tables.h"

static void dots(const int8_t *x, const int8_t *rows, const uint32_t *select, size_t n, size_t d, int32_t *out) {
    for (size_t r = 0; r < n; r++) {
        const int8_t *row = svk_row(rows, select, r, d);
        int32_t sum = 0;
        for (size_t i = 0; i < d; i++) sum += (int16_t)x[i] * (int16_t)row[i];
        out[r] = sum;
    }
}

static void norms(const int8_t *rows, size_t n, size_t d, int32_t *out) {
    for (size_t r = 0; r < n; r++, rows += d) {
        int32_t sum = 0;
        for (size_t i = 0; i < d; i++) sum += (int16_t)rows[i] * (int16_t)rows[i];
        out[r] = sum;
    }
}

// One row against one panel.
static void tile(const int8_t *row, size_t d, const svk_panel *panel, int32_t sum[SVK_PANEL]) {
    const int16_t *data = (const int16_t *)panel->data;
    for (size_t first = 0; first < SVK_PANEL; first += 16) {
        int32_t part[16] = {0};
        const int16_t *from = data + 2 * first;
        for (size_t i = 0; i + 2 <= d; i += 2, from += 2 * SVK_PANEL) {
            int16_t a = row[i], b = row[i + 1];
            for (size_t c = 0; c < 16; c++) part[c] += a * from[2 * c] + b * from[2 * c + 1];
        }
        if (d % 2)
            for (size_t c = 0; c < 16; c++) part[c] += row[d - 1] * from[2 * c];
        memcpy(sum + first, part, sizeof part);
    }
}

static void nearest(const int8_t *rows, const uint32_t *select, size_t n, const void *packed, uint32_t *index,
                    int32_t *value, int32_t *second) {
    const svk_header *h = packed;
    for (size_t r = 0; r < n; r++) {
        const int8_t *row = svk_row(rows, select, r, h->d);
        int32_t best = INT32_MAX, next = INT32_MAX, sum[SVK_PANEL];
        uint32_t at = UINT32_MAX;
        for (size_t p = 0; p < h->panels; p++) {
            const svk_panel *panel = svk_panel_at(h, p);
            tile(row, h->d, panel, sum);
            for (size_t c = 0; c < SVK_PANEL; c++) {
                int32_t v = panel->bias[c] - 2 * sum[c];
                if (v < best) {
                    next = best;
                    best = v;
                    at = (uint32_t)(p * SVK_PANEL + c);
                } else if (v < next) {
                    next = v;
                }
            }
        }
        index[r] = at;
        value[r] = best;
        if (second) second[r] = next;
    }
}

static void products(const int8_t *rows, size_t n, const void *packed, int32_t *out, size_t stride) {
    const svk_header *h = packed;
    for (size_t r = 0; r < n; r++)
        for (size_t p = 0; p < h->panels; p++) {
            int32_t sum[SVK_PANEL];
            size_t width = h->k - p * SVK_PANEL < SVK_PANEL ? h->k - p * SVK_PANEL : SVK_PANEL;
            tile(rows + r * h->d, h->d, svk_panel_at(h, p), sum);
            memcpy(out + r * stride + p * SVK_PANEL, sum, width * sizeof *sum);
        }
}

static void sums(const int8_t *rows, const uint32_t *select, size_t n, size_t d, int64_t *out) {
    for (size_t r = 0; r < n; r++) {
        const int8_t *row = svk_row(rows, select, r, d);
        for (size_t i = 0; i < d; i++) out[i] += row[i];
    }
}

void svk_weighted_from(size_t first, const int8_t *rows, const uint32_t *select, const int16_t *weight, size_t n,
                       size_t d, int32_t *out) {
    for (size_t r = 0; r < n; r++) {
        const int8_t *row = svk_row(rows, select, r, d);
        for (size_t i = first; i < d; i++) out[i] += weight[r] * row[i];
    }
}

static void weighted(const int8_t *rows, const uint32_t *select, const int16_t *weight, size_t n, size_t d,
                     int32_t *out) {
    svk_weighted_from(0, rows, select, weight, n, d, out);
}

static void gram(const void *a, const void *b, size_t n, size_t rows_out, size_t columns_out, int64_t *out,
                 size_t stride) {
    size_t groups = (n + 1) / 2;
    for (size_t i = 0; i < rows_out; i++)
        for (size_t first = 0; first < columns_out; first += 16) {
            int32_t part[16] = {0};
            const int16_t *x = (const int16_t *)a + 2 * i, *y = (const int16_t *)b + 2 * first;
            for (size_t g = 0; g < groups; g++, x += 2 * SVK_PANEL, y += 2 * SVK_PANEL)
                for (size_t c = 0; c < 16; c++) part[c] += x[0] * y[2 * c] + x[1] * y[2 * c + 1];
            for (size_t c = 0; c < 16 && first + c < columns_out; c++) out[i * stride + first + c] += part[c];
        }
}

#define SVK_NO_TARGET
SVK_DOUBLE_KERNELS(SVK_NO_TARGET, 1)
SVK_TABLE_KERNEL(SVK_NO_TARGET, 2)

const svk_kernels svk_portable_kernels = {
    .path = SVK_PORTABLE, .name = "portable", .dots = dots, .norms = norms, .pack = svk_pack_pairs,
    .nearest = nearest, .products = products, .sums = sums, .weighted = weighted, .interleave = svk_interleave_pairs, .gram = gram,
    SVK_DOUBLE_TABLE, .add_rows = add_rows,
};
