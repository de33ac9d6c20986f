// The packed layouts, shared by the paths that read them.
#include "paths.h"

size_t svk_packed_bytes(size_t k, size_t d) {
    return sizeof(svk_header) + (k + SVK_PANEL - 1) / SVK_PANEL * svk_panel_stride(d);
}

size_t svk_gram_panel_bytes(size_t n) { return 256 * ((n + 1) / 2) + 256; }

static svk_panel *begin(void *packed, size_t k, size_t d, size_t p, const int32_t *bias, size_t data_bytes) {
    svk_header *h = packed;
    svk_panel *panel = (svk_panel *)((char *)(h + 1) + p * h->panel_bytes);
    size_t width = k - p * SVK_PANEL < SVK_PANEL ? k - p * SVK_PANEL : SVK_PANEL;
    for (size_t c = 0; c < SVK_PANEL; c++) {
        panel->bias[c] = c < width ? (bias ? bias[p * SVK_PANEL + c] : 0) : INT32_MAX;
        panel->start[c] = 0;
    }
    memset(panel->data, 0, data_bytes);
    return panel;
}

static void set_header(void *packed, size_t k, size_t d, size_t panel_bytes) {
    svk_header *h = packed;
    memset(h, 0, sizeof *h);
    h->k = k;
    h->d = d;
    h->panels = (k + SVK_PANEL - 1) / SVK_PANEL;
    h->panel_bytes = panel_bytes;
}

void svk_pack_quads(const int8_t *columns, size_t k, size_t d, const int32_t *bias, int offset, void *packed) {
    size_t groups = (d + 3) / 4;
    set_header(packed, k, d, sizeof(svk_panel) + 256 * groups);
    for (size_t p = 0; p * SVK_PANEL < k; p++) {
        svk_panel *panel = begin(packed, k, d, p, bias, 256 * groups);
        for (size_t c = 0; c < SVK_PANEL && p * SVK_PANEL + c < k; c++) {
            const int8_t *column = columns + (p * SVK_PANEL + c) * d;
            int8_t *to = panel->data + 4 * c;
            int32_t sum = 0;
            size_t g = 0;
            for (; 4 * g + 4 <= d; g++) {
                memcpy(to + 256 * g, column + 4 * g, 4);
                sum += column[4 * g] + column[4 * g + 1] + column[4 * g + 2] + column[4 * g + 3];
            }
            for (size_t i = 4 * g; i < d; i++) {
                to[256 * g + (i - 4 * g)] = column[i];
                sum += column[i];
            }
            panel->start[c] = offset * sum;
        }
    }
}

void svk_pack_pairs(const int8_t *columns, size_t k, size_t d, const int32_t *bias, void *packed) {
    size_t groups = (d + 1) / 2;
    set_header(packed, k, d, sizeof(svk_panel) + 256 * groups);
    for (size_t p = 0; p * SVK_PANEL < k; p++) {
        svk_panel *panel = begin(packed, k, d, p, bias, 256 * groups);
        int16_t *data = (int16_t *)panel->data;
        for (size_t c = 0; c < SVK_PANEL && p * SVK_PANEL + c < k; c++) {
            const int8_t *column = columns + (p * SVK_PANEL + c) * d;
            for (size_t i = 0; i < d; i++) data[(i / 2 * SVK_PANEL + c) * 2 + i % 2] = column[i];
        }
    }
}

void svk_interleave_pairs(const int8_t *rows, size_t n, size_t d, size_t p, void *panel, int64_t *sums) {
    int16_t *to = panel;
    size_t first = p * SVK_PANEL, width = d - first < SVK_PANEL ? d - first : SVK_PANEL;
    int32_t total[SVK_PANEL] = {0};
    for (size_t g = 0; 2 * g < n; g++, to += 2 * SVK_PANEL) {
        const int8_t *a = rows + 2 * g * d + first, *b = a + d;
        int pair = 2 * g + 1 < n;
        for (size_t c = 0; c < width; c++) {
            int16_t x = a[c], y = pair ? b[c] : 0;
            to[2 * c] = x;
            to[2 * c + 1] = y;
            total[c] += x + y;
        }
        for (size_t c = width; c < SVK_PANEL; c++) to[2 * c] = to[2 * c + 1] = 0;
    }
    for (size_t c = 0; c < SVK_PANEL; c++) sums[c] += total[c];
}

void svk_interleave_quads(const int8_t *rows, size_t n, size_t d, size_t p, void *panel, int64_t *sums) {
    int8_t *to = panel;
    size_t first = p * SVK_PANEL, width = d - first < SVK_PANEL ? d - first : SVK_PANEL;
    int32_t total[SVK_PANEL] = {0};
    for (size_t r = 0; r < n; r += 4, to += 4 * SVK_PANEL) {
        size_t height = n - r < 4 ? n - r : 4;
        if (height < 4 || width < SVK_PANEL) memset(to, 0, 4 * SVK_PANEL);
        for (size_t t = 0; t < height; t++) {
            const int8_t *row = rows + (r + t) * d + first;
            for (size_t c = 0; c < width; c++) {
                to[4 * c + t] = row[c];
                total[c] += row[c];
            }
        }
    }
    for (size_t c = 0; c < SVK_PANEL; c++) sums[c] += total[c];
}
