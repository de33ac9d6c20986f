#pragma once
// Regular expressions of PCRE2, behind a header of its own: pcre2.h is all macros, which Swift does not see.
#include <stddef.h>
#include <stdint.h>

/// A compiled pattern. Threads may share it.
typedef struct sluice_pattern sluice_pattern;
/// What one thread needs to match: results, a stack for compiled code, limits.
typedef struct sluice_matcher sluice_matcher;

enum { SLUICE_PATTERN_MATCH = 1, SLUICE_PATTERN_NONE = 0, SLUICE_PATTERN_LIMIT = -1, SLUICE_PATTERN_FAILED = -2 };

/// Compiles UTF-8 text. On failure returns null, with the offset of the mistake in bytes and a message.
sluice_pattern *sluice_pattern_compile(
    const uint8_t *text, size_t length, size_t *offset, uint8_t *message, size_t message_size);
void sluice_pattern_free(sluice_pattern *pattern);

/// Null if there is no memory.
sluice_matcher *sluice_matcher_make(void);
void sluice_matcher_free(sluice_matcher *matcher);

/// Whether the pattern matches anywhere in the bytes. SLUICE_PATTERN_LIMIT after too many steps, or `seconds`.
int sluice_matcher_match(
    sluice_matcher *matcher, const sluice_pattern *pattern, const uint8_t *bytes, size_t length, double seconds);
