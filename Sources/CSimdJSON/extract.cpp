#include "CSimdJSON.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <simdjson.h>

namespace {

constexpr int max_depth = 1024;
/// Longer lines take the slow path: simdjson's position table needs four bytes per byte of line.
constexpr size_t fast_limit = size_t(1) << 20;

inline bool is_space(uint8_t c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
inline bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

inline int hex_value(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/// The four hexadecimal digits at `p`, or -1.
inline int hex4(const uint8_t *p, const uint8_t *end) {
    if (end - p < 4) return -1;
    int a = hex_value(p[0]), b = hex_value(p[1]), c = hex_value(p[2]), d = hex_value(p[3]);
    if ((a | b | c | d) < 0) return -1;
    return a << 12 | b << 8 | c << 4 | d;
}

/// Checks the escape whose backslash is at `p`. Returns its length (6 or 12 for \u, else 2), or minus an error code.
inline int check_escape(const uint8_t *p, const uint8_t *end) {
    if (end - p < 2) return -SLUICE_JSON_BAD_ESCAPE;
    switch (p[1]) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
        return 2;
    case 'u': {
        int unit = hex4(p + 2, end);
        if (unit < 0) return -SLUICE_JSON_BAD_ESCAPE;
        if ((unit & 0xF800) != 0xD800) return 6;
        if (unit >= 0xDC00) return -SLUICE_JSON_LONE_SURROGATE;
        if (end - p < 12 || p[6] != '\\' || p[7] != 'u') return -SLUICE_JSON_LONE_SURROGATE;
        int low = hex4(p + 8, end);
        if (low < 0xDC00 || low > 0xDFFF) return -SLUICE_JSON_LONE_SURROGATE;
        return 12;
    }
    default:
        return -SLUICE_JSON_BAD_ESCAPE;
    }
}

/// Unescapes a checked string; `out` needs at most `end - p` bytes.
inline uint8_t *unescape(const uint8_t *p, const uint8_t *end, uint8_t *out) {
    while (p < end) {
        auto slash = static_cast<const uint8_t *>(std::memchr(p, '\\', size_t(end - p)));
        size_t run = size_t((slash ? slash : end) - p);
        std::memcpy(out, p, run);
        out += run;
        if (!slash) break;
        p = slash;
        switch (p[1]) {
        case 'b': *out++ = '\b'; p += 2; break;
        case 'f': *out++ = '\f'; p += 2; break;
        case 'n': *out++ = '\n'; p += 2; break;
        case 'r': *out++ = '\r'; p += 2; break;
        case 't': *out++ = '\t'; p += 2; break;
        case 'u': {
            uint32_t c = uint32_t(hex4(p + 2, end));
            p += 6;
            if ((c & 0xF800) == 0xD800) {
                c = 0x10000 + ((c - 0xD800) << 10) + (uint32_t(hex4(p + 2, end)) - 0xDC00);
                p += 6;
            }
            if (c < 0x80) {
                *out++ = uint8_t(c);
            } else if (c < 0x800) {
                *out++ = uint8_t(0xC0 | c >> 6);
                *out++ = uint8_t(0x80 | (c & 63));
            } else if (c < 0x10000) {
                *out++ = uint8_t(0xE0 | c >> 12);
                *out++ = uint8_t(0x80 | (c >> 6 & 63));
                *out++ = uint8_t(0x80 | (c & 63));
            } else {
                *out++ = uint8_t(0xF0 | c >> 18);
                *out++ = uint8_t(0x80 | (c >> 12 & 63));
                *out++ = uint8_t(0x80 | (c >> 6 & 63));
                *out++ = uint8_t(0x80 | (c & 63));
            }
            break;
        }
        default: *out++ = p[1]; p += 2; break;
        }
    }
    return out;
}

/// The end of the number that starts at `p`, or nullptr; `*fault` is then the byte that shows it.
inline const uint8_t *number_end(const uint8_t *p, const uint8_t *end, const uint8_t **fault) {
    if (p < end && *p == '-') p++;
    if (p >= end || !is_digit(*p)) { *fault = p; return nullptr; }
    if (*p == '0') {
        p++;
        if (p < end && is_digit(*p)) { *fault = p; return nullptr; }
    } else {
        while (p < end && is_digit(*p)) p++;
    }
    if (p < end && *p == '.') {
        p++;
        if (p >= end || !is_digit(*p)) { *fault = p; return nullptr; }
        while (p < end && is_digit(*p)) p++;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        if (p >= end || !is_digit(*p)) { *fault = p; return nullptr; }
        while (p < end && is_digit(*p)) p++;
    }
    return p;
}

/// The end of true, false or null at `p`, or nullptr.
inline const uint8_t *literal_end(const uint8_t *p, const uint8_t *end) {
    size_t left = size_t(end - p);
    if (left >= 4 && std::memcmp(p, "true", 4) == 0) return p + 4;
    if (left >= 5 && std::memcmp(p, "false", 5) == 0) return p + 5;
    if (left >= 4 && std::memcmp(p, "null", 4) == 0) return p + 4;
    return nullptr;
}

/// The length of the multi-byte UTF-8 sequence at `p`; 0 if invalid.
inline int utf8_length(const uint8_t *p, const uint8_t *end) {
    uint8_t a = p[0];
    size_t left = size_t(end - p);
    auto tail = [&](size_t i) { return (p[i] & 0xC0) == 0x80; };
    if (a >= 0xC2 && a <= 0xDF) return left >= 2 && tail(1) ? 2 : 0;
    if (a >= 0xE0 && a <= 0xEF) {
        if (left < 3 || !tail(1) || !tail(2)) return 0;
        if (a == 0xE0 && p[1] < 0xA0) return 0;
        if (a == 0xED && p[1] > 0x9F) return 0;
        return 3;
    }
    if (a >= 0xF0 && a <= 0xF4) {
        if (left < 4 || !tail(1) || !tail(2) || !tail(3)) return 0;
        if (a == 0xF0 && p[1] < 0x90) return 0;
        if (a == 0xF4 && p[1] > 0x8F) return 0;
        return 4;
    }
    return 0;
}

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

} // namespace

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
    bool read_chat(const uint8_t *line, const Span &value, const char *role_key, const char *content_key);
};

