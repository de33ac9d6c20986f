// Chooses the path: the fastest that the machine supports, unless the environment or the program names another.
#include "paths.h"
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define SVK_HWCAP_ASIMDDP (1ul << 20)
#endif

const svk_kernels *svk_path_kernels(int path) {
    switch (path) {
    case SVK_PORTABLE:
        return &svk_portable_kernels;
#if defined(__x86_64__)
    case SVK_AVX2:
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") ? &svk_avx2_kernels : NULL;
    case SVK_AVX512VNNI:
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                       __builtin_cpu_supports("avx512vnni")
                   ? &svk_avx512_kernels
                   : NULL;
#endif
#if defined(__aarch64__)
    case SVK_NEON:
#if defined(__linux__)
        return getauxval(AT_HWCAP) & SVK_HWCAP_ASIMDDP ? &svk_neon_kernels : NULL;
#else
        return &svk_neon_kernels;
#endif
#endif
    default:
        return NULL;
    }
}

static _Atomic(const svk_kernels *) chosen;

static const svk_kernels *first_choice(void) {
    const char *name = getenv("SLUICE_KERNELS");
    const svk_kernels *best = &svk_portable_kernels;
    for (int path = 0; path < SVK_PATHS; path++) {
        const svk_kernels *kernels = svk_path_kernels(path);
        if (!kernels) continue;
        best = kernels;
        if (name && strcmp(name, kernels->name) == 0) return kernels;
    }
    return best;
}

const svk_kernels *svk_current(void) {
    const svk_kernels *kernels = atomic_load_explicit(&chosen, memory_order_acquire);
    if (!kernels) {
        kernels = first_choice();
        atomic_store_explicit(&chosen, kernels, memory_order_release);
    }
    return kernels;
}

int svk_select(int path) {
    const svk_kernels *kernels = svk_path_kernels(path);
    if (!kernels) return 0;
    atomic_store_explicit(&chosen, kernels, memory_order_release);
    return 1;
}
