#include "ccurl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static struct {
    int (*global_init)(long);
    void *(*easy_init)(void);
    void (*easy_cleanup)(void *);
    void (*easy_reset)(void *);
    int (*easy_setopt)(void *, int, ...);
    int (*easy_perform)(void *);
    int (*easy_getinfo)(void *, int, ...);
    const char *(*easy_strerror)(int);
    void *(*slist_append)(void *, const char *);
    void (*slist_free_all)(void *);
    char *(*version)(void);
} curl;

static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
static int is_loaded = 0;
static char failure[512];

static int find(void *library, const char *name, void *function) {
    void *found = dlsym(library, name);
    if (!found) {
        snprintf(failure, sizeof failure, "it has no function %s", name);
        return 0;
    }
    *(void **)function = found;
    return 1;
}

static const char *load(const char *name) {
    // Never closed: its threads and its TLS library may run until the process ends.
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        snprintf(failure, sizeof failure, "%s", why ? why : "it can't be loaded");
        return failure;
    }
    int is_whole = find(library, "curl_global_init", &curl.global_init) &&
        find(library, "curl_easy_init", &curl.easy_init) && find(library, "curl_easy_cleanup", &curl.easy_cleanup) &&
        find(library, "curl_easy_reset", &curl.easy_reset) && find(library, "curl_easy_setopt", &curl.easy_setopt) &&
        find(library, "curl_easy_perform", &curl.easy_perform) &&
        find(library, "curl_easy_getinfo", &curl.easy_getinfo) &&
        find(library, "curl_easy_strerror", &curl.easy_strerror) &&
        find(library, "curl_slist_append", &curl.slist_append) &&
        find(library, "curl_slist_free_all", &curl.slist_free_all) && find(library, "curl_version", &curl.version);
    if (!is_whole) return failure;
    int error = curl.global_init(3);
    if (error) {
        snprintf(failure, sizeof failure, "it can't start: %s", curl.easy_strerror(error));
        return failure;
    }
    is_loaded = 1;
    return NULL;
}

const char *sluice_curl_load(const char *name) {
    pthread_mutex_lock(&loading);
    const char *why = is_loaded ? NULL : load(name);
    pthread_mutex_unlock(&loading);
    return why;
}

const char *sluice_curl_version(void) { return curl.version(); }

void *sluice_curl_make(void) { return curl.easy_init(); }
void sluice_curl_free(void *handle) { curl.easy_cleanup(handle); }
void sluice_curl_reset(void *handle) { curl.easy_reset(handle); }

int sluice_curl_set_long(void *handle, int option, long value) { return curl.easy_setopt(handle, option, value); }

int sluice_curl_set_size(void *handle, int option, int64_t value) { return curl.easy_setopt(handle, option, value); }

int sluice_curl_set_text(void *handle, int option, const char *value) {
    return curl.easy_setopt(handle, option, value);
}

int sluice_curl_set_pointer(void *handle, int option, const void *value) {
    return curl.easy_setopt(handle, option, value);
}

int sluice_curl_set_receive(void *handle, size_t (*receive)(char *, size_t, size_t, void *), void *context) {
    int error = curl.easy_setopt(handle, SLUICE_CURL_WRITE_FUNCTION, receive);
    return error ? error : curl.easy_setopt(handle, SLUICE_CURL_WRITE_DATA, context);
}

int sluice_curl_set_head(void *handle, size_t (*line)(char *, size_t, size_t, void *), void *context) {
    int error = curl.easy_setopt(handle, SLUICE_CURL_HEADER_FUNCTION, line);
    return error ? error : curl.easy_setopt(handle, SLUICE_CURL_HEADER_DATA, context);
}

int sluice_curl_set_progress(
    void *handle, int (*progress)(void *, int64_t, int64_t, int64_t, int64_t), void *context) {
    int error = curl.easy_setopt(handle, SLUICE_CURL_PROGRESS_FUNCTION, progress);
    if (!error) error = curl.easy_setopt(handle, SLUICE_CURL_PROGRESS_DATA, context);
    return error ? error : curl.easy_setopt(handle, SLUICE_CURL_NO_PROGRESS, 0L);
}

int sluice_curl_perform(void *handle) { return curl.easy_perform(handle); }
const char *sluice_curl_words(int error) { return curl.easy_strerror(error); }

long sluice_curl_info_long(void *handle, int info) {
    long value = 0;
    return curl.easy_getinfo(handle, info, &value) ? 0 : value;
}

int64_t sluice_curl_info_size(void *handle, int info) {
    int64_t value = 0;
    return curl.easy_getinfo(handle, info, &value) ? 0 : value;
}

const char *sluice_curl_info_text(void *handle, int info) {
    char *value = NULL;
    return curl.easy_getinfo(handle, info, &value) ? NULL : value;
}

void *sluice_curl_add_header(void *list, const char *line) { return curl.slist_append(list, line); }
void sluice_curl_free_headers(void *list) { curl.slist_free_all(list); }