bool sluice_json::reserve(size_t length) {
    if (stage1 && length <= capacity) return true;
    size_t wanted = capacity ? capacity : 16384;
    while (wanted < length) wanted *= 2;
    if (!stage1) {
        if (simdjson::get_active_implementation()->create_dom_parser_implementation(wanted, 1, stage1)) return false;
    } else if (stage1->set_capacity(wanted)) {
        capacity = 0;
        stage1.reset();
        return false;
    }
    capacity = wanted;
    return true;
}

/// Walks the structural positions. False means «not valid, or not one object»; the slow path then reports what and
/// where.
bool sluice_json::parse_fast(const uint8_t *line, size_t length) {
    if (length == 0 || !reserve(length)) return false;
    if (stage1->stage1(line, length, simdjson::stage1_mode::regular)) return false;
    const uint32_t *index = stage1->structural_indexes.get();
    const uint32_t *last = index + stage1->n_structural_indexes;
    if (index == last) return false;
    begin_line();

    // Between two structural positions there is one token and white space, nothing else: `upto` is the end of the token
    // at `at`.
    auto next_start = [&](const uint32_t *i) -> size_t { return i + 1 < last ? i[1] : length; };
    size_t close = 0;
    bool escaped = false;
    auto string_at = [&](const uint32_t *i) -> bool {
        size_t at = *i;
        size_t e = next_start(i);
        while (e > at + 1 && is_space(line[e - 1])) e--;
        if (e <= at + 1 || line[e - 1] != '"') return false;
        close = e - 1;
        const uint8_t *p = line + at + 1;
        const uint8_t *end = line + close;
        escaped = false;
        while (p < end) {
            auto slash = static_cast<const uint8_t *>(std::memchr(p, '\\', size_t(end - p)));
            if (!slash) break;
            escaped = true;
            int n = check_escape(slash, end);
            if (n < 0) return false;
            p = slash + n;
        }
        return true;
    };
    auto scalar_at = [&](const uint32_t *i) -> bool {
        const uint8_t *p = line + *i;
        const uint8_t *end = line + next_start(i);
        const uint8_t *fault = nullptr;
        const uint8_t *stop = (*p == '-' || is_digit(*p)) ? number_end(p, end, &fault) : literal_end(p, end);
        if (!stop) return false;
        for (const uint8_t *q = stop; q < end; q++)
            if (!is_space(*q)) return false;
        on_scalar(size_t(p - line), size_t(stop - line), *p == 'n');
        return true;
    };

    if (line[*index] != '{') return false;
    // Only white space may precede the first position.
    if (!on_open(*index, true)) return false;
    index++;
    enum { first_key, key, first_value, value, after } state = first_key;
    for (;;) {
        if (index >= last) return false;
        uint8_t c = line[*index];
        switch (state) {
        case first_key:
            if (c == '}') { on_close(*index + 1); state = after; break; }
            [[fallthrough]];
        case key:
            if (c != '"' || !string_at(index)) return false;
            on_key(line, *index + 1, close, escaped);
            index++;
            if (index >= last || line[*index] != ':') return false;
            state = value;
            break;
        case first_value:
            if (c == ']') { on_close(*index + 1); state = after; break; }
            [[fallthrough]];
        case value:
            switch (c) {
            case '"':
                if (!string_at(index)) return false;
                on_string(*index + 1, close, escaped);
                state = after;
                break;
            case '{':
                if (!on_open(*index, true)) return false;
                state = first_key;
                break;
            case '[':
                if (!on_open(*index, false)) return false;
                state = first_value;
                break;
            default:
                if (!scalar_at(index)) return false;
                state = after;
            }
            break;
        case after:
            if (c == ',') {
                state = is_object[depth] ? key : value;
            } else if (c == (is_object[depth] ? '}' : ']')) {
                on_close(*index + 1);
            } else {
                return false;
            }
            break;
        }
        index++;
        if (depth == 0) return index == last;
    }
}

