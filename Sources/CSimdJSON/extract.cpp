#include <new>

#include "json.h"

extern "C" {

sluice_json *sluice_json_create(void) {
    auto made = new (std::nothrow) sluice_json;
    return made;
}

void sluice_json_destroy(sluice_json *json) { delete json; }

int sluice_json_add_path(sluice_json *json, const uint8_t *keys, const size_t *lengths, size_t count) {
    int node = 0;
    for (size_t i = 0; i < count; i++) {
        node = json->add_child(node, reinterpret_cast<const char *>(keys), lengths[i]);
        keys += lengths[i];
    }
    int field = int(json->fields.size());
    json->fields.emplace_back();
    json->nodes[size_t(node)].fields.push_back(field);
    return field;
}

int sluice_json_add_chat(sluice_json *json) {
    json->messages_node = json->add_child(0, "messages", 8);
    json->conversations_node = json->add_child(0, "conversations", 13);
    int field = int(json->fields.size());
    json->fields.emplace_back();
    json->chats.push_back(field);
    return field;
}

int sluice_json_parse(sluice_json *json, const uint8_t *line, size_t length, int mode, size_t *needed,
                      size_t *position) {
    *needed = 0;
    *position = 0;
    bool fast = mode == SLUICE_JSON_FAST || (mode == SLUICE_JSON_AUTO && length <= fast_limit);
    try {
        if (!(fast && json->parse_fast(line, length))) {
            if (int code = json->parse_slow(line, length, position)) return code;
            // With only the fast path requested, the slow one must not accept.
            if (mode == SLUICE_JSON_FAST) return SLUICE_JSON_INTERNAL;
        }
        size_t total = 0;
        if (!json->chats.empty()) {
            bool found = json->read_chat(line, json->messages, "role", "content");
            json->share_gpt = !found;
            if (!found) found = json->read_chat(line, json->conversations, "from", "value");
            if (found) total += json->turns_size * json->chats.size();
            json->chat_found = found;
        }
        for (auto &f : json->fields)
            if (f.kind == SLUICE_FIELD_STRING || f.kind == SLUICE_FIELD_OTHER) total += f.end - f.start;
        *needed = total;
        return SLUICE_JSON_OK;
    } catch (const std::bad_alloc &) {
        return SLUICE_JSON_MEMORY;
    }
}

size_t sluice_json_emit(sluice_json *json, const uint8_t *line, uint8_t *out, uint64_t base,
                        sluice_json_field *fields) {
    uint8_t *begin = out;
    for (size_t i = 0; i < json->fields.size(); i++) {
        const Span &f = json->fields[i];
        fields[i].offset = base + uint64_t(out - begin);
        fields[i].kind = f.kind;
        uint8_t *from = out;
        if (f.kind == SLUICE_FIELD_STRING && f.escaped) {
            out = unescape(line + f.start, line + f.end, out);
        } else if (f.kind == SLUICE_FIELD_STRING || f.kind == SLUICE_FIELD_OTHER) {
            std::memcpy(out, line + f.start, f.end - f.start);
            out += f.end - f.start;
        }
        fields[i].length = uint32_t(out - from);
    }
    for (int number : json->chats) {
        if (!json->chat_found) break;
        uint8_t *from = out;
        out = json->emit_chat(line, out);
        fields[number].offset = base + uint64_t(from - begin);
        fields[number].length = uint32_t(out - from);
        fields[number].kind = SLUICE_FIELD_CHAT;
    }
    return size_t(out - begin);
}

void sluice_json_shrink(sluice_json *json) {
    json->stage1.reset();
    json->capacity = 0;
    json->turns = std::vector<Turn>();
    json->scratch = std::vector<uint8_t>();
}

int sluice_utf8_valid(const uint8_t *bytes, size_t length) {
    return simdjson::validate_utf8(reinterpret_cast<const char *>(bytes), length);
}

} // extern "C"
