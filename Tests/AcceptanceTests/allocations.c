// Counts a process's heap allocations, for test_allocations.py: preloaded in front of glibc's malloc, it keeps three
// numbers (allocations, their bytes, and how many were given back) in the file that ALLOCATIONS_FILE names.
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

struct counts {
  unsigned long allocations, bytes, frees;
};

// Until the file is mapped, counts go where nobody reads them.
static struct counts unread;
static struct counts *counts = &unread;

__attribute__((constructor)) static void map(void) {
  const char *path = getenv("ALLOCATIONS_FILE");
  if (!path) return;
  int descriptor = open(path, O_RDWR | O_CLOEXEC);
  if (descriptor < 0) abort();
  void *memory =
      mmap(NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (memory == MAP_FAILED) abort();
  close(descriptor);
  counts = memory;
}

static void *counted(void *memory, size_t bytes) {
  __atomic_fetch_add(&counts->allocations, 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&counts->bytes, bytes, __ATOMIC_RELAXED);
  return memory;
}

void *malloc(size_t bytes) { return counted(__libc_malloc(bytes), bytes); }
void *calloc(size_t count, size_t bytes) {
  return counted(__libc_calloc(count, bytes), count * bytes);
}
void *realloc(void *memory, size_t bytes) { return counted(__libc_realloc(memory, bytes), bytes); }
void *memalign(size_t alignment, size_t bytes) {
  return counted(__libc_memalign(alignment, bytes), bytes);
}
void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }
int posix_memalign(void **memory, size_t alignment, size_t bytes) {
  void *made = memalign(alignment, bytes);
  if (!made) return ENOMEM;
  *memory = made;
  return 0;
}
void free(void *memory) {
  if (memory) __atomic_fetch_add(&counts->frees, 1, __ATOMIC_RELAXED);
  __libc_free(memory);
}
