// Compares every kernel of every path that the machine has with the portable path, bit for bit, on many shapes. Also
// computes a digest of the portable path's results, which must be the same on every machine.
//
// usage: harness [--needs PATH]   (fails where the path is missing)
//
// Inputs start at odd addresses and end right before an inaccessible page, outputs likewise, so a kernel that reads or
// writes past an end crashes.
#include "CVectorKernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t state, cases, differences, digest = 1469598103934665603ull;

static uint64_t next(void) {
    uint64_t z = state += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}
static size_t below(size_t bound) { return (size_t)(next() % bound); }

// MARK: Memory that ends at a page without access

enum { ARENAS = 12 };
static char *arena[ARENAS];
static const size_t arena_bytes = 24 << 20;

static void *guarded(int number, size_t bytes) {
    if (!arena[number]) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        arena[number] = mmap(NULL, arena_bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (arena[number] == MAP_FAILED || mprotect(arena[number] + arena_bytes, page, PROT_NONE)) {
            perror("memory");
            exit(2);
        }
    }
    if (bytes > arena_bytes) {
        fprintf(stderr, "a shape is too large for the harness\n");
        exit(2);
    }
    return arena[number] + arena_bytes - bytes;
}
/// Rounded up to keep the required alignment; the requested bytes still end within 63 bytes of the page.
static void *aligned(int number, size_t bytes) { return guarded(number, (bytes + 63) / 64 * 64); }

// MARK: Values

enum { UNIFORM, TOP, BOTTOM, OPPOSITE, ZERO_ROWS, SMALL, FILLS };
static const char *const fill_names[FILLS] = {"uniform", "all 127", "all -128", "127 and -128", "with zero rows", "-1 to 1"};

static void fill(int8_t *rows, size_t n, size_t d, int kind) {
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < d; i++) {
            int8_t v = (int8_t)(next() >> 32);
            if (kind == TOP) v = 127;
            if (kind == BOTTOM) v = -128;
            if (kind == OPPOSITE) v = r % 2 ? -128 : 127;
            if (kind == ZERO_ROWS && r % 3 != 1) v = 0;
            if (kind == SMALL) v = (int8_t)(below(3) - 1);
            rows[r * d + i] = v;
        }
}

/// Any finite bits of moderate magnitude; some zeros of both signs.
static void fill_doubles(double *to, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t draw = next();
        to[i] = draw % 17 == 0 ? 0.0 : draw % 17 == 1 ? -0.0 : (double)(int64_t)draw / 3e18;
    }
}

// MARK: Comparison

static void add_to_digest(const void *bytes, size_t count) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < count; i++) digest = (digest ^ p[i]) * 1099511628211ull;
}

static void compare(const char *path, const char *kernel, const char *shape, const void *expected, const void *got, size_t bytes) {
    cases++;
    if (memcmp(expected, got, bytes) == 0) return;
    if (++differences > 20) return;
    size_t at = 0;
    while (((const char *)expected)[at] == ((const char *)got)[at]) at++;
    printf("DIFFERENT: %s %s, %s: byte %zu of %zu\n", path, kernel, shape, at, bytes);
}

static void *filled(int number, size_t bytes, int value) { return memset(guarded(number, bytes), value, bytes); }

// MARK: Kernels, by shape

