#include "CLanguageModel.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const uint8_t model[] = {
#embed "model.zst"
};

const uint8_t *language_model(size_t *size) {
    *size = sizeof model;
    return model;
}
