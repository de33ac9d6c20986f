#pragma once
// A C interface to simdjson for one job: validate one line of JSON completely and extract some of its fields.
//
// The fast path runs simdjson's first stage (UTF-8, quotes, structural positions) and walks those positions with its
// own strict grammar, so that numbers of any size are valid and keep their spelling. The slow path is a plain scalar
// validator of RFC 8259; it locates faults and handles lines too long for the position table.
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SLUICE_JSON_OK = 0,
    SLUICE_JSON_EMPTY = 1,
    SLUICE_JSON_IS_ARRAY = 2,
    SLUICE_JSON_IS_SCALAR = 3,
    SLUICE_JSON_SECOND_VALUE = 4,
    SLUICE_JSON_TRAILING = 5,
    SLUICE_JSON_UTF8 = 6,
    SLUICE_JSON_CONTROL_CHARACTER = 7,
    SLUICE_JSON_BAD_ESCAPE = 8,
    SLUICE_JSON_LONE_SURROGATE = 9,
    SLUICE_JSON_UNTERMINATED = 10,
    SLUICE_JSON_BAD_NUMBER = 11,
    SLUICE_JSON_BAD_LITERAL = 12,
    SLUICE_JSON_UNEXPECTED = 13,
    SLUICE_JSON_TOO_DEEP = 14,
    SLUICE_JSON_MEMORY = 15,
    SLUICE_JSON_INTERNAL = 16,
};

enum {
    SLUICE_FIELD_MISSING = 0,
    SLUICE_FIELD_NULL = 1,
    SLUICE_FIELD_STRING = 2,
    SLUICE_FIELD_OTHER = 3,
    SLUICE_FIELD_CHAT = 4,
};

enum { SLUICE_JSON_AUTO = 0, SLUICE_JSON_FAST = 1, SLUICE_JSON_SLOW = 2 };

typedef struct sluice_json sluice_json;

/// A field of the last line: the offset of its bytes from the start of the output, their length and kind.
typedef struct {
    uint64_t offset;
    uint32_t length;
    uint32_t kind;
} sluice_json_field;

/// NULL if out of memory.
sluice_json *sluice_json_create(void);
void sluice_json_destroy(sluice_json *json);

/// Adds a path of `count` keys, given one after another in `keys` with their `lengths`. Returns the field's number.
int sluice_json_add_path(sluice_json *json, const uint8_t *keys, const size_t *lengths, size_t count);
/// Adds the field that recognises chat turns. Returns the field's number.
int sluice_json_add_chat(sluice_json *json);

/// Validates one line (without its line end) and remembers where the fields are. On SLUICE_JSON_OK `*needed` is an
/// upper bound of the bytes that `sluice_json_emit` writes; on any other code `*position` is the offset in the line
/// that shows the fault.
int sluice_json_parse(sluice_json *json, const uint8_t *line, size_t length, int mode, size_t *needed,
                      size_t *position);

/// Writes the fields of the line just checked to `out`, which has room for `needed` bytes; returns the bytes written.
/// Offsets are `base` plus the position in `out`. The line must not have moved.
size_t sluice_json_emit(sluice_json *json, const uint8_t *line, uint8_t *out, uint64_t base,
                        sluice_json_field *fields);

/// Gives back the memory that grew with the longest line. The next line makes what it needs anew.
void sluice_json_shrink(sluice_json *json);

int sluice_utf8_valid(const uint8_t *bytes, size_t length);

#ifdef __cplusplus
}
#endif