static void integers(const svk_kernels *a, const svk_kernels *b, size_t n, size_t k, size_t d, int kind) {
    char shape[120];
    snprintf(shape, sizeof shape, "n %zu k %zu d %zu, %s", n, k, d, fill_names[kind]);
    int8_t *rows = guarded(0, n * d), *columns = guarded(1, k * d);
    fill(rows, n, d, kind);
    fill(columns, k, d, kind == OPPOSITE ? TOP : kind);
    if (k > 2) memcpy(columns + (k - 1) * d, columns, d);  // a tie
    uint32_t *select = guarded(2, n * 4);
    for (size_t i = 0; i < n; i++) select[i] = (uint32_t)below(n);
    size_t stride = k + 3;
    int32_t *bias = guarded(3, k * 4);

    const svk_kernels *both[2] = {a, b};
    // The outputs of the two paths are in separate arenas: 4 to 6 and 7 to 9.
    for (int o = 0; o < 2; o++) {
        int32_t *values = filled(4 + 3 * o, (2 * n + k) * 4, 0x5A);
        both[o]->norms(columns, k, d, values);
        both[o]->dots(columns, rows, NULL, n, d, values + k);
        both[o]->dots(columns, rows, select, n, d, values + k + n);
    }
    compare(b->name, "norms and dots", shape, guarded(4, (2 * n + k) * 4), guarded(7, (2 * n + k) * 4), (2 * n + k) * 4);
    add_to_digest(guarded(4, (2 * n + k) * 4), (2 * n + k) * 4);
    memcpy(bias, guarded(4, (2 * n + k) * 4), k * 4);

    size_t bytes = n * 12, sums = d * 8, products = ((n - 1) * stride + k) * 4;
    for (int with = 0; with < 2; with++) {
        for (int o = 0; o < 2; o++) {
            void *packed = aligned(10 + o, svk_packed_bytes(k, d));
            both[o]->pack(columns, k, d, with ? bias : NULL, packed);
            char *found = filled(4 + 3 * o, bytes, 0x5A);
            both[o]->nearest(rows, with ? select : NULL, n, packed, (uint32_t *)found, (int32_t *)(found + n * 4),
                             (int32_t *)(found + n * 8));
            // Without the second value the others must not change.
            if (!with) both[o]->nearest(rows, NULL, n, packed, (uint32_t *)found, (int32_t *)(found + n * 4), NULL);
            both[o]->products(rows, n, packed, filled(5 + 3 * o, products, 0x5A), stride);
            int64_t *sum = filled(6 + 3 * o, sums, 0x01);
            both[o]->sums(rows, with ? select : NULL, n, d, sum);
        }
        compare(b->name, "nearest", shape, guarded(4, bytes), guarded(7, bytes), bytes);
        compare(b->name, "products", shape, guarded(5, products), guarded(8, products), products);
        compare(b->name, "sums", shape, guarded(6, sums), guarded(9, sums), sums);
        add_to_digest(guarded(4, bytes), bytes);
        add_to_digest(guarded(5, products), products);
        add_to_digest(guarded(6, sums), sums);
    }
}

static void grams(const svk_kernels *a, const svk_kernels *b, size_t n, size_t d, int kind) {
    char shape[120];
    snprintf(shape, sizeof shape, "n %zu d %zu, %s", n, d, fill_names[kind]);
    int8_t *rows = guarded(0, n * d);
    fill(rows, n, d, kind);
    const svk_kernels *both[2] = {a, b};
    size_t panels = (d + SVK_PANEL - 1) / SVK_PANEL, last = panels - 1;
    size_t height = d < SVK_PANEL ? d : SVK_PANEL, width = d - last * SVK_PANEL, stride = width + 1;
    size_t bytes = ((height - 1) * stride + width) * 8, sums = 2 * SVK_PANEL * 8;
    for (int o = 0; o < 2; o++) {
        void *first = aligned(2 + o, svk_gram_panel_bytes(n)), *second = aligned(10 + o, svk_gram_panel_bytes(n));
        int64_t *sum = filled(5 + 3 * o, sums, 0x02);
        both[o]->interleave(rows, n, d, 0, first, sum);
        both[o]->interleave(rows, n, d, last, second, sum + SVK_PANEL);
        both[o]->gram(first, second, n, height, width, filled(4 + 3 * o, bytes, 0x03), stride);
    }
    compare(b->name, "interleave", shape, guarded(5, sums), guarded(8, sums), sums);
    compare(b->name, "gram", shape, guarded(4, bytes), guarded(7, bytes), bytes);
    add_to_digest(guarded(4, bytes), bytes);
}

