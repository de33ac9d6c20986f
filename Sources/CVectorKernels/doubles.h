#pragma once
// The floating-point kernels, written once over vectors of eight doubles and compiled for every path. The compiler
// splits the eight to fit the machine; the operations per element stay the same.
#include "paths.h"
#pragma STDC FP_CONTRACT OFF

typedef double svk_v8 __attribute__((vector_size(64), aligned(8)));

// Rows R (a constant) by C vectors of eight columns, sums in the order of the components.
SVK_INLINE void svk_project_tile(const int R, const int C, const double *x, size_t d, const double *w,
                                 const double *offset, double *z, size_t m, size_t valid) {
    svk_v8 sum[8][3];
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) sum[r][c] = (svk_v8){0};
    for (size_t i = 0; i < d; i++, w += 8 * C)
        for (int r = 0; r < R; r++) {
            double a = x[i * 8 + r];
            for (int c = 0; c < C; c++) {
                svk_v8 product = a * *(const svk_v8 *)(w + 8 * c);
                sum[r][c] = sum[r][c] + product;
            }
        }
    for (int r = 0; r < R; r++)
        if ((size_t)r < valid)
            for (int c = 0; c < C; c++)
                *(svk_v8 *)(z + r * m + 8 * c) = sum[r][c] - *(const svk_v8 *)(offset + 8 * c);
}

// `R` rows at a time, of the eight converted to doubles.
SVK_INLINE void svk_project_all(const int R, const int8_t *rows, size_t n, size_t d, const double *w, size_t m,
                                const double *offset, double *z, double *x) {
    for (size_t first = 0; first < n; first += 8) {
        size_t height = n - first < 8 ? n - first : 8;
        for (size_t r = 0; r < 8; r++) {
            const int8_t *row = rows + (first + (r < height ? r : 0)) * d;
            for (size_t i = 0; i < d; i++) x[i * 8 + r] = (double)row[i];
        }
        for (size_t j = 0; j < m; j += 24)
            for (size_t r = 0; r < height; r += R) {
                double *to = z + (first + r) * m + j;
                const double *from = w + j * d;
                if (m - j >= 24)
                    svk_project_tile(R, 3, x + r, d, from, offset + j, to, m, height - r);
                else if (m - j == 16)
                    svk_project_tile(R, 2, x + r, d, from, offset + j, to, m, height - r);
                else
                    svk_project_tile(R, 1, x + r, d, from, offset + j, to, m, height - r);
            }
    }
}

SVK_INLINE void svk_axpy_all(size_t n, double a, const double *x, double *y) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        svk_v8 product = a * *(const svk_v8 *)(x + i);
        *(svk_v8 *)(y + i) += product;
    }
    for (; i < n; i++) y[i] += a * x[i];
}

SVK_INLINE void svk_axpy2_all(size_t n, double a, const double *x, double b, const double *v, double *y) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        svk_v8 p = a * *(const svk_v8 *)(x + i), q = b * *(const svk_v8 *)(v + i);
        *(svk_v8 *)(y + i) = (*(svk_v8 *)(y + i) + p) + q;
    }
    for (; i < n; i++) y[i] = (y[i] + a * x[i]) + b * v[i];
}

SVK_INLINE double svk_inner_all(size_t n, const double *x, const double *y) {
    svk_v8 sum = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        svk_v8 product = *(const svk_v8 *)(x + i) * *(const svk_v8 *)(y + i);
        sum += product;
    }
    double s[8];
    memcpy(s, &sum, sizeof s);
    for (; i < n; i++) s[i % 8] += x[i] * y[i];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

SVK_INLINE void svk_rotate_all(double *rows, size_t stride, size_t width, size_t first, size_t count,
                               const double *c, const double *s) {
    for (size_t t = 0; t < count; t++) {
        double *x = rows + (first - t) * stride, *y = x + stride;
        double cosine = c[t], sine = s[t];
        size_t i = 0;
        for (; i + 8 <= width; i += 8) {
            svk_v8 a = *(svk_v8 *)(x + i), b = *(svk_v8 *)(y + i);
            svk_v8 ca = cosine * a, sb = sine * b, sa = sine * a, cb = cosine * b;
            *(svk_v8 *)(x + i) = ca - sb;
            *(svk_v8 *)(y + i) = sa + cb;
        }
        for (; i < width; i++) {
            double a = x[i], b = y[i];
            double ca = cosine * a, sb = sine * b, sa = sine * a, cb = cosine * b;
            x[i] = ca - sb;
            y[i] = sa + cb;
        }
    }
}

// The functions of a path: `target` is its attribute, R the number of rows that its registers hold at 24 columns.
#define SVK_DOUBLE_KERNELS(target, R)                                                                       \
    target static void project(const int8_t *rows, size_t n, size_t d, const double *w, size_t m,           \
                               const double *offset, double *z, double *scratch) {                          \
        svk_project_all(R, rows, n, d, w, m, offset, z, scratch);                                           \
    }                                                                                                       \
    target static void axpy(size_t n, double a, const double *x, double *y) { svk_axpy_all(n, a, x, y); }   \
    target static void axpy2(size_t n, double a, const double *x, double b, const double *v, double *y) {   \
        svk_axpy2_all(n, a, x, b, v, y);                                                                    \
    }                                                                                                       \
    target static double inner(size_t n, const double *x, const double *y) { return svk_inner_all(n, x, y); } \
    target static void rotate(double *rows, size_t stride, size_t width, size_t first, size_t count,        \
                              const double *c, const double *s) {                                           \
        svk_rotate_all(rows, stride, width, first, count, c, s);                                            \
    }

#define SVK_DOUBLE_TABLE .project = project, .axpy = axpy, .axpy2 = axpy2, .inner = inner, .rotate = rotate
