#include <stddef.h>
// Its own header would bring parts of the C library that Swift must see through Glibc alone.
extern int malloc_trim(size_t pad);
extern int mallopt(int parameter, int value);
// M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of the GNU C library.
static const int malloc_trim_threshold = -1;
static const int malloc_mmap_threshold = -3;
