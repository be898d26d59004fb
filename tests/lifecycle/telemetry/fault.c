/* Loaded before the program: the system behaves as a test wants it to.
 *
 * FAULT: when there is this file, the clock fails, once, for the thread that `main` is in. Rust's library knows no answer
 * to that but a panic.
 * NO_THREAD: when there is this file, there is no thread, once.
 * INTERRUPTED_AT: whoever makes a file whose name ends so is told to stop at that moment. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int exists(const char *variable) {
    const char *path = getenv(variable);
    return path && syscall(SYS_access, path, F_OK) == 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int failed;
    if (clock == CLOCK_REALTIME && !failed && syscall(SYS_gettid) == getpid() && exists("FAULT")) {
        failed = 1;
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_clock_gettime, clock, now);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    static int failed;
    if (!failed && exists("NO_THREAD")) {
        failed = 1;
        return EAGAIN;
    }
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
    return create(thread, attributes, start, argument);
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;
    va_end(more);
    int file = openat(AT_FDCWD, path, flags | O_LARGEFILE, mode);
    const char *end = getenv("INTERRUPTED_AT");
    if (file >= 0 && end && flags & O_CREAT && strlen(path) >= strlen(end)
        && strcmp(path + strlen(path) - strlen(end), end) == 0) {
        kill(getpid(), SIGINT);
    }
    return file;
}
