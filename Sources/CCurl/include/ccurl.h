#pragma once
// libcurl, loaded when it is first needed: a program that sends nothing starts without it, and needs it nowhere. Only
// what SluiceHTTP uses, with types: setopt and getinfo take any number of arguments, which Swift can't pass.
//
// The numbers are part of libcurl's binary interface, which its project keeps; no header of curl is needed to build.
#include <stddef.h>
#include <stdint.h>

/// Loads `name`, once for the process. Returns null if it can be used, otherwise why not; then another call tries again.
const char *sluice_curl_load(const char *name);
/// The version of the loaded library.
const char *sluice_curl_version(void);

enum {
    SLUICE_CURL_WRITE_DATA = 10001,
    SLUICE_CURL_URL = 10002,
    SLUICE_CURL_ERROR_BUFFER = 10010,
    SLUICE_CURL_POST_FIELDS = 10015,
    SLUICE_CURL_USER_AGENT = 10018,
    SLUICE_CURL_HEADERS = 10023,
    SLUICE_CURL_HEADER_DATA = 10029,
    SLUICE_CURL_NO_PROGRESS = 43,
    SLUICE_CURL_NO_BODY = 44,
    SLUICE_CURL_MAX_CONNECTS = 71,
    SLUICE_CURL_HTTP_GET = 80,
    SLUICE_CURL_HTTP_VERSION = 84,
    SLUICE_CURL_BUFFER_SIZE = 98,
    SLUICE_CURL_NO_SIGNAL = 99,
    SLUICE_CURL_TIMEOUT_MS = 155,
    SLUICE_CURL_CONNECT_TIMEOUT_MS = 156,
    SLUICE_CURL_PROGRESS_DATA = 10057,
    SLUICE_CURL_CERTIFICATES = 10065,
    SLUICE_CURL_TCP_KEEP_ALIVE = 213,
    SLUICE_CURL_PATH_AS_IS = 234,
    SLUICE_CURL_WRITE_FUNCTION = 20011,
    SLUICE_CURL_HEADER_FUNCTION = 20079,
    SLUICE_CURL_PROGRESS_FUNCTION = 20219,
    SLUICE_CURL_POST_FIELD_SIZE = 30120,
};

enum {
    SLUICE_CURL_VERSION_1_1 = 2,
};

enum {
    SLUICE_CURL_INFO_STATUS = 0x200002,
    SLUICE_CURL_INFO_REDIRECT = 0x10001f,
    SLUICE_CURL_INFO_RETRY_AFTER = 0x600039,
};

/// A connection with its settings; null if there is no memory. One thread uses it at a time.
void *sluice_curl_make(void);
void sluice_curl_free(void *handle);
/// Forgets all settings and keeps the connection.
void sluice_curl_reset(void *handle);

// The settings return 0, or an error's number.
int sluice_curl_set_long(void *handle, int option, long value);
int sluice_curl_set_size(void *handle, int option, int64_t value);
int sluice_curl_set_text(void *handle, int option, const char *value);
int sluice_curl_set_pointer(void *handle, int option, const void *value);
int sluice_curl_set_receive(void *handle, size_t (*receive)(char *, size_t, size_t, void *), void *context);
/// Gets each line of the answer's head, with its end.
int sluice_curl_set_head(void *handle, size_t (*line)(char *, size_t, size_t, void *), void *context);
int sluice_curl_set_progress(
    void *handle, int (*progress)(void *, int64_t, int64_t, int64_t, int64_t), void *context);

/// Sends the request and waits for its end. Returns 0, or an error's number.
int sluice_curl_perform(void *handle);
/// A number's meaning, in words.
const char *sluice_curl_words(int error);

// Facts of the last answer; 0 or null where there are none.
long sluice_curl_info_long(void *handle, int info);
int64_t sluice_curl_info_size(void *handle, int info);
const char *sluice_curl_info_text(void *handle, int info);

/// Adds a line to a list of headers. Returns the list, or null if there is no memory.
void *sluice_curl_add_header(void *list, const char *line);
void sluice_curl_free_headers(void *list);
