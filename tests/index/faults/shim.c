/* A disk that fails, below Python and SQLite: preloaded, it stands before the C library's calls on files.
 *
 * FAULTS_FOLDER  only files under this folder are meant; unset: none
 * FAULTS_KINDS   which calls are counted: r reads, w writes, s syncs, n names (open, create, link, rename, remove)
 * FAULTS_AT      the number of the call that fails, from 1; unset: none does
 * FAULTS_FOREVER if set, all calls after it fail, too
 * FAULTS_HOW     eio, enospc; short: half of it is written; die: SIGKILL; torn: half of it is written, then SIGKILL
 *
 * System calls are made directly, so nothing has to be looked up in the real library.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long counted;

long faults_counted(void) { return counted; }

static int is_how(const char *name)
{
    const char *how = getenv("FAULTS_HOW");
    return how && !strcmp(how, name);
}

static int is_meant(const char *path)
{
    const char *folder = getenv("FAULTS_FOLDER");
    size_t length = folder ? strlen(folder) : 0;
    return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static int is_open_on(int file)
{
    char link[40], path[4096];
    if (!getenv("FAULTS_FOLDER"))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return is_meant(path);
}

/* Count this call, and say whether it is to fail. */
static int fails(char kind, int meant)
{
    const char *kinds = getenv("FAULTS_KINDS"), *at = getenv("FAULTS_AT");
    if (!meant || (kinds && !strchr(kinds, kind)))
        return 0;
    long number = ++counted, first = at ? atol(at) : 0;
    if (!first || number < first || (number > first && !getenv("FAULTS_FOREVER")))
        return 0;
    if (is_how("die"))
        kill(getpid(), SIGKILL);
    return 1;
}

static long refused(void)
{
    errno = is_how("enospc") ? ENOSPC : EIO;
    return -1;
}

/* Of a write that fails: how much of it is written. */
static size_t half(size_t length) { return is_how("short") || is_how("torn") ? (length + 1) / 2 : 0; }

static ssize_t written(ssize_t result)
{
    if (is_how("torn"))
        kill(getpid(), SIGKILL);
    return result;
}

ssize_t write(int file, const void *data, size_t length)
{
    if (!fails('w', is_open_on(file)))
        return syscall(SYS_write, file, data, length);
    return half(length) ? written(syscall(SYS_write, file, data, half(length))) : refused();
}

ssize_t pwrite64(int file, const void *data, size_t length, off64_t at)
{
    if (!fails('w', is_open_on(file)))
        return syscall(SYS_pwrite64, file, data, length, at);
    return half(length) ? written(syscall(SYS_pwrite64, file, data, half(length), at)) : refused();
}

ssize_t pwrite(int file, const void *data, size_t length, off_t at) { return pwrite64(file, data, length, at); }

int ftruncate64(int file, off64_t length)
{
    return fails('w', is_open_on(file)) ? refused() : syscall(SYS_ftruncate, file, length);
}

int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

ssize_t read(int file, void *data, size_t length)
{
    return fails('r', is_open_on(file)) ? refused() : syscall(SYS_read, file, data, length);
}

ssize_t pread64(int file, void *data, size_t length, off64_t at)
{
    return fails('r', is_open_on(file)) ? refused() : syscall(SYS_pread64, file, data, length, at);
}

ssize_t pread(int file, void *data, size_t length, off_t at) { return pread64(file, data, length, at); }

ssize_t preadv64(int file, const struct iovec *data, int count, off64_t at)
{
    return fails('r', is_open_on(file)) ? refused() : syscall(SYS_preadv, file, data, count, at, 0);
}

ssize_t preadv(int file, const struct iovec *data, int count, off_t at) { return preadv64(file, data, count, at); }

int fsync(int file) { return fails('s', is_open_on(file)) ? refused() : syscall(SYS_fsync, file); }

int fdatasync(int file) { return fails('s', is_open_on(file)) ? refused() : syscall(SYS_fdatasync, file); }

static int opened(int folder, const char *path, int flags, va_list more)
{
    int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, int) : 0;
    return fails('n', is_meant(path)) ? refused() : syscall(SYS_openat, folder, path, flags, mode);
}

#define OPENS(name, folder, parameters)               \
    int name parameters                               \
    {                                                 \
        va_list more;                                 \
        va_start(more, flags);                        \
        int file = opened(folder, path, flags, more); \
        va_end(more);                                 \
        return file;                                  \
    }
OPENS(open, AT_FDCWD, (const char *path, int flags, ...))
OPENS(open64, AT_FDCWD, (const char *path, int flags, ...))
OPENS(openat, folder, (int folder, const char *path, int flags, ...))
OPENS(openat64, folder, (int folder, const char *path, int flags, ...))

int rename(const char *from, const char *to)
{
    return fails('n', is_meant(to)) ? refused() : syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int link(const char *from, const char *to)
{
    return fails('n', is_meant(to)) ? refused() : syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    return fails('n', is_meant(path)) ? refused() : syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int mkdir(const char *path, mode_t mode)
{
    return fails('n', is_meant(path)) ? refused() : syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
