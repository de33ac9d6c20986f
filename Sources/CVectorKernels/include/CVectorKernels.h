#pragma once
// Kernels over row-major Int8 vectors (`n` rows of `d` components, no padding, any alignment) and a few over Double.
//
// Every path computes the same bits: integer results are exact, and the floating-point kernels fix the order of every
// sum, never contract a multiply and an add, and use only + - * / sqrt. No kernel reads or writes outside its
// arguments.
//
// `Benchmarks/kernels.sh` compares each with the peak of a core; docs/architecture.md has the figures.
//
// Limits: 1 <= d <= SVK_MAX_DIMENSION, so that every product fits Int32; components may be any Int8, including -128.
#include <stddef.h>
#include <stdint.h>

#define SVK_MAX_DIMENSION 8192
/// Columns that one panel of a packed matrix holds.
#define SVK_PANEL 64
/// Rows that `svk_kernels.gram` takes at most in one call.
#define SVK_GRAM_ROWS 4096
/// Rows that `svk_kernels.weighted` takes at most in one call: their sum fits Int32.
#define SVK_WEIGHTED_ROWS 512

enum { SVK_PORTABLE = 0, SVK_AVX2 = 1, SVK_AVX512VNNI = 2, SVK_NEON = 3, SVK_PATHS = 4 };

/// Numbers of a table: single precision, half precision, Int8.
enum { SVK_F32 = 0, SVK_F16 = 1, SVK_I8 = 2 };

typedef struct svk_kernels {
    int32_t path;
    const char *_Nonnull name;

    /// out[i] = rows[i] . x, for n rows (those that `select` names, or 0..<n if it is NULL). Limited by memory
    /// bandwidth.
    void (*_Nonnull dots)(const int8_t *_Nonnull x, const int8_t *_Nonnull rows, const uint32_t *_Nullable select,
                          size_t n, size_t d, int32_t *_Nonnull out);
    /// out[i] = rows[i] . rows[i].
    void (*_Nonnull norms)(const int8_t *_Nonnull rows, size_t n, size_t d, int32_t *_Nonnull out);

    /// Packs k columns (each a vector of d components, row-major) for `nearest` and `products`. `bias` (k values, or
    /// NULL for 0) is what `nearest` adds to each column. `packed` has svk_packed_bytes(k, d) bytes, aligned to 64;
    /// only the path that packed it can read it.
    void (*_Nonnull pack)(const int8_t *_Nonnull columns, size_t k, size_t d, const int32_t *_Nullable bias,
                          void *_Nonnull packed);
    /// For every row: value = min over columns c of bias[c] - 2 (row . c), index = the lowest column that reaches it,
    /// second (if not NULL) = the min over all other columns, INT32_MAX if there are none. `select` names the n rows to
    /// take (NULL: rows 0..<n); outputs are dense, one per row taken.
    /// |bias| <= 2^29. k = 0 gives INT32_MAX and UINT32_MAX.
    void (*_Nonnull nearest)(const int8_t *_Nonnull rows, const uint32_t *_Nullable select, size_t n,
                             const void *_Nonnull packed, uint32_t *_Nonnull index, int32_t *_Nonnull value,
                             int32_t *_Nullable second);
    /// out[i * stride + c] = rows[i] . columns[c] for the n rows and all k columns.
    void (*_Nonnull products)(const int8_t *_Nonnull rows, size_t n, const void *_Nonnull packed,
                              int32_t *_Nonnull out, size_t stride);

    /// out[j] += sum over the n <= SVK_WEIGHTED_ROWS rows that `select` names of weight[t] (component j of row t).
    void (*_Nonnull weighted)(const int8_t *_Nonnull rows, const uint32_t *_Nonnull select,
                              const int16_t *_Nonnull weight, size_t n, size_t d, int32_t *_Nonnull out);
    /// out[j] += sum over the n rows (those that `select` names, or 0..<n) of component j.
    void (*_Nonnull sums)(const int8_t *_Nonnull rows, const uint32_t *_Nullable select, size_t n, size_t d,
                          int64_t *_Nonnull out);

    /// Interleaves panel `p` (components 64 p ..< 64 p + 64) of n <= SVK_GRAM_ROWS rows for `gram` into `panel`,
    /// svk_gram_panel_bytes(n) bytes aligned to 64, and adds the panel's component sums to sums[64].
    void (*_Nonnull interleave)(const int8_t *_Nonnull rows, size_t n, size_t d, size_t p, void *_Nonnull panel,
                                int64_t *_Nonnull sums);
    /// out[i * stride + j] += sum over the n rows of (component i of panel a) (component j of panel b),
    /// for i in 0..<rowsOut, j in 0..<columnsOut (both at most 64).
    void (*_Nonnull gram)(const void *_Nonnull a, const void *_Nonnull b, size_t n, size_t rowsOut,
                          size_t columnsOut, int64_t *_Nonnull out, size_t stride);

    /// z[r * m + j] = (sum over i, in order, of rows[r][i] w(i, j)) - offset[j]; m a multiple of 8.
    /// `w` is laid out in panels of 24 columns (the last one narrower): svk_weight_index(i, j, d, m).
    /// `scratch` holds 8 * d doubles.
    void (*_Nonnull project)(const int8_t *_Nonnull rows, size_t n, size_t d, const double *_Nonnull w, size_t m,
                             const double *_Nonnull offset, double *_Nonnull z, double *_Nonnull scratch);
    /// sums[j] += weight[t] (number j of row rows[t]) for t in 0..<n, in this order, in single precision. `table` has rows
    /// of `kind` (SVK_F32, ...), `stride` bytes apart, at any address; half precision without infinities or NaN.
    void (*_Nonnull add_rows)(int kind, const void *_Nonnull table, size_t stride, const uint32_t *_Nonnull rows,
                              const float *_Nonnull weight, size_t n, size_t d, float *_Nonnull sums);
    /// y += a x, element by element.
    void (*_Nonnull axpy)(size_t n, double a, const double *_Nonnull x, double *_Nonnull y);
    /// y += a x + b v, as (y + a x) + b v.
    void (*_Nonnull axpy2)(size_t n, double a, const double *_Nonnull x, double b, const double *_Nonnull v,
                           double *_Nonnull y);
    /// The inner product in eight interleaved partial sums (element i goes to sum i mod 8), added pairwise at the end:
    /// ((s0+s4)+(s2+s6)) + ((s1+s5)+(s3+s7)).
    double (*_Nonnull inner)(size_t n, const double *_Nonnull x, const double *_Nonnull y);
    /// Applies `count` plane rotations to the rows first, first - 1, ... of a matrix with row stride `stride`, on
    /// `width` columns: rotation t mixes rows i = first - t and i + 1 as (x_i, x_i+1) -> (c x_i - s x_i+1, s x_i + c
    /// x_i+1).
    void (*_Nonnull rotate)(double *_Nonnull rows, size_t stride, size_t width, size_t first, size_t count,
                            const double *_Nonnull c, const double *_Nonnull s);
} svk_kernels;

