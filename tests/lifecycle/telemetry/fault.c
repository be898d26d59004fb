/* Loaded before the program: the clock fails, once, for the thread that `main` is in, when there is the file FAULT. Rust's
 * library knows no answer to that but a panic. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int failed;
    const char *fault = getenv("FAULT");
    if (clock == CLOCK_REALTIME && fault && !failed && syscall(SYS_gettid) == getpid() && access(fault, F_OK) == 0) {
        failed = 1;
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_clock_gettime, clock, now);
}
