// Prints a Markdown table with the fraction of the machine's limit that each vector kernel reaches, on one core.
//
// The limits are measured in the same run: multiply-adds by a loop on registers, bytes by a loop that only loads, from
// memory (256 MiB) or from the second-level cache (256 KiB). Every figure is the best of many short repetitions, since
// others may use the machine too.
#include "CVectorKernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static volatile int64_t sink;

#define BEST(seconds, body)                                                                                   \
    do {                                                                                                      \
        seconds = 1e9;                                                                                        \
        double end = now() + 0.6;                                                                             \
        for (int i = 0; i < 5 || now() < end; i++) {                                                          \
            double start = now();                                                                             \
            body;                                                                                             \
            double took = now() - start;                                                                      \
            if (took < seconds) seconds = took;                                                               \
        }                                                                                                     \
    } while (0)

// MARK: Limits

enum { ROUNDS = 20000, CHAINS = 16 };

#if defined(__x86_64__)
#include <immintrin.h>
// The empty assembly keeps the compiler from computing a chain in advance.
// 64 products per instruction.
#define AVX512 "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
__attribute__((target(AVX512))) static void vnni_probe(void) {
    __m512i sum[CHAINS], a = _mm512_set1_epi8(1), b = a;
    for (int c = 0; c < CHAINS; c++) sum[c] = _mm512_setzero_si512();
    for (int r = 0; r < ROUNDS; r++) {
        __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma clang loop unroll(full)
        for (int c = 0; c < CHAINS; c++) sum[c] = _mm512_dpbusd_epi32(sum[c], a, b);
    }
    __m512i all = sum[0];
    for (int c = 1; c < CHAINS; c++) all = _mm512_add_epi32(all, sum[c]);
    sink = _mm512_reduce_add_epi32(all);
}
__attribute__((target(AVX512))) static void wide_double_probe(void) {
    __m512d sum[CHAINS], a = _mm512_set1_pd(1), b = a;
    for (int c = 0; c < CHAINS; c++) sum[c] = _mm512_setzero_pd();
    for (int r = 0; r < ROUNDS; r++) {
        __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma clang loop unroll(full)
        for (int c = 0; c < CHAINS; c++) {
            __m512d product = _mm512_mul_pd(a, b);
            __asm__ volatile("" : "+v"(product));
            sum[c] = _mm512_add_pd(sum[c], product);
        }
    }
    __m512d all = sum[0];
    for (int c = 1; c < CHAINS; c++) all = _mm512_add_pd(all, sum[c]);
    sink = (int64_t)_mm512_reduce_add_pd(all);
}
#define MADD_PROBE(name, features, type, madd, add, set, zero)                                                \
    __attribute__((target(features))) static void name(void) {                                                \
        type sum[12], a = set, b = set;                                                                       \
        for (int c = 0; c < 12; c++) sum[c] = zero;                                                           \
        for (int r = 0; r < ROUNDS; r++) {                                                                    \
            __asm__ volatile("" : "+x"(a), "+x"(b));                                                          \
            _Pragma("clang loop unroll(full)") for (int c = 0; c < 12; c++) {                                 \
                type product = madd(a, b);                                                                    \
                __asm__ volatile("" : "+x"(product));                                                         \
                sum[c] = add(sum[c], product);                                                                \
            }                                                                                                 \
        }                                                                                                     \
        type all = sum[0];                                                                                    \
        for (int c = 1; c < 12; c++) all = add(all, sum[c]);                                                  \
        memcpy((void *)&sink, &all, sizeof sink);                                                             \
    }
MADD_PROBE(avx2_probe, "avx2", __m256i, _mm256_madd_epi16, _mm256_add_epi32, _mm256_set1_epi16(1), _mm256_setzero_si256())
MADD_PROBE(avx2_double_probe, "avx2", __m256d, _mm256_mul_pd, _mm256_add_pd, _mm256_set1_pd(1), _mm256_setzero_pd())
MADD_PROBE(sse_probe, "sse2", __m128i, _mm_madd_epi16, _mm_add_epi32, _mm_set1_epi16(1), _mm_setzero_si128())
MADD_PROBE(sse_double_probe, "sse2", __m128d, _mm_mul_pd, _mm_add_pd, _mm_set1_pd(1), _mm_setzero_pd())

typedef struct { void (*probe)(void); double products; } limit;
// The instructions that a path may use: portable is compiled for SSE2.
static const limit integer_limits[] = {{sse_probe, 12 * 8}, {avx2_probe, 12 * 16}, {vnni_probe, CHAINS * 64}};
static const limit double_limits[] = {{sse_double_probe, 12 * 2}, {avx2_double_probe, 12 * 4}, {wide_double_probe, CHAINS * 8}};
#define X86 1
#else
#define X86 0
#endif

