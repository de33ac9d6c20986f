#include <stddef.h>
// Its own header would bring parts of the C library that Swift must see through Glibc alone.
extern int malloc_trim(size_t pad);
