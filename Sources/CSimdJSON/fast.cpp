#include "json.h"

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
///
/// One function: its loop is the hottest of the program, and keeps its state in registers.
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
