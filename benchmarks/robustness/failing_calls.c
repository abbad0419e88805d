/* Loaded with LD_PRELOAD: system calls on files below a folder fail, as those of a bad disk.

   FAIL_ROOT   the folder; calls on other files are passed on and not counted
   FAIL_AT     number of the first call that fails, from 1; 0: none
   FAIL_FOR    number of calls that fail from there on
   FAIL_WHILE  a file: as long as it exists, every call fails
   FAIL_ERRNO  the error
   FAIL_SHORT  1: a write that is to fail writes half of its data instead, and succeeds with that
   FAIL_READS  1: opening for reading counts, and fails, too
   FAIL_COUNT  a file that gets the number of calls when the process ends */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define MOST_FILES 65536
#define NEXT(type, name, ...) \
    static type (*next)(__VA_ARGS__); \
    if (!next) \
        next = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static long n_calls;
static char below_root[MOST_FILES]; /* by descriptor */

static long number(const char *name)
{
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int is_below(const char *path)
{
    const char *root = getenv("FAIL_ROOT");
    return root && path && strncmp(path, root, strlen(root)) == 0;
}

static int is_open_below(int descriptor)
{
    return descriptor >= 0 && descriptor < MOST_FILES && below_root[descriptor];
}

/* Count a call; return whether it is to fail. */
static int fails(void)
{
    const char *marker = getenv("FAIL_WHILE");
    long at = number("FAIL_AT"), n = __sync_add_and_fetch(&n_calls, 1);
    errno = (int)number("FAIL_ERRNO");
    if (marker) {
        int saved = errno, there;
        NEXT(int, "access", const char *, int);
        there = next(marker, F_OK) == 0;
        errno = saved;
        return there;
    }
    return at && n >= at && n - at < number("FAIL_FOR");
}

/* Whether opening a file is to fail. */
static int refused(const char *path, int flags)
{
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    return is_below(path) && (writes || number("FAIL_READS")) && fails();
}

/* Note where a file that has been opened is; return its descriptor. */
static int opened(int descriptor, const char *path)
{
    if (descriptor >= 0 && descriptor < MOST_FILES)
        below_root[descriptor] = (char)is_below(path);
    return descriptor;
}

#define COMMA ,
#define OPEN(name, parameters, types, ...) \
    int name(parameters, int flags, ...) \
    { \
        mode_t mode = 0; \
        NEXT(int, #name, types, int, ...); \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        return refused(path, flags) ? -1 : opened(next(__VA_ARGS__, flags, mode), path); \
    }
OPEN(open, const char *path, const char *, path)
OPEN(open64, const char *path, const char *, path)
OPEN(openat, int folder COMMA const char *path, int COMMA const char *, folder, path)
OPEN(openat64, int folder COMMA const char *path, int COMMA const char *, folder, path)

int close(int descriptor)
{
    NEXT(int, "close", int);
    if (descriptor >= 0 && descriptor < MOST_FILES)
        below_root[descriptor] = 0;
    return next(descriptor);
}

ssize_t write(int descriptor, const void *data, size_t n_bytes)
{
    NEXT(ssize_t, "write", int, const void *, size_t);
    if (is_open_below(descriptor) && fails())
        return number("FAIL_SHORT") && n_bytes > 1 ? next(descriptor, data, n_bytes / 2) : -1;
    return next(descriptor, data, n_bytes);
}

#define ON_DESCRIPTOR(name, parameters, types, ...) \
    int name parameters \
    { \
        NEXT(int, #name, types); \
        return is_open_below(descriptor) && fails() ? -1 : next(__VA_ARGS__); \
    }
ON_DESCRIPTOR(fsync, (int descriptor), int, descriptor)
ON_DESCRIPTOR(fdatasync, (int descriptor), int, descriptor)
ON_DESCRIPTOR(ftruncate, (int descriptor, off_t size), int COMMA off_t, descriptor, size)
ON_DESCRIPTOR(ftruncate64, (int descriptor, off64_t size), int COMMA off64_t, descriptor, size)

int posix_fallocate64(int descriptor, off64_t start, off64_t size)
{
    NEXT(int, "posix_fallocate64", int, off64_t, off64_t);
    return is_open_below(descriptor) && fails() ? errno : next(descriptor, start, size);
}

#define ON_PATH(name, parameters, types, ...) \
    int name parameters \
    { \
        NEXT(int, #name, types); \
        return is_below(path) && fails() ? -1 : next(__VA_ARGS__); \
    }
ON_PATH(rename, (const char *path, const char *target), const char * COMMA const char *, path, target)
ON_PATH(unlink, (const char *path), const char *, path)
ON_PATH(rmdir, (const char *path), const char *, path)
ON_PATH(mkdir, (const char *path, mode_t mode), const char * COMMA mode_t, path, mode)
ON_PATH(truncate, (const char *path, off_t size), const char * COMMA off_t, path, size)
ON_PATH(truncate64, (const char *path, off64_t size), const char * COMMA off64_t, path, size)

__attribute__((destructor)) static void write_count(void)
{
    const char *path = getenv("FAIL_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%ld\n", n_calls);
        fclose(file);
    }
}
