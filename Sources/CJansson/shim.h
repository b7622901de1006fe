// jansson, and its reference counting, which it offers only as inline functions on fields that Swift cannot import.
#include <jansson.h>

static inline void jansson_decref(json_t *json) { json_decref(json); }
