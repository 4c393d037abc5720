// Preloaded into the program under test: counts the calls that change files below FAULT_DIR, and at number FAULT_AT kills
// the process ("kill"), does half of the call and kills it ("half"), or lets the call fail with EIO once ("error").
// Without FAULT_AT it only counts; the count goes to the file FAULT_COUNT when the process ends.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum outcome { PASS, FAIL, HALF };

static long calls;

static int is_below(const char *path) {
    const char *dir = getenv("FAULT_DIR");
    return dir && path && !strncmp(path, dir, strlen(dir));
}

static int is_open_below(int fd) {
    char link[64], path[4096];
    if (fd <= 2) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static enum outcome count(int concerned) {
    if (!concerned) return PASS;
    long number = __sync_add_and_fetch(&calls, 1);
    const char *at = getenv("FAULT_AT"), *mode = getenv("FAULT_MODE");
    if (!at || !mode || number != atol(at)) return PASS;
    if (!strcmp(mode, "half")) return HALF;
    if (!strcmp(mode, "error")) {
        errno = EIO;
        return FAIL;
    }
    die();
    return PASS;
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("FAULT_COUNT");
    if (!path) return;
    char text[32];
    int length = snprintf(text, sizeof text, "%ld", calls);
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd >= 0 && syscall(SYS_write, fd, text, length) == length) syscall(SYS_close, fd);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WHOLE_OR_KILLED(concerned, call) \
    switch (count(concerned)) { \
    case FAIL: return -1; \
    case HALF: call; die(); \
    default: return call; \
    }

ssize_t write(int fd, const void *bytes, size_t length) {
    switch (count(is_open_below(fd))) {
    case FAIL: return -1;
    case HALF: REAL(write)(fd, bytes, length / 2); die();
    default: return REAL(write)(fd, bytes, length);
    }
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    switch (count(is_open_below(fd))) {
    case FAIL: return -1;
    case HALF: REAL(pwrite64)(fd, bytes, length / 2, offset); die();
    default: return REAL(pwrite64)(fd, bytes, length, offset);
    }
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

int fsync(int fd) { WHOLE_OR_KILLED(is_open_below(fd), REAL(fsync)(fd)) }

int fdatasync(int fd) { WHOLE_OR_KILLED(is_open_below(fd), REAL(fdatasync)(fd)) }

int ftruncate64(int fd, off64_t length) { WHOLE_OR_KILLED(is_open_below(fd), REAL(ftruncate64)(fd, length)) }

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int rename(const char *from, const char *to) { WHOLE_OR_KILLED(is_below(to), REAL(rename)(from, to)) }

int unlink(const char *path) { WHOLE_OR_KILLED(is_below(path), REAL(unlink)(path)) }

int mkdir(const char *path, mode_t mode) { WHOLE_OR_KILLED(is_below(path), REAL(mkdir)(path, mode)) }

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    WHOLE_OR_KILLED((flags & O_CREAT) && is_below(path), REAL(open64)(path, flags, mode))
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open64(path, flags, mode);
}
