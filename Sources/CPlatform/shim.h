// What Swift cannot say: the processor's CRC32C instruction, comparing 16 bytes at once, two calls that glibc hides
// behind _GNU_SOURCE, and headers that Swift's Glibc leaves out.
#pragma once
#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

// ---- CRC32C

// A bit at a time: for processors without the instruction, and for tests to compare with.
static inline uint32_t millrace_crc32c_portable(uint32_t crc, const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1u)));
  }
  return crc;
}

#if defined(__x86_64__)
// Builtins, because <nmmintrin.h> drags in C library modules that disagree with NIO's about _GNU_SOURCE.
typedef long long millrace_v2di __attribute__((vector_size(16)));

static inline uint64_t millrace_word(const uint8_t *bytes) {
  uint64_t word;
  __builtin_memcpy(&word, bytes, 8);
  return word;
}

// The instruction takes 3 cycles but starts every cycle, so three parts are summed side by side; each sum is then
// moved past the bytes behind its part by a carry-less multiplication: `far` is x^(8 * 2 * part - 33) and `near`
// x^(8 * part - 33), modulo the polynomial, bits reflected.
#define MILLRACE_CRC32C_BLOCKS(part, far, near)                                                  \
  while (count >= 3 * (part)) {                                                                  \
    uint64_t second = 0, third = 0;                                                              \
    for (size_t i = 0; i < (part); i += 8) {                                                     \
      first = __builtin_ia32_crc32di(first, millrace_word(bytes + i));                           \
      second = __builtin_ia32_crc32di(second, millrace_word(bytes + (part) + i));                \
      third = __builtin_ia32_crc32di(third, millrace_word(bytes + 2 * (part) + i));              \
    }                                                                                            \
    millrace_v2di moved =                                                                        \
        __builtin_ia32_pclmulqdq128((millrace_v2di){first, 0}, (millrace_v2di){far, 0}, 0) ^     \
        __builtin_ia32_pclmulqdq128((millrace_v2di){second, 0}, (millrace_v2di){near, 0}, 0);    \
    first = third ^ __builtin_ia32_crc32di(0, moved[0]);                                         \
    bytes += 3 * (part);                                                                         \
    count -= 3 * (part);                                                                         \
  }

__attribute__((target("sse4.2,pclmul")))
static inline uint32_t millrace_crc32c_hardware(uint32_t crc, const uint8_t *bytes, size_t count) {
  uint64_t first = crc;
  MILLRACE_CRC32C_BLOCKS(1024, 0xa51b6135, 0x170076fa)
  MILLRACE_CRC32C_BLOCKS(128, 0xb9e02b86, 0x0d3b6092)
  for (; count >= 8; bytes += 8, count -= 8)
    first = __builtin_ia32_crc32di(first, millrace_word(bytes));
  crc = (uint32_t)first;
  while (count--) crc = __builtin_ia32_crc32qi(crc, *bytes++);
  return crc;
}
static inline uint32_t millrace_crc32c(uint32_t crc, const void *bytes, size_t count) {
  return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul")
             ? millrace_crc32c_hardware(crc, (const uint8_t *)bytes, count)
             : millrace_crc32c_portable(crc, (const uint8_t *)bytes, count);
}
#elif defined(__aarch64__)
__attribute__((target("crc")))
static inline uint32_t millrace_crc32c(uint32_t crc, const void *start, size_t count) {
  const uint8_t *bytes = (const uint8_t *)start;
  for (; count >= 8; bytes += 8, count -= 8) {
    uint64_t word;
    __builtin_memcpy(&word, bytes, 8);
    crc = __builtin_arm_crc32cd(crc, word);
  }
  while (count--) crc = __builtin_arm_crc32cb(crc, *bytes++);
  return crc;
}
#else
static inline uint32_t millrace_crc32c(uint32_t crc, const void *bytes, size_t count) {
  return millrace_crc32c_portable(crc, (const uint8_t *)bytes, count);
}
#endif

// ---- JSON strings

// Looks at MILLRACE_STRING_BLOCK bytes for a quote, a backslash, a control character or what is not ASCII. The lowest
// bit set in the answer, shifted right by MILLRACE_STRING_SHIFT, counts the bytes before the first; 0: there is none.
#if defined(__x86_64__)
#define MILLRACE_STRING_BLOCK 16
#define MILLRACE_STRING_SHIFT 0
static inline uint32_t millrace_string_hits(const void *bytes) {
  typedef char v16 __attribute__((vector_size(16)));
  typedef unsigned char u16 __attribute__((vector_size(16)));
  u16 text;
  __builtin_memcpy(&text, bytes, 16);
  // The sign bit, which the mask collects, is already set in what is not ASCII.
  v16 hits = (v16)text | (v16)(text == '"') | (v16)(text == '\\') | (v16)(text < 0x20);
  return (uint32_t)__builtin_ia32_pmovmskb128(hits);
}
#else
#define MILLRACE_STRING_BLOCK 8
#define MILLRACE_STRING_SHIFT 3
static inline uint64_t millrace_string_hits(const void *bytes) {
  const uint64_t ones = 0x0101010101010101u;
  uint64_t word;
  __builtin_memcpy(&word, bytes, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  // A borrow runs upwards only, so the lowest bit that is set is right.
  return (((word ^ ones * '"') - ones) | ((word ^ ones * '\\') - ones) | (word - ones * 0x20) | word) &
         ones * 0x80;
}
#endif

// ---- Calls

extern int syncfs(int descriptor);
static inline int millrace_syncfs(int descriptor) { return syncfs(descriptor); }

extern int prctl(int option, ...);
// Names the calling thread; the kernel keeps 15 bytes.
static inline void millrace_name_thread(const char *name) { prctl(15 /* PR_SET_NAME */, name, 0L, 0L, 0L); }

// The segments of the program and its libraries. The first fields of what <link.h> calls dl_phdr_info and shows only
// under _GNU_SOURCE.
struct millrace_segments {
  uintptr_t base;
  const char *name;
  const Elf64_Phdr *headers;
  uint16_t count;
};
struct dl_phdr_info;
extern int dl_iterate_phdr(int (*visit)(struct dl_phdr_info *, size_t, void *), void *context);
static inline const struct millrace_segments *millrace_segments_of(struct dl_phdr_info *info) {
  return (const struct millrace_segments *)info;
}

extern int mallopt(int parameter, int value);
extern int malloc_trim(size_t padding);
// One heap for all threads, whose free memory is one's own again when asked for.
static inline void millrace_use_one_arena(void) { mallopt(-8 /* M_ARENA_MAX */, 1); }
static inline void millrace_trim_heap(void) { malloc_trim(0); }
