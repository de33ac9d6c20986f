#pragma once
// libyaml's parser, event by event. It has its own header, since yaml.h includes parts of the C library that Swift must
// see only through Glibc.
#include <stddef.h>
#include <stdint.h>

typedef enum {
    SLUICE_YAML_OTHER,
    SLUICE_YAML_STREAM_END,
    SLUICE_YAML_DOCUMENT_START,
    SLUICE_YAML_DOCUMENT_END,
    SLUICE_YAML_SCALAR,
    SLUICE_YAML_SEQUENCE_START,
    SLUICE_YAML_SEQUENCE_END,
    SLUICE_YAML_MAP_START,
    SLUICE_YAML_MAP_END,
    SLUICE_YAML_ALIAS,
} sluice_yaml_kind;

/// Lines and columns from 0.
typedef struct {
    size_t line;
    size_t column;
} sluice_yaml_mark;

/// Pointers are valid until the next call.
typedef struct {
    sluice_yaml_kind kind;
    sluice_yaml_mark start;
    const uint8_t *text;
    size_t length;
    int quoted;
    /// The anchor of a node or the name of an alias; NULL if there is none.
    const char *anchor;
} sluice_yaml_event;

typedef struct {
    const char *problem;
    sluice_yaml_mark mark;
    /// NULL if there is none.
    const char *context;
    sluice_yaml_mark context_mark;
    /// Whether a byte is unreadable, and which.
    int unreadable;
    size_t offset;
} sluice_yaml_failure;

typedef struct sluice_yaml sluice_yaml;

/// Parses `length` bytes of UTF-8, which must stay valid. NULL if out of memory.
sluice_yaml *sluice_yaml_create(const uint8_t *bytes, size_t length);
void sluice_yaml_destroy(sluice_yaml *yaml);
/// Returns 1 and the next event, or 0 and the reason why there is none.
int sluice_yaml_next(sluice_yaml *yaml, sluice_yaml_event *event, sluice_yaml_failure *failure);