/// The kernels of one path, or NULL if this machine (or this build) lacks it.
const svk_kernels *_Nullable svk_path_kernels(int path);
/// The kernels in use: the environment variable SLUICE_KERNELS (portable, avx2, avx512vnni, neon) if it names a path
/// that the machine has, else the fastest; or what `svk_select` chose last.
const svk_kernels *_Nonnull svk_current(void);
/// Chooses a path for the whole process; 0 and no change if the machine lacks it.
int svk_select(int path);

/// Bytes of a packed matrix of k columns: the same for every path.
size_t svk_packed_bytes(size_t k, size_t d);
/// Bytes of one interleaved panel of n rows: the same for every path.
size_t svk_gram_panel_bytes(size_t n);
/// The index of weight (i, j) of `project`.
static inline size_t svk_weight_index(size_t i, size_t j, size_t d, size_t m) {
    size_t panel = j / 24, width = m - panel * 24 < 24 ? m - panel * 24 : 24;
    return panel * 24 * d + i * width + (j - panel * 24);
}

/// Updates running minima. Each of n rows (the `select`ed ones, or 0..<n) has the squared distance value[t] + norm[row]
/// to the nearest of the new centres; if that is below least[row], least and owner are set (owner = base + index[t]).
void svk_fold_least(const uint32_t *_Nullable select, size_t n, const uint32_t *_Nonnull index,
                    const int32_t *_Nonnull value, const int32_t *_Nonnull norm, int32_t *_Nonnull least,
                    int32_t *_Nonnull owner, int32_t base);
/// Writes to out the rows i in 0..<n with reach[owner[i] + shift] < 4 least[i] (as 64-bit numbers): those that the
/// triangle inequality does not settle. Returns their count.
size_t svk_unsettled(const int32_t *_Nonnull least, const int32_t *_Nonnull owner, size_t n,
                     const int32_t *_Nonnull reach, int32_t shift, uint32_t *_Nonnull out);
/// Writes to out the rows i in 0..<n with value[i] >= threshold. Returns their count.
size_t svk_at_least(const int32_t *_Nonnull value, size_t n, int32_t threshold, uint32_t *_Nonnull out);
/// Quantises n rows of d floats: the row scaled to length `scale`, rounded half to even, clipped to +-127; a row of
/// zeros stays zero. Returns n, or the first row that has a NaN or an infinity (or a square sum of 0 or infinity in
/// Double that is not a zero row).
size_t svk_quantise(const float *_Nonnull x, size_t n, size_t d, double scale, int8_t *_Nonnull out);
/// The same for rows of integers (|value| < 2^31).
size_t svk_quantise_integers(const int32_t *_Nonnull x, size_t n, size_t d, double scale, int8_t *_Nonnull out);
/// gain[c] += sum over the n rows of max(0, least[r] - (norm[r] + columnNorm[c] - 2 product[r * stride + c])), c < k.
void svk_gains(const int32_t *_Nonnull product, size_t stride, size_t n, size_t k, const int32_t *_Nonnull norm,
               const int32_t *_Nonnull columnNorm, const int32_t *_Nonnull least, int64_t *_Nonnull gain);
