// jansson's opinion on a text.
#include "fuzzer.h"
#include <jansson.h>
#include <string.h>

enum reference_verdict reference_json(const void *bytes, size_t count) {
  // jansson takes a NUL that it reads a second time for the end of its buffer, and passes over it: it accepts "2\0".
  if (memchr(bytes, 0, count)) return reference_cannot_say;
  json_error_t error;
  size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
  json_t *value = json_loadb(bytes, count, flags, &error);
  if (value) {
    json_decref(value);
    return reference_accepts;
  }
  switch (json_error_code(&error)) {
    case json_error_numeric_overflow:
    case json_error_null_byte_in_key:
    case json_error_stack_overflow:
      return reference_cannot_say;
    default:
      return reference_refuses;
  }
}
