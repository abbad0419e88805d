/* Loaded with LD_PRELOAD: records the system calls that change what is below a folder, in the order in which they are
   done, with their data. `recording.py` reads the record.

   RECORD_ROOT  the folder, absolute and without links
   RECORD_TO    the file that the record is appended to, outside of the folder

   Each call that succeeds is one entry: its kind, a byte; two numbers of 8 bytes; the lengths of two paths and of the
   data, 4 bytes each; then these. Files and folders are named by the number of their inode where a descriptor is used.
   Threads are put in order: an entry is written before the next call is done. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_FILES 65536
#define LONGEST_PATH 4096
#define NEXT(type, name, ...) \
    static type (*next)(__VA_ARGS__); \
    if (!next) \
        next = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static uint64_t inode_of[MOST_FILES]; /* by descriptor; 0: not below the folder */
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

static int is_below(const char *path)
{
    const char *root = getenv("RECORD_ROOT");
    size_t length = root ? strlen(root) : 0;
    return length && path && strncmp(path, root, length) == 0 && (path[length] == '/' || !path[length]);
}

static uint64_t inode(int descriptor)
{
    return descriptor >= 0 && descriptor < MOST_FILES ? inode_of[descriptor] : 0;
}

static uint64_t path_inode(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 ? (uint64_t)status.st_ino : 0;
}

