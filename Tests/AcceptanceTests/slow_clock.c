// A wall clock that is late, for test_member_restart.py: preloaded, it takes SLOW_CLOCK_SECONDS off what glibc says of
// CLOCK_REALTIME. Monotonic clocks are right. (Debian's libfaketime changes the environment before main, by which
// Swift then no longer finds its arguments.)
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long late;

__attribute__((constructor)) static void read_lateness(void) {
  const char *seconds = getenv("SLOW_CLOCK_SECONDS");
  if (seconds) late = atol(seconds);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  int result = (int)syscall(SYS_clock_gettime, clock, at);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec -= late;
  return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  (void)zone;
  struct timespec precise;
  int result = clock_gettime(CLOCK_REALTIME, &precise);
  at->tv_sec = precise.tv_sec;
  at->tv_usec = precise.tv_nsec / 1000;
  return result;
}

time_t time(time_t *at) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  if (at) *at = precise.tv_sec;
  return precise.tv_sec;
}
