// What the fuzz targets need from C: libFuzzer's driver, and jansson as the other opinion on JSON.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Runs the fuzzer with the command line's options; see llvm.org/docs/LibFuzzer.html.
int LLVMFuzzerRunDriver(int *count, char ***arguments, int (*test)(const uint8_t *bytes, size_t count));

enum reference_verdict { reference_accepts, reference_refuses, reference_cannot_say };

// What jansson makes of a text: any value, duplicate names and NUL in strings allowed. It cannot say where it stops at
// something that it alone refuses: a number that no double holds, NUL in a name; nor of a text with a bare NUL byte.
enum reference_verdict reference_json(const void *bytes, size_t count);
