/*
 * Notes what of a server's files is on the disk, so that a test can take from them what a machine that loses power
 * would not have written: see power.rs. Loaded into the server before its own libraries.
 *
 * A line of the file `synced` in the directory that the server was started in, for the inode of a file:
 *
 *   s INODE SIZE   the first SIZE bytes are on the disk
 *   t INODE SIZE   it was cut to SIZE bytes
 *   u INODE        it has lost a name; its number may come back for another file
 *
 * The size is that before the call: what is written while it runs may have missed it. The line is written after the
 * call and before the server learns of its end, so nothing is acknowledged that is not noted.
 */
#if !defined(__linux__) || !defined(__LP64__)
#error "a server's calls can be noted, and its loss of power tested, on a Linux of 64 bits"
#endif

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int notes = -1;

__attribute__((constructor)) static void open_notes(void) {
    notes = open("synced", O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
    /* A server without notes would seem to lose all that it has. */
    if (notes < 0) _exit(1);
}

static void note(const char *format, unsigned long long inode, long long size) {
    char line[64];
    int before = errno;
    int length = snprintf(line, sizeof line, format, inode, size);
    /* One call, so that lines of several threads stay whole. */
    if (write(notes, line, (size_t)length) != length) _exit(1);
    errno = before;
}

static int synced(long call, int fd) {
    struct stat file, after;
    int known = fstat(fd, &file) == 0 && S_ISREG(file.st_mode);
    int result = (int)syscall(call, fd);
    /* The number of a file without a name comes back for another once it is closed. */
    if (known && result == 0 && fstat(fd, &after) == 0 && after.st_nlink > 0) {
        note("s %llu %lld\n", (unsigned long long)file.st_ino, (long long)file.st_size);
    }
    return result;
}

int fsync(int fd) { return synced(SYS_fsync, fd); }
int fdatasync(int fd) { return synced(SYS_fdatasync, fd); }

int ftruncate(int fd, off_t size) {
    struct stat file;
    int result = (int)syscall(SYS_ftruncate, fd, size);
    if (result == 0 && fstat(fd, &file) == 0) {
        note("t %llu %lld\n", (unsigned long long)file.st_ino, (long long)size);
    }
    return result;
}

int truncate(const char *path, off_t size) {
    struct stat file;
    int result = (int)syscall(SYS_truncate, path, size);
    if (result == 0 && stat(path, &file) == 0) {
        note("t %llu %lld\n", (unsigned long long)file.st_ino, (long long)size);
    }
    return result;
}

int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }
int truncate64(const char *path, off_t size) { return truncate(path, size); }

/* Before the name goes: after it, another file could already have the number. */
static void loses_name(const char *path) {
    struct stat file;
    if (lstat(path, &file) == 0 && S_ISREG(file.st_mode)) note("u %llu\n", (unsigned long long)file.st_ino, 0);
}

int unlink(const char *path) {
    loses_name(path);
    return unlinkat(AT_FDCWD, path, 0);
}

int rename(const char *from, const char *to) {
    struct stat source, target;
    /* Two names of one file stay as they are. */
    int same = lstat(from, &source) != 0 || (lstat(to, &target) == 0 && source.st_ino == target.st_ino);
    if (!same) loses_name(to);
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}