static void doubles(const svk_kernels *a, const svk_kernels *b, size_t n, size_t d, size_t m) {
    char shape[120];
    snprintf(shape, sizeof shape, "n %zu d %zu m %zu", n, d, m);
    const svk_kernels *both[2] = {a, b};
    int8_t *rows = guarded(0, n * d);
    fill(rows, n, d, UNIFORM);
    double *weights = guarded(1, d * m * 8), *offsets = guarded(2, m * 8);
    fill_doubles(weights, d * m);
    fill_doubles(offsets, m);
    size_t bytes = n * m * 8;
    for (int o = 0; o < 2; o++)
        both[o]->project(rows, n, d, weights, m, offsets, filled(4 + 3 * o, bytes, 0), guarded(3, 8 * d * 8));
    compare(b->name, "project", shape, guarded(4, bytes), guarded(7, bytes), bytes);
    add_to_digest(guarded(4, bytes), bytes);

    // Vectors of d, and a matrix of n + 1 rows for n rotations.
    double *x = guarded(1, d * 8), *v = guarded(2, d * 8), *c = guarded(10, n * 8), *s = guarded(11, n * 8);
    fill_doubles(x, d);
    fill_doubles(v, d);
    fill_doubles(c, n);
    fill_doubles(s, n);
    size_t stride = d + 1, matrix = (n * stride + d) * 8;
    double *from = guarded(3, matrix);
    fill_doubles(from, matrix / 8);
    for (int o = 0; o < 2; o++) {
        double *y = guarded(4 + 3 * o, (d + 1) * 8);
        memcpy(y, from, d * 8);
        both[o]->axpy(d, 0.3, x, y);
        both[o]->axpy2(d, 0.7, x, -1.1, v, y);
        y[d] = both[o]->inner(d, x, v);
        double *rotated = guarded(5 + 3 * o, matrix);
        memcpy(rotated, from, matrix);
        both[o]->rotate(rotated, stride, d, n - 1, n, c, s);
    }
    compare(b->name, "axpy, axpy2, inner", shape, guarded(4, (d + 1) * 8), guarded(7, (d + 1) * 8), (d + 1) * 8);
    compare(b->name, "rotate", shape, guarded(5, matrix), guarded(8, matrix), matrix);
    add_to_digest(guarded(4, (d + 1) * 8), (d + 1) * 8);
    add_to_digest(guarded(5, matrix), matrix);
}

/// Sums of rows of a table: whose last row ends at the page without access.
static void tables(const svk_kernels *a, const svk_kernels *b, size_t n, size_t d) {
    char shape[120];
    const svk_kernels *both[2] = {a, b};
    static const size_t sizes[3] = {4, 2, 1};
    for (int kind = SVK_F32; kind <= SVK_I8; kind++) {
        size_t size = sizes[kind], stride = (d + below(3)) * size, bytes = (n - 1) * stride + d * size;
        snprintf(shape, sizeof shape, "kind %d n %zu d %zu stride %zu", kind, n, d, stride);
        uint8_t *table = guarded(0, bytes);
        // No infinities and NaN: a bit of each byte that may hold an exponent's end is 0.
        for (size_t i = 0; i < bytes; i++) table[i] = (uint8_t)next() & (kind == SVK_I8 ? 0xFF : 0xBF);
        size_t count = 1 + below(60);
        uint32_t *chosen = guarded(1, count * 4);
        float *weight = guarded(2, count * 4);
        for (size_t t = 0; t < count; t++) {
            chosen[t] = (uint32_t)below(n);
            weight[t] = (float)(int32_t)below(2001) / 1000 - 1;
        }
        for (int o = 0; o < 2; o++) {
            float *sums = guarded(4 + 3 * o, d * 4);
            for (size_t i = 0; i < d; i++) sums[i] = (float)i / 7;
            both[o]->add_rows(kind, table, stride, chosen, weight, count, d, sums);
        }
        compare(b->name, "add_rows", shape, guarded(4, d * 4), guarded(7, d * 4), d * 4);
        add_to_digest(guarded(4, d * 4), d * 4);
    }
}

