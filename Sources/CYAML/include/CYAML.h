#pragma once
// libyaml's parser, event by event. A face of its own, since yaml.h brings parts of the C library that Swift must see
// through Glibc alone.
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

/// Pointers are good until the next call.
typedef struct {
    sluice_yaml_kind kind;
    sluice_yaml_mark start;
    const uint8_t *text;
    size_t length;
    int quoted;
    /// The anchor of a node or the name of an alias; NULL where there is none.
    const char *anchor;
} sluice_yaml_event;

typedef struct {
    const char *problem;
    sluice_yaml_mark mark;
    /// NULL where there is none.
    const char *context;
    sluice_yaml_mark context_mark;
    /// Whether a byte can't be read at all, and which.
    int unreadable;
    size_t offset;
} sluice_yaml_failure;

typedef struct sluice_yaml sluice_yaml;

/// Parses `length` bytes of UTF-8, which must stay. NULL when memory is short.
sluice_yaml *sluice_yaml_create(const uint8_t *bytes, size_t length);
void sluice_yaml_destroy(sluice_yaml *yaml);
/// 1 and the next event, or 0 and why there is none.
int sluice_yaml_next(sluice_yaml *yaml, sluice_yaml_event *event, sluice_yaml_failure *failure);
