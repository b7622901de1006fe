// What Swift's Glibc module leaves out: epoll, and the search for bytes in bytes.
#pragma once
#include <stddef.h>
#include <sys/epoll.h>

// glibc declares it under _GNU_SOURCE only, which would make this module disagree with Glibc's.
void *memmem(const void *bytes, size_t count, const void *needle, size_t needle_count);
