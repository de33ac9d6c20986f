// Chat turns of `messages` and `conversations`.

#include "json.h"

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

uint8_t *sluice_json::emit_chat(const uint8_t *line, uint8_t *out) const {
    auto put_length = [](uint8_t *at, size_t n) {
        for (int i = 0; i < 4; i++) at[i] = uint8_t(n >> (8 * i));
    };
    for (auto &t : turns) {
        uint8_t *header = out;
        out = unescape(line + t.role_start, line + t.role_end, out + 4);
        size_t n = size_t(out - header) - 4;
        // ShareGPT's two speakers get the names that everything else uses.
        if (share_gpt && n == 5 && std::memcmp(header + 4, "human", 5) == 0) {
            std::memcpy(header + 4, "user", 4);
            n = 4;
        } else if (share_gpt && n == 3 && std::memcmp(header + 4, "gpt", 3) == 0) {
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
    return out;
}
