#include <stdint.h>
// Its own header shows it only under _GNU_SOURCE, which Swift's Glibc does not set.
extern int sync_file_range(int file, int64_t offset, int64_t count, unsigned flags);
// SYNC_FILE_RANGE_WRITE of Linux.
static const unsigned sync_file_range_write = 2;
