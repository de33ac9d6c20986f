#pragma once
// Characters, escapes, numbers and literals of JSON text.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "CSimdJSON.h"

namespace sluice {

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

} // namespace sluice

using namespace sluice;
