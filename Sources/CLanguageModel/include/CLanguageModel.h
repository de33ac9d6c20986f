#pragma once
// The model of the stage `language`, as a zstd frame in the program's read-only data. scripts/language.py makes it and
// says what is in it; LICENSE beside this target is that of py3langid, from whose model it is made.
#include <stddef.h>
#include <stdint.h>

const uint8_t *language_model(size_t *size);