/// Only loads.
#if X86
__attribute__((target("avx512f")))
#endif
static void read_wide(const void *from, size_t bytes) {
    typedef uint64_t wide __attribute__((vector_size(64), aligned(64)));
    const wide *p = from;
    wide a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t i = 0; i + 4 <= bytes / 64; i += 4) {
        a |= p[i];
        b |= p[i + 1];
        c |= p[i + 2];
        d |= p[i + 3];
    }
    a = (a | b) | (c | d);
    sink = (int64_t)(a[0] | a[1] | a[2] | a[3] | a[4] | a[5] | a[6] | a[7]);
}
static void read_all(const void *from, size_t bytes) {
    if (svk_path_kernels(SVK_AVX512VNNI)) {
        read_wide(from, bytes);
        return;
    }
    typedef uint64_t wide __attribute__((vector_size(32), aligned(32)));
    const wide *p = from;
    wide a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t i = 0; i + 4 <= bytes / 32; i += 4) {
        a |= p[i];
        b |= p[i + 1];
        c |= p[i + 2];
        d |= p[i + 3];
    }
    a = (a | b) | (c | d);
    sink = (int64_t)(a[0] | a[1] | a[2] | a[3]);
}

// MARK: The table

static double memory_speed, cache_speed;

static void line(const char *path, const char *name, const char *shape, double per_second, const char *unit, double limit) {
    printf("| %s | %s | %s | %.*f %s | %.0f %% |\n", path, name, shape, per_second < 10e9 ? 1 : 0, per_second / 1e9, unit,
           100 * per_second / limit);
    fflush(stdout);
}

static int8_t *rows;
static const size_t far_bytes = 256u << 20, near_bytes = 256u << 10;

static void measure(int path) {
    const svk_kernels *kernels = svk_path_kernels(path);
    if (!kernels) return;
    const char *name = kernels->name;
    double seconds, integer_limit = 0, double_limit = 0;
#if X86
    BEST(seconds, integer_limits[path].probe());
    integer_limit = ROUNDS * integer_limits[path].products / seconds;
    BEST(seconds, double_limits[path].probe());
    double_limit = ROUNDS * double_limits[path].products / seconds;
    printf("| %s | *limit* | registers alone | %.0f G multiply-adds/s; Double %.0f G | |\n", name, integer_limit / 1e9,
           double_limit / 1e9);
#endif
    size_t d = 256, n = far_bytes / d, few = near_bytes / d;
    int32_t *out = malloc(n * 4), *value = malloc(n * 4);
    uint32_t *index = malloc(n * 4);
    int64_t sums[1536] = {0};
    memset(out, 0, n * 4);

#define STREAM(kernel, call_far, call_near)                                                                   \
    BEST(seconds, call_far);                                                                                  \
    line(name, kernel, "d 256, memory", (double)far_bytes / seconds, "GB/s", memory_speed);                   \
    BEST(seconds, call_near);                                                                                 \
    line(name, kernel, "d 256, cache", (double)near_bytes / seconds, "GB/s", cache_speed)
    STREAM("dots", kernels->dots(rows, rows, NULL, n, d, out), kernels->dots(rows, rows, NULL, few, d, out));
    STREAM("norms", kernels->norms(rows, n, d, out), kernels->norms(rows, few, d, out));
    STREAM("sums", kernels->sums(rows, NULL, n, d, sums), kernels->sums(rows, NULL, few, d, sums));

    static const size_t dimensions[] = {256, 384, 1536};
    for (int t = 0; t < 3; t++) {
        d = dimensions[t];
        size_t k = 256, height = 1536;
        char shape[60];
        snprintf(shape, sizeof shape, "%zu x %zu, d %zu", height, k, d);
        void *packed = aligned_alloc(64, (svk_packed_bytes(k, d) + 63) / 64 * 64);
        int32_t *products = malloc(height * k * 4);
        BEST(seconds, kernels->pack(rows, k, d, NULL, packed));
        if (t == 0) line(name, "pack", "d 256, cache", (double)(k * d) / seconds, "GB/s", cache_speed);
        double work = (double)height * (double)k * (double)d;
        BEST(seconds, kernels->nearest(rows, NULL, height, packed, index, value, NULL));
        line(name, "nearest", shape, work / seconds, "G/s", integer_limit);
        BEST(seconds, kernels->products(rows, height, packed, products, k));
        line(name, "products", shape, work / seconds, "G/s", integer_limit);
        free(packed);
        free(products);
    }
    d = 256;
    {
        size_t height = SVK_GRAM_ROWS;
        void *panel = aligned_alloc(64, (svk_gram_panel_bytes(height) + 63) / 64 * 64);
        int64_t *gram = calloc(64 * 64, 8);
        BEST(seconds, kernels->interleave(rows, height, d, 1, panel, sums));
        line(name, "interleave", "4096 rows", (double)(height * 64) / seconds, "GB/s", cache_speed);
        BEST(seconds, kernels->gram(panel, panel, height, 64, 64, gram, 64));
        line(name, "gram", "4096 rows", (double)height * 64 * 64 / seconds, "G/s", integer_limit);
        free(panel);
        free(gram);
    }
    {
        size_t m = 192, height = 512;
        double *weights = malloc(d * m * 8), *offsets = calloc(m, 8), *z = malloc(height * m * 8), *scratch = malloc(8 * d * 8);
        for (size_t i = 0; i < d * m; i++) weights[i] = 1.0 / (double)(i + 1);
        BEST(seconds, kernels->project(rows, height, d, weights, m, offsets, z, scratch));
        line(name, "project", "d 256 to 192", (double)height * (double)(d * m) / seconds, "G/s", double_limit);
        // The four kernels of the eigensolver, on a matrix in the cache.
        size_t size = 16384;
        double *x = calloc(size, 8), *y = calloc(size, 8), *v = calloc(size, 8), one[128], none[128] = {0};
        for (int i = 0; i < 128; i++) one[i] = 1;
        double bytes = 8 * (double)size;
        BEST(seconds, kernels->axpy(size, 1e-9, x, y));
        line(name, "axpy", "128 KiB each", 3 * bytes / seconds, "GB/s", cache_speed);
        BEST(seconds, kernels->axpy2(size, 1e-9, x, 1e-9, v, y));
        line(name, "axpy2", "128 KiB each", 4 * bytes / seconds, "GB/s", cache_speed);
        BEST(seconds, sink = (int64_t)kernels->inner(size, x, y));
        line(name, "inner", "128 KiB each", 2 * bytes / seconds, "GB/s", cache_speed);
        double *matrix = calloc(128 * 256, 8);
        BEST(seconds, kernels->rotate(matrix, 256, 256, 126, 127, one, none));
        line(name, "rotate", "128 x 256", 127.0 * 256 * 8 * 4 / seconds, "GB/s", cache_speed);
        free(weights), free(offsets), free(z), free(scratch), free(x), free(y), free(v), free(matrix);
    }
    free(out), free(value), free(index);
}