/// The reference: RFC 8259, byte by byte. Reports the first fault in reading order.
int sluice_json::parse_slow(const uint8_t *line, size_t length, size_t *position) {
    const uint8_t *p = line;
    const uint8_t *end = line + length;
    begin_line();
    auto fail = [&](int code, const uint8_t *at) {
        *position = size_t(at - line);
        return code;
    };
    auto skip_space = [&] { while (p < end && is_space(*p)) p++; };
    bool escaped = false;
    const uint8_t *fault = nullptr;
    // Reads the string whose opening quote is at p, leaves p after the closing one. 0 or an error code.
    auto string = [&]() -> int {
        const uint8_t *opening = p++;
        escaped = false;
        for (;;) {
            if (p >= end) { fault = opening; return SLUICE_JSON_UNTERMINATED; }
            uint8_t c = *p;
            if (c == '"') { p++; return 0; }
            if (c == '\\') {
                escaped = true;
                int n = check_escape(p, end);
                if (n < 0) { fault = p; return -n; }
                p += n;
            } else if (c < 0x20) {
                fault = p;
                return SLUICE_JSON_CONTROL_CHARACTER;
            } else if (c < 0x80) {
                p++;
            } else {
                int n = utf8_length(p, end);
                if (n == 0) { fault = p; return SLUICE_JSON_UTF8; }
                p += n;
            }
        }
    };
    auto unexpected = [&]() -> int {
        if (p >= end) return fail(SLUICE_JSON_UNTERMINATED, end);
        if (*p >= 0x80 && utf8_length(p, end) == 0) return fail(SLUICE_JSON_UTF8, p);
        return fail(SLUICE_JSON_UNEXPECTED, p);
    };

    skip_space();
    if (p >= end) return fail(SLUICE_JSON_EMPTY, p);
    const uint8_t *top = p;
    int top_code = SLUICE_JSON_OK;
    enum { first_key, key, first_value, value, after } state = value;
    if (*p != '{') top_code = *p == '[' ? SLUICE_JSON_IS_ARRAY : SLUICE_JSON_IS_SCALAR;
    for (;;) {
        skip_space();
        if (p >= end) return fail(SLUICE_JSON_UNTERMINATED, end);
        uint8_t c = *p;
        size_t at = size_t(p - line);
        switch (state) {
        case first_key:
            if (c == '}') { p++; on_close(at + 1); state = after; break; }
            [[fallthrough]];
        case key: {
            if (c != '"') return unexpected();
            if (int code = string()) return fail(code, fault);
            on_key(line, at + 1, size_t(p - line) - 1, escaped);
            skip_space();
            if (p >= end || *p != ':') return unexpected();
            p++;
            state = value;
            break;
        }
        case first_value:
            if (c == ']') { p++; on_close(at + 1); state = after; break; }
            [[fallthrough]];
        case value:
            switch (c) {
            case '"':
                if (int code = string()) return fail(code, fault);
                on_string(at + 1, size_t(p - line) - 1, escaped);
                state = after;
                break;
            case '{':
            case '[':
                if (!on_open(at, c == '{')) return fail(SLUICE_JSON_TOO_DEEP, p);
                p++;
                state = c == '{' ? first_key : first_value;
                break;
            case 't': case 'f': case 'n': {
                const uint8_t *stop = literal_end(p, end);
                if (!stop) return fail(SLUICE_JSON_BAD_LITERAL, p);
                on_scalar(at, size_t(stop - line), c == 'n');
                p = stop;
                state = after;
                break;
            }
            case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8':
            case '9': {
                const uint8_t *stop = number_end(p, end, &fault);
                if (!stop) return fail(SLUICE_JSON_BAD_NUMBER, fault);
                on_scalar(at, size_t(stop - line), false);
                p = stop;
                state = after;
                break;
            }
            default:
                return unexpected();
            }
            break;
        case after:
            if (c == ',') {
                p++;
                state = is_object[depth] ? key : value;
            } else if (c == (is_object[depth] ? '}' : ']')) {
                p++;
                on_close(at + 1);
            } else {
                return unexpected();
            }
            break;
        }
        if (depth == 0) break;
    }
    skip_space();
    if (p < end) {
        // Invalid JSON takes precedence over the kind of value.
        if (*p >= 0x80 && utf8_length(p, end) == 0) return fail(SLUICE_JSON_UTF8, p);
        if (*p == '{' || *p == '[' || *p == '"') return fail(SLUICE_JSON_SECOND_VALUE, p);
        return fail(SLUICE_JSON_TRAILING, p);
    }
    if (top_code) return fail(top_code, top);
    return SLUICE_JSON_OK;
}