/// The loops without paths: only the digest includes them.
static void scans(size_t n, size_t d) {
    float *floats = guarded(0, n * d * 4);
    int32_t *integers = guarded(1, n * d * 4);
    for (size_t i = 0; i < n * d; i++) {
        floats[i] = (float)((double)(int64_t)next() / 9e18);
        integers[i] = (int32_t)next();
    }
    if (n > 2) memset(floats + d, 0, d * 4);
    int8_t *out = guarded(4, n * d);
    double scale = 127 * sqrt((double)d) / 8;
    size_t done[2] = {svk_quantise(floats, n, d, scale, out), n};
    add_to_digest(out, n * d);
    done[1] = svk_quantise_integers(integers, n, d, scale, out);
    add_to_digest(out, n * d);
    add_to_digest(done, sizeof done);

    int32_t *norm = guarded(2, n * 4), *least = guarded(3, n * 4), *owner = guarded(5, n * 4), *value = guarded(6, n * 4);
    uint32_t *index = guarded(7, n * 4), *chosen = guarded(8, n * 4 + 4);
    for (size_t i = 0; i < n; i++) {
        norm[i] = (int32_t)below(1 << 20);
        least[i] = (int32_t)below(1 << 21);
        value[i] = (int32_t)below(1 << 21) - (1 << 20);
        index[i] = (uint32_t)below(100);
        owner[i] = (int32_t)below(n);
    }
    svk_fold_least(NULL, n, index, value, norm, least, owner, 0);
    for (size_t i = 0; i < n; i++) owner[i] %= (int32_t)n;
    size_t open = svk_unsettled(least, owner, n, least, 0, chosen);
    add_to_digest(chosen, open * 4);
    size_t far = svk_at_least(least, n, 1 << 20, chosen);
    add_to_digest(chosen, far * 4);
    add_to_digest(least, n * 4);
    int64_t *gain = filled(9, d * 8, 0);
    svk_gains(integers, d, n, d, norm, integers, least, gain);
    add_to_digest(gain, d * 8);
}

static void all(const svk_kernels *a, const svk_kernels *b) {
    static const size_t dimensions[] = {1,  2,  3,  4,   5,   7,   8,   13,  15,  16,  17,  31,  32,  33,   47,   63,  64,
                                        65, 79, 96, 100, 127, 128, 129, 191, 255, 256, 257, 300, 384, 1023, 1536, 8192};
    static const size_t heights[] = {1, 2, 3, 4, 5, 6, 7, 11, 24, 25, 61}, widths[] = {1, 15, 16, 17, 63, 64, 65, 130, 193};
    state = 20260101;
    for (size_t t = 0; t < sizeof dimensions / sizeof *dimensions; t++) {
        size_t d = dimensions[t];
        for (int kind = 0; kind < FILLS; kind++) {
            for (size_t h = 0; h < sizeof heights / sizeof *heights; h++) {
                if (d > 400 && h % 3) continue;
                integers(a, b, heights[h], widths[below(9)], d, kind);
                grams(a, b, heights[h], d, kind);
            }
            if (d < 70) {
                // More rows than 16-bit partial sums can hold.
                integers(a, b, 600, 66, d, kind);
                grams(a, b, SVK_GRAM_ROWS, d, kind);
            }
        }
        for (size_t h = 0; h < 9 && d < 2000; h++) doubles(a, b, heights[h], d, 8 * (1 + below(7)));
        for (size_t h = 0; h < 9 && d < 2000; h++) scans(heights[h], d);
    }
    // Anything between.
    for (int t = 0; t < 600; t++) {
        size_t d = 1 + below(330), n = 1 + below(70);
        integers(a, b, n, 1 + below(140), d, (int)below(FILLS));
        grams(a, b, n, d, (int)below(FILLS));
        doubles(a, b, 1 + below(20), 1 + below(90), 8 * (1 + below(7)));
        tables(a, b, 1 + below(20), 1 + below(400));
    }
}

int main(int count, char **arguments) {
    const char *needed = count == 3 && strcmp(arguments[1], "--needs") == 0 ? arguments[2] : NULL;
    const svk_kernels *portable = svk_path_kernels(SVK_PORTABLE);
    int found = needed == NULL;
    for (int path = SVK_PORTABLE; path < SVK_PATHS; path++) {
        const svk_kernels *kernels = svk_path_kernels(path);
        if (!kernels) continue;
        uint64_t before = cases;
        digest = 1469598103934665603ull;
        all(portable, kernels);
        printf("%s: %llu comparisons with portable, digest of the results %016llx\n", kernels->name,
               (unsigned long long)(cases - before), (unsigned long long)digest);
        if (needed && strcmp(needed, kernels->name) == 0) found = 1;
    }
    printf("in use: %s; %llu of %llu comparisons differ\n", svk_current()->name, (unsigned long long)differences,
           (unsigned long long)cases);
    if (!found) printf("the path %s is missing\n", needed);
    return differences || !found;
}
