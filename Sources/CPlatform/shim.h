// What Swift cannot say: the processor's CRC32C instruction, and two calls that glibc hides behind _GNU_SOURCE.
#pragma once
#include <stddef.h>
#include <stdint.h>

// A byte at a time from a table made on first use: for processors without the instruction.
static inline uint32_t millrace_crc32c_portable(uint32_t crc, const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1u)));
  }
  return crc;
}

#if defined(__x86_64__)
// One stream, 8 bytes an instruction, is bound by its latency of 3 cycles: about 8 GB/s. Builtins, because
// <nmmintrin.h> drags in C library modules that disagree with NIO's about _GNU_SOURCE.
__attribute__((target("sse4.2")))
static inline uint32_t millrace_crc32c_hardware(uint32_t crc, const uint8_t *bytes, size_t count) {
  uint64_t wide = crc;
  while (count >= 8) {
    uint64_t word;
    __builtin_memcpy(&word, bytes, 8);
    wide = __builtin_ia32_crc32di(wide, word);
    bytes += 8;
    count -= 8;
  }
  crc = (uint32_t)wide;
  while (count--) crc = __builtin_ia32_crc32qi(crc, *bytes++);
  return crc;
}
static inline uint32_t millrace_crc32c(uint32_t crc, const void *bytes, size_t count) {
  return __builtin_cpu_supports("sse4.2") ? millrace_crc32c_hardware(crc, (const uint8_t *)bytes, count)
                                          : millrace_crc32c_portable(crc, (const uint8_t *)bytes, count);
}
#else
static inline uint32_t millrace_crc32c(uint32_t crc, const void *bytes, size_t count) {
  return millrace_crc32c_portable(crc, (const uint8_t *)bytes, count);
}
#endif

extern int syncfs(int descriptor);
static inline int millrace_syncfs(int descriptor) { return syncfs(descriptor); }

extern int prctl(int option, ...);
// Names the calling thread; the kernel keeps 15 bytes.
static inline void millrace_name_thread(const char *name) { prctl(15 /* PR_SET_NAME */, name, 0L, 0L, 0L); }