/// The loops without paths of their own: bytes read and written, in the cache.
static void scans(void) {
    double seconds;
    size_t n = 16384, d = 256;
    int32_t *norm = calloc(n, 4), *least = calloc(n, 4), *owner = calloc(n, 4), *value = calloc(n, 4);
    uint32_t *index = calloc(n, 4), *out = calloc(n + 1, 4);
    for (size_t i = 0; i < n; i++) least[i] = (int32_t)(i * 2654435761u % 1000), value[i] = (int32_t)(i * 40503u % 1000);
    BEST(seconds, svk_fold_least(NULL, n, index, value, norm, least, owner, 0));
    line("all", "svk_fold_least", "16,384 rows", (double)n * 28 / seconds, "GB/s", cache_speed);
    BEST(seconds, sink = (int64_t)svk_unsettled(least, owner, n, value, 0, out));
    line("all", "svk_unsettled", "16,384 rows", (double)n * 16 / seconds, "GB/s", cache_speed);
    BEST(seconds, sink = (int64_t)svk_at_least(value, n, 500, out));
    line("all", "svk_at_least", "16,384 rows", (double)n * 8 / seconds, "GB/s", cache_speed);
    float *floats = malloc(256 * d * 4);
    int32_t *integers = malloc(256 * d * 4);
    int64_t *gain = calloc(d, 8);
    for (size_t i = 0; i < 256 * d; i++) floats[i] = (float)(i % 101) - 50, integers[i] = (int32_t)(i % 101) - 50;
    int8_t *to = malloc(256 * d);
    BEST(seconds, sink = (int64_t)svk_quantise(floats, 256, d, 254, to));
    line("all", "svk_quantise", "d 256", (double)(256 * d) * 5 / seconds, "GB/s", cache_speed);
    BEST(seconds, sink = (int64_t)svk_quantise_integers(integers, 256, d, 254, to));
    line("all", "svk_quantise_integers", "d 256", (double)(256 * d) * 5 / seconds, "GB/s", cache_speed);
    BEST(seconds, svk_gains(integers, 64, 1024, 64, norm, norm, least, gain));
    line("all", "svk_gains", "1,024 x 64", 1024.0 * 64 * 4 / seconds, "GB/s", cache_speed);
    free(norm), free(least), free(owner), free(value), free(index), free(out), free(floats), free(integers), free(gain), free(to);
}

int main(void) {
    rows = aligned_alloc(64, far_bytes);
    uint64_t state = 1;
    for (size_t i = 0; i < far_bytes; i++) rows[i] = (int8_t)((state = state * 6364136223846793005u + 1442695040888963407u) >> 56);
    double seconds;
    BEST(seconds, read_all(rows, far_bytes));
    memory_speed = (double)far_bytes / seconds;
    BEST(seconds, read_all(rows, near_bytes));
    cache_speed = (double)near_bytes / seconds;
    printf("| path | kernel | shape | reached | of the limit |\n|---|---|---|--:|--:|\n");
    printf("| all | *limit* | loads alone | memory %.0f GB/s; cache %.0f GB/s | |\n", memory_speed / 1e9, cache_speed / 1e9);
    for (int path = SVK_PATHS - 1; path >= 0; path--) measure(path);
    scans();
    free(rows);
}
