#pragma once
#include <stddef.h>
// Its own header would bring parts of the C library that Swift must see through Glibc alone.
extern int malloc_trim(size_t pad);
extern int mallopt(int parameter, int value);
// M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of the GNU C library.
static const int malloc_trim_threshold = -1;
static const int malloc_mmap_threshold = -3;

// Takes the program's code out of the process's memory, until it is used again. The system reads pages of code around
// each one that is used, and starting up uses some of nearly all: later work needs less than half.
void release_code(void);
