#include "json.h"

/// The reference: RFC 8259, byte by byte. Reports the first fault in reading order.
///
/// One function, since it is one loop over a state of six local values; cut up, each piece would take all of them.
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
