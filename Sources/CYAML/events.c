#include "CYAML.h"

#include <stdlib.h>
#include <yaml.h>

struct sluice_yaml {
    yaml_parser_t parser;
    yaml_event_t event;
    int has_event;
};

sluice_yaml *sluice_yaml_create(const uint8_t *bytes, size_t length) {
    sluice_yaml *yaml = calloc(1, sizeof *yaml);
    if (!yaml) return NULL;
    if (!yaml_parser_initialize(&yaml->parser)) {
        free(yaml);
        return NULL;
    }
    yaml_parser_set_encoding(&yaml->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&yaml->parser, bytes, length);
    return yaml;
}

static void drop_event(sluice_yaml *yaml) {
    if (yaml->has_event) yaml_event_delete(&yaml->event);
    yaml->has_event = 0;
}

void sluice_yaml_destroy(sluice_yaml *yaml) {
    if (!yaml) return;
    drop_event(yaml);
    yaml_parser_delete(&yaml->parser);
    free(yaml);
}

static sluice_yaml_mark mark(yaml_mark_t mark) {
    sluice_yaml_mark result = {mark.line, mark.column};
    return result;
}

int sluice_yaml_next(sluice_yaml *yaml, sluice_yaml_event *event, sluice_yaml_failure *failure) {
    drop_event(yaml);
    if (!yaml_parser_parse(&yaml->parser, &yaml->event)) {
        const yaml_parser_t *parser = &yaml->parser;
        failure->problem = parser->problem;
        failure->mark = mark(parser->problem_mark);
        failure->context = parser->context;
        failure->context_mark = mark(parser->context_mark);
        failure->unreadable = parser->error == YAML_READER_ERROR;
        failure->offset = parser->problem_offset;
        return 0;
    }
    yaml->has_event = 1;
    const yaml_event_t *found = &yaml->event;
    *event = (sluice_yaml_event){.kind = SLUICE_YAML_OTHER, .start = mark(found->start_mark)};
    switch (found->type) {
        case YAML_STREAM_END_EVENT: event->kind = SLUICE_YAML_STREAM_END; break;
        case YAML_DOCUMENT_START_EVENT: event->kind = SLUICE_YAML_DOCUMENT_START; break;
        case YAML_DOCUMENT_END_EVENT: event->kind = SLUICE_YAML_DOCUMENT_END; break;
        case YAML_SCALAR_EVENT:
            event->kind = SLUICE_YAML_SCALAR;
            event->text = found->data.scalar.value;
            event->length = found->data.scalar.length;
            event->quoted = found->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
            event->anchor = (const char *)found->data.scalar.anchor;
            break;
        case YAML_SEQUENCE_START_EVENT:
            event->kind = SLUICE_YAML_SEQUENCE_START;
            event->anchor = (const char *)found->data.sequence_start.anchor;
            break;
        case YAML_SEQUENCE_END_EVENT: event->kind = SLUICE_YAML_SEQUENCE_END; break;
        case YAML_MAPPING_START_EVENT:
            event->kind = SLUICE_YAML_MAP_START;
            event->anchor = (const char *)found->data.mapping_start.anchor;
            break;
        case YAML_MAPPING_END_EVENT: event->kind = SLUICE_YAML_MAP_END; break;
        case YAML_ALIAS_EVENT:
            event->kind = SLUICE_YAML_ALIAS;
            event->anchor = (const char *)found->data.alias.anchor;
            break;
        default: break;
    }
    return 1;
}