static void record(char kind, uint64_t a, uint64_t b, const char *path, const char *target, const void *data, size_t n)
{
    static int (*next_open)(const char *, int, ...);
    static ssize_t (*next_write)(int, const void *, size_t);
    static int (*next_close)(int);
    uint32_t lengths[3] = {path ? strlen(path) : 0, target ? strlen(target) : 0, n};
    size_t size = 1 + 16 + 12 + lengths[0] + lengths[1] + n;
    char *entry = malloc(size), *to = entry;
    int saved = errno, descriptor;
    if (!next_open) {
        next_open = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
        next_write = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
        next_close = (int (*)(int))dlsym(RTLD_NEXT, "close");
    }
    *to++ = kind;
    memcpy(to, &a, 8), to += 8;
    memcpy(to, &b, 8), to += 8;
    memcpy(to, lengths, 12), to += 12;
    memcpy(to, path, lengths[0]), to += lengths[0];
    memcpy(to, target, lengths[1]), to += lengths[1];
    memcpy(to, data, n);
    descriptor = next_open(getenv("RECORD_TO"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0 || next_write(descriptor, entry, size) != (ssize_t)size)
        abort(); /* a record with a hole proves nothing */
    next_close(descriptor);
    free(entry);
    errno = saved;
}

/* Do a call and record it, one thread at a time. */
#define ORDERED(type, is_done, call, entry) \
    do { \
        type result; \
        pthread_mutex_lock(&order); \
        result = call; \
        if (is_done) \
            entry; \
        pthread_mutex_unlock(&order); \
        return result; \
    } while (0)

static int opened(int (*next)(int, const char *, int, mode_t), int folder, const char *path, int flags, mode_t mode)
{
    int descriptor, is_new = (flags & O_CREAT) && !path_inode(path);
    pthread_mutex_lock(&order);
    descriptor = next(folder, path, flags, mode);
    if (descriptor >= 0 && descriptor < MOST_FILES) {
        struct stat status;
        fstat(descriptor, &status);
        inode_of[descriptor] = status.st_ino;
        if (is_new)
            record('C', status.st_ino, 0, path, NULL, NULL, 0);
        else if (flags & O_TRUNC)
            record('T', status.st_ino, 0, NULL, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&order);
    return descriptor;
}

#define OPEN(name) \
    static int next_##name(int folder, const char *path, int flags, mode_t mode) \
    { \
        NEXT(int, #name, const char *, int, ...); \
        (void)folder; \
        return next(path, flags, mode); \
    } \
    int name(const char *path, int flags, ...) \
    { \
        mode_t mode; \
        va_list rest; \
        va_start(rest, flags); \
        mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        if (is_below(path)) \
            return opened(next_##name, 0, path, flags, mode); \
        return next_##name(0, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

/* The path that a folder's descriptor and a name below it stand for. */
static const char *whole(int folder, const char *path, char *space)
{
    char link[64];
    ssize_t n;
    if (path[0] == '/' || folder == AT_FDCWD)
        return path;
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    n = readlink(link, space, LONGEST_PATH - 1);
    if (n < 0)
        return path;
    snprintf(space + n, LONGEST_PATH - (size_t)n, "/%s", path);
    return space;
}

#define OPENAT(name) \
    static int next_##name(int folder, const char *path, int flags, mode_t mode) \
    { \
        NEXT(int, #name, int, const char *, int, ...); \
        return next(folder, path, flags, mode); \
    } \
    int name(int folder, const char *path, int flags, ...) \
    { \
        char space[LONGEST_PATH]; \
        mode_t mode; \
        va_list rest; \
        va_start(rest, flags); \
        mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        if (is_below(whole(folder, path, space))) \
            return opened(next_##name, AT_FDCWD, whole(folder, path, space), flags, mode); \
        return next_##name(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int descriptor)
{
    NEXT(int, "close", int);
    if (descriptor >= 0 && descriptor < MOST_FILES)
        inode_of[descriptor] = 0;
    return next(descriptor);
}

ssize_t write(int descriptor, const void *data, size_t n_bytes)
{
    NEXT(ssize_t, "write", int, const void *, size_t);
    if (!inode(descriptor))
        return next(descriptor, data, n_bytes);
    ORDERED(ssize_t, result > 0, next(descriptor, data, n_bytes),
            record('W', inode(descriptor), (uint64_t)(lseek(descriptor, 0, SEEK_CUR) - result), NULL, NULL, data,
                   (size_t)result));
}

#define PWRITE(name, offset_type) \
    ssize_t name(int descriptor, const void *data, size_t n_bytes, offset_type at) \
    { \
        NEXT(ssize_t, #name, int, const void *, size_t, offset_type); \
        if (!inode(descriptor)) \
            return next(descriptor, data, n_bytes, at); \
        ORDERED(ssize_t, result > 0, next(descriptor, data, n_bytes, at), \
                record('W', inode(descriptor), (uint64_t)at, NULL, NULL, data, (size_t)result)); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

/* A copy inside the kernel passes no data by here; the caller then reads and writes. */
ssize_t sendfile(int to, int from, off_t *at, size_t n_bytes)
{
    NEXT(ssize_t, "sendfile", int, int, off_t *, size_t);
    if (!inode(to))
        return next(to, from, at, n_bytes);
    errno = EINVAL;
    return -1;
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t n_bytes)
{
    NEXT(ssize_t, "sendfile64", int, int, off64_t *, size_t);
    if (!inode(to))
        return next(to, from, at, n_bytes);
    errno = EINVAL;
    return -1;
}

#define ON_DESCRIPTOR(name, parameters, types, call, kind, b) \
    int name parameters \
    { \
        NEXT(int, #name, types); \
        if (!inode(descriptor)) \
            return next call; \
        ORDERED(int, result == 0, next call, record(kind, inode(descriptor), (uint64_t)(b), NULL, NULL, NULL, 0)); \
    }
#define COMMA ,
ON_DESCRIPTOR(fsync, (int descriptor), int, (descriptor), 'S', 0)
ON_DESCRIPTOR(fdatasync, (int descriptor), int, (descriptor), 'S', 0)
ON_DESCRIPTOR(ftruncate, (int descriptor, off_t size), int COMMA off_t, (descriptor, size), 'T', size)
ON_DESCRIPTOR(ftruncate64, (int descriptor, off64_t size), int COMMA off64_t, (descriptor, size), 'T', size)
ON_DESCRIPTOR(posix_fallocate, (int descriptor, off_t at, off_t size), int COMMA off_t COMMA off_t,
              (descriptor, at, size), 'E', at + size)
ON_DESCRIPTOR(posix_fallocate64, (int descriptor, off64_t at, off64_t size), int COMMA off64_t COMMA off64_t,
              (descriptor, at, size), 'E', at + size)

#define ON_PATH(name, parameters, types, call, kind, a, b) \
    int name parameters \
    { \
        NEXT(int, #name, types); \
        if (!is_below(path)) \
            return next call; \
        ORDERED(int, result == 0, next call, record(kind, a, (uint64_t)(b), path, NULL, NULL, 0)); \
    }
ON_PATH(unlink, (const char *path), const char *, (path), 'U', 0, 0)
ON_PATH(rmdir, (const char *path), const char *, (path), 'U', 0, 0)
ON_PATH(mkdir, (const char *path, mode_t mode), const char * COMMA mode_t, (path, mode), 'M', path_inode(path), 0)
ON_PATH(truncate, (const char *path, off_t size), const char * COMMA off_t, (path, size), 'T', path_inode(path), size)
ON_PATH(truncate64, (const char *path, off64_t size), const char * COMMA off64_t, (path, size), 'T', path_inode(path),
        size)

int unlinkat(int folder, const char *path, int flags)
{
    char space[LONGEST_PATH];
    NEXT(int, "unlinkat", int, const char *, int);
    if (!is_below(whole(folder, path, space)))
        return next(folder, path, flags);
    ORDERED(int, result == 0, next(folder, path, flags),
            record('U', 0, 0, whole(folder, path, space), NULL, NULL, 0));
}

#define TWO_PATHS(name, kind) \
    int name(const char *path, const char *target) \
    { \
        NEXT(int, #name, const char *, const char *); \
        if (!is_below(path) && !is_below(target)) \
            return next(path, target); \
        ORDERED(int, result == 0, next(path, target), record(kind, 0, 0, path, target, NULL, 0)); \
    }
TWO_PATHS(rename, 'R')
TWO_PATHS(link, 'L')