namespace {

/// Reads checked JSON; only skips and compares.
struct Cursor {
    const uint8_t *line;
    const uint8_t *p;

    void space() { while (is_space(*p)) p++; }

    Span string() {
        Span s;
        s.start = size_t(++p - line);
        for (;;) {
            while (*p != '"' && *p != '\\') p++;
            if (*p == '"') break;
            s.escaped = true;
            p += 2;
        }
        s.end = size_t(p++ - line);
        s.kind = SLUICE_FIELD_STRING;
        return s;
    }

    void skip() {
        int depth = 0;
        do {
            space();
            switch (*p) {
            case '"': string(); break;
            case '{': case '[': depth++; p++; break;
            case '}': case ']': depth--; p++; break;
            case ',': case ':': p++; break;
            default:
                while (*p != ',' && *p != '}' && *p != ']' && !is_space(*p)) p++;
            }
        } while (depth > 0);
    }

    bool is(const Span &s, const char *word) const {
        size_t length = std::strlen(word);
        if (!s.escaped) return s.end - s.start == length && std::memcmp(line + s.start, word, length) == 0;
        if (s.end - s.start > 6 * length) return false;
        std::vector<uint8_t> plain(s.end - s.start);
        size_t n = size_t(unescape(line + s.start, line + s.end, plain.data()) - plain.data());
        return n == length && std::memcmp(plain.data(), word, length) == 0;
    }

