#pragma once
// What a parser of lines keeps: the wanted fields, and where they were found.

#include <memory>
#include <string>
#include <vector>

#include <simdjson.h>

#include "text.h"

/// A part of the line, by offsets.
struct Span {
    size_t start = 0;
    size_t end = 0;
    uint32_t kind = SLUICE_FIELD_MISSING;
    bool escaped = false;
};

/// A key on the path to a field.
struct Node {
    std::string key;
    std::vector<int> children;
    std::vector<int> fields;
    uint64_t seen = 0;
};

/// A chat turn by its places in the line. It is smaller than the turn itself, so that a line of nothing but turns does
/// not take a multiple of its size.
struct Turn {
    /// The role's characters, as they are spelled.
    uint32_t role_start = 0, role_end = 0;
    /// Where the content begins: a string, or a list of parts, which is read again where it is written out.
    uint32_t content = 0;
};

struct sluice_json {
    std::unique_ptr<simdjson::internal::dom_parser_implementation> stage1;
    size_t capacity = 0;
    /// Node 0 is the line's object.
    std::vector<Node> nodes{1};
    std::vector<Span> fields;
    /// The fields that hold chat turns.
    std::vector<int> chats;
    /// The values of `messages` and `conversations` at the top level, if chat is wanted.
    int messages_node = -1, conversations_node = -1;
    Span messages, conversations;
    bool chat_found = false;
    /// The turns come from `conversations`, whose speakers have other names.
    bool share_gpt = false;
    std::vector<Turn> turns;
    /// An upper bound of the encoded size of all turns, in bytes.
    size_t turns_size = 0;
    /// The length of the longest wanted key.
    size_t longest_key = 0;
    /// A different number for every line, so that marks need no clearing.
    uint64_t epoch = 0;
    std::vector<uint8_t> scratch;

    // The open containers. A node is -1 if nothing below it is wanted; `value` is the node of the container itself.
    uint8_t is_object[max_depth + 1];
    int inside[max_depth + 1];
    int value_node[max_depth + 1];
    size_t start[max_depth + 1];
    int depth = 0;
    /// The node of the key just read, used by the next value.
    int pending = -1;

    int child(int parent, const char *key, size_t length) {
        for (int c : nodes[size_t(parent)].children)
            if (nodes[size_t(c)].key.size() == length && std::memcmp(nodes[size_t(c)].key.data(), key, length) == 0)
                return c;
        return -1;
    }

    int add_child(int parent, const char *key, size_t length) {
        int found = child(parent, key, length);
        if (found >= 0) return found;
        int made = int(nodes.size());
        nodes.emplace_back();
        nodes.back().key.assign(key, length);
        if (length > longest_key) longest_key = length;
        nodes[size_t(parent)].children.push_back(made);
        return made;
    }

    // Callbacks of both walkers.

    void begin_line() {
        epoch++;
        depth = 0;
        pending = -1;
        for (auto &f : fields) f.kind = SLUICE_FIELD_MISSING;
        messages.kind = conversations.kind = SLUICE_FIELD_MISSING;
        chat_found = false;
    }

    void on_key(const uint8_t *line, size_t from, size_t to, bool escaped) {
        int in = inside[depth];
        if (in < 0) { pending = -1; return; }
        const char *key = reinterpret_cast<const char *>(line + from);
        size_t length = to - from;
        if (escaped) {
            // An escape is six bytes at most for one, so a much longer key is none of ours.
            if (length > 6 * longest_key) { pending = -1; return; }
            scratch.resize(length);
            length = size_t(unescape(line + from, line + to, scratch.data()) - scratch.data());
            key = reinterpret_cast<const char *>(scratch.data());
        }
        int found = child(in, key, length);
        // The first of equal keys wins.
        if (found >= 0 && nodes[size_t(found)].seen == epoch) found = -1;
        if (found >= 0) nodes[size_t(found)].seen = epoch;
        pending = found;
    }

    void set_value(int node, size_t from, size_t to, uint32_t kind, bool escaped) {
        Span span;
        span.start = from;
        span.end = to;
        span.kind = kind;
        span.escaped = escaped;
        for (int f : nodes[size_t(node)].fields) fields[size_t(f)] = span;
        if (node == messages_node) messages = span;
        if (node == conversations_node) conversations = span;
    }

    inline void on_string(size_t from, size_t to, bool escaped) {
        if (pending >= 0) set_value(pending, from, to, SLUICE_FIELD_STRING, escaped);
        pending = -1;
    }

    inline void on_scalar(size_t from, size_t to, bool null) {
        if (pending >= 0) set_value(pending, from, to, null ? SLUICE_FIELD_NULL : SLUICE_FIELD_OTHER, false);
        pending = -1;
    }

    inline bool on_open(size_t at, bool object) {
        if (depth >= max_depth) return false;
        int node = depth == 0 ? 0 : pending;
        depth++;
        is_object[depth] = object;
        value_node[depth] = node;
        inside[depth] = object ? node : -1;
        start[depth] = at;
        pending = -1;
        return true;
    }

    inline void on_close(size_t end) {
        int node = value_node[depth];
        if (node > 0) set_value(node, start[depth], end, SLUICE_FIELD_OTHER, false);
        depth--;
    }

    bool parse_fast(const uint8_t *line, size_t length);
    int parse_slow(const uint8_t *line, size_t length, size_t *position);
    bool reserve(size_t length);
    /// Writes the turns of the line that was read last: for each its role and its content, with their lengths.
    uint8_t *emit_chat(const uint8_t *line, uint8_t *out) const;
    bool read_chat(const uint8_t *line, const Span &value, const char *role_key, const char *content_key);
};
