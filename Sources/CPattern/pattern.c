#define PCRE2_CODE_UNIT_WIDTH 8
#include "CPattern.h"
#include <pcre2.h>
#include <stdlib.h>
#include <time.h>

// A pattern that a definition contains is short. The limits keep what compiling takes small, too.
static const size_t longest_pattern = 1 << 16;
static const uint32_t deepest_parentheses = 100;
static const size_t largest_stack = 1 << 20;
static const uint32_t most_heap_kib = 1 << 10;
// Steps from one place of the text. PCRE2 counts anew for every place where a match may begin, so the places are tried in
// runs, and the clock is read between them.
static const uint32_t fewest_steps = 1000000;
static const size_t first_run = 1024, longest_run = 4096;

struct sluice_pattern {
    pcre2_code *code;
};

struct sluice_matcher {
    pcre2_match_context *context;
    pcre2_match_data *data;
    pcre2_jit_stack *stack;
};

sluice_pattern *sluice_pattern_compile(
    const uint8_t *text, size_t length, size_t *offset, uint8_t *message, size_t message_size)
{
    *offset = 0;
    message[0] = 0;
    sluice_pattern *pattern = malloc(sizeof *pattern);
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!pattern || !context) {
        free(pattern);
        pcre2_compile_context_free(context);
        return NULL;
    }
    pcre2_set_max_pattern_length(context, longest_pattern);
    pcre2_set_parens_nest_limit(context, deepest_parentheses);
    int error;
    uint32_t options =
        PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;
    pattern->code = pcre2_compile(text, length, options, &error, offset, context);
    pcre2_compile_context_free(context);
    if (!pattern->code) {
        pcre2_get_error_message(error, message, message_size);
        free(pattern);
        return NULL;
    }
    // Where the system lets no program make code, PCRE2 interprets the pattern: slower, with the same matches.
    pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    return pattern;
}

void sluice_pattern_free(sluice_pattern *pattern)
{
    if (!pattern) return;
    pcre2_code_free(pattern->code);
    free(pattern);
}

sluice_matcher *sluice_matcher_make(void)
{
    sluice_matcher *matcher = calloc(1, sizeof *matcher);
    if (!matcher) return NULL;
    matcher->context = pcre2_match_context_create(NULL);
    matcher->data = pcre2_match_data_create(1, NULL);
    matcher->stack = pcre2_jit_stack_create(32 << 10, largest_stack, NULL);
    if (!matcher->context || !matcher->data) {
        sluice_matcher_free(matcher);
        return NULL;
    }
    pcre2_set_heap_limit(matcher->context, most_heap_kib);
    if (matcher->stack) pcre2_jit_stack_assign(matcher->context, NULL, matcher->stack);
    return matcher;
}

void sluice_matcher_free(sluice_matcher *matcher)
{
    if (!matcher) return;
    pcre2_match_context_free(matcher->context);
    pcre2_match_data_free(matcher->data);
    pcre2_jit_stack_free(matcher->stack);
    free(matcher);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int meaning(int result)
{
    if (result >= 0) return SLUICE_PATTERN_MATCH;
    switch (result) {
    case PCRE2_ERROR_NOMATCH: return SLUICE_PATTERN_NONE;
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT:
    case PCRE2_ERROR_HEAPLIMIT:
    case PCRE2_ERROR_JIT_STACKLIMIT: return SLUICE_PATTERN_LIMIT;
    default: return SLUICE_PATTERN_FAILED;
    }
}

int sluice_matcher_match(
    sluice_matcher *matcher, const sluice_pattern *pattern, const uint8_t *bytes, size_t length, double seconds)
{
    const uint8_t *text = bytes ? bytes : (const uint8_t *)"";
    size_t steps = fewest_steps + 8 * length;
    pcre2_set_match_limit(matcher->context, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    size_t start = 0, run = first_run;
    double last = length > first_run ? now() : 0, end = last + seconds;
    for (;;) {
        size_t limit = length - start <= run ? PCRE2_UNSET : start + run - 1;
        pcre2_set_offset_limit(matcher->context, limit);
        int result = meaning(pcre2_match(pattern->code, text, length, start, 0, matcher->data, matcher->context));
        if (result != SLUICE_PATTERN_NONE || limit == PCRE2_UNSET) return result;
        start += run;
        // At the beginning of a character; bytes that are no UTF-8 have none for long.
        while (start < length && (text[start] & 0xC0) == 0x80) start++;
        double time = now();
        if (time > end) return SLUICE_PATTERN_LIMIT;
        if (time - last < 1e-3 && run < longest_run) run = longest_run;
        last = time;
    }
}