    /// Steps into the container at p; then `more` says whether another element comes.
    bool more(uint8_t closing, bool &first) {
        space();
        if (*p == closing) { p++; return false; }
        if (!first) { p++; space(); }
        first = false;
        return true;
    }
};

} // namespace

/// Walks the parts of a content at `c`, a string or a list of parts, and gives each text to `text`. False where it is
/// something else.
template <typename F> static bool each_text(Cursor &c, F text) {
    if (*c.p == '"') {
        text(c.string());
        return true;
    }
    if (*c.p != '[') return false;
    c.p++;
    bool first_part = true;
    while (c.more(']', first_part)) {
        if (*c.p != '{') return false;
        c.p++;
        Span type, found;
        bool first_of_part = true;
        while (c.more('}', first_of_part)) {
            Span name = c.string();
            c.space();
            c.p++;
            c.space();
            bool string = *c.p == '"';
            if (string && type.kind == 0 && c.is(name, "type")) type = c.string();
            else if (string && found.kind == 0 && c.is(name, "text")) found = c.string();
            else c.skip();
        }
        if (type.kind == 0) return false;
        if (!c.is(type, "text")) continue;
        if (found.kind == 0) return false;
        text(found);
    }
    return true;
}

bool sluice_json::read_chat(const uint8_t *line, const Span &value, const char *role_key, const char *content_key) {
    turns.clear();
    turns_size = 0;
    if (value.kind != SLUICE_FIELD_OTHER || line[value.start] != '[') return false;
    Cursor c{line, line + value.start + 1};
    bool first_turn = true;
    while (c.more(']', first_turn)) {
        if (*c.p != '{') return false;
        c.p++;
        Turn turn;
        // A renamed role («gpt» to «assistant») may grow by six bytes.
        turns_size += 8 + 6;
        bool has_role = false, has_content = false, first_key = true;
        while (c.more('}', first_key)) {
            Span key = c.string();
            c.space();
            c.p++;
            c.space();
            if (!has_role && c.is(key, role_key)) {
                has_role = true;
                if (*c.p != '"') return false;
                Span role = c.string();
                turn.role_start = uint32_t(role.start);
                turn.role_end = uint32_t(role.end);
                turns_size += role.end - role.start;
            } else if (!has_content && c.is(key, content_key)) {
                has_content = true;
                turn.content = uint32_t(c.p - line);
                if (!each_text(c, [&](const Span &text) { turns_size += text.end - text.start; })) return false;
            } else {
                c.skip();
            }
        }
        if (!has_role || !has_content) return false;
        turns.push_back(turn);
    }
    return !turns.empty();
}

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
    if (json->chat_found) {
        auto put_length = [](uint8_t *at, size_t n) {
            for (int i = 0; i < 4; i++) at[i] = uint8_t(n >> (8 * i));
        };
        for (int number : json->chats) {
            uint8_t *from = out;
            for (auto &t : json->turns) {
                uint8_t *header = out;
                out = unescape(line + t.role_start, line + t.role_end, out + 4);
                size_t n = size_t(out - header) - 4;
                // ShareGPT's two speakers get the names that everything else uses.
                if (json->share_gpt && n == 5 && std::memcmp(header + 4, "human", 5) == 0) {
                    std::memcpy(header + 4, "user", 4);
                    n = 4;
                } else if (json->share_gpt && n == 3 && std::memcmp(header + 4, "gpt", 3) == 0) {
                    std::memcpy(header + 4, "assistant", 9);
                    n = 9;
                }
                put_length(header, n);
                header += 4 + n;
                out = header + 4;
                Cursor c{line, line + t.content};
                each_text(c, [&](const Span &text) { out = unescape(line + text.start, line + text.end, out); });
                put_length(header, size_t(out - header) - 4);
            }
            fields[number].offset = base + uint64_t(from - begin);
            fields[number].length = uint32_t(out - from);
            fields[number].kind = SLUICE_FIELD_CHAT;
        }
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
