/* The directory of an LMDB store: making it, telling a network file system,
 * owning it, and the reserve file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "io/store_lmdb_priv.h"

/* statfs(2) and linux/magic.h. LMDB needs a coherent memory map and locks that
 * hold, which none of these promise. */
static const struct {
    uint32_t magic;
    const char *name;
} network_filesystems[] = {
    {0x00006969, "NFS"},
    {0x0000517B, "SMB"},
    {0xFF534D42, "CIFS"},
    {0xFE534D42, "SMB2"},
    {0x01021997, "9p"},
    {0x65735546, "FUSE"},
    {0x5346414F, "AFS"},
    {0x6B414653, "kAFS"},
    {0x00C36400, "Ceph"},
    {0x73757245, "Coda"},
    {0x0000564C, "NCP"},
    {0x0BD00BD0, "Lustre"},
    {0x47504653, "GPFS"},
    {0x7461636F, "OCFS2"},
    {0x01161970, "GFS2"},
    {0x786F4256, "vboxsf"},
    {0xAAD7AAEA, "PanFS"},
    {0x013111A8, "IBRIX"},
    {0xBACBACBC, "VMware shared folder"},
};

const char *dd_store_lmdb_network(uint64_t fs_magic)
{
    for (size_t i = 0; i < DD_COUNT(network_filesystems); i++)
        if (network_filesystems[i].magic == (uint32_t)fs_magic)
            return network_filesystems[i].name;
    return NULL;
}

void store_path(const char *dir, const char *name, char out_path[4096])
{
    (void)snprintf(out_path, 4096, "%s/%s", dir, name);
}

/* A text for the errnos that people meet when they choose a directory. */
static int dir_fail(struct dd_error *error, const char *doing, const char *path, int err)
{
    switch (err) {
    case ENOTDIR:
        return dd_fail(error, DD_SYSTEM, "%s %s: not a directory; name another with --data",
                       doing, path);
    case EROFS:
        return dd_fail(error, DD_SYSTEM,
                       "%s %s: the file system is read-only; mount it writable or name "
                       "another directory with --data",
                       doing, path);
    case EACCES:
    case EPERM:
        return dd_fail(error, DD_SYSTEM,
                       "%s %s: permission denied for uid %u; change its owner or name "
                       "another directory with --data",
                       doing, path, (unsigned)geteuid());
    case ENOSPC:
    case EDQUOT:
        return dd_fail(error, DD_STORE_FULL,
                       "%s %s: no space left; free some or name another directory with --data",
                       doing, path);
    default:
        return dd_fail(error, DD_SYSTEM, "%s %s: %s", doing, path, strerror(err));
    }
}

/* As `mkdir -p`, with mode 0700 for what it makes. */
static int make_path(const char *dir)
{
    char path[4096];
    size_t len = strlen(dir);

    if (len >= sizeof(path))
        return ENAMETOOLONG;
    memcpy(path, dir, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        path[i] = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return errno;
        path[i] = dir[i];
    }
    return 0;
}

int store_dir_make(const struct dd_store_lmdb_options *options, struct dd_error *error)
{
    struct stat st;
    struct statfs fs;
    const char *network;
    int err;

    /* Longer paths could not hold the names of the files within. */
    if (strlen(options->dir) > 4000)
        return dir_fail(error, "open", "the data directory", ENAMETOOLONG);
    if (stat(options->dir, &st) != 0) {
        if (errno != ENOENT)
            return dir_fail(error, "open", options->dir, errno);
        if (options->readonly)
            return dd_fail(error, DD_SYSTEM, "open %s: there is no such directory",
                           options->dir);
        err = make_path(options->dir);
        if (err != 0)
            return dir_fail(error, "make", options->dir, err);
    } else if (!S_ISDIR(st.st_mode)) {
        return dir_fail(error, "open", options->dir, ENOTDIR);
    }
    if (statfs(options->dir, &fs) != 0)
        return dir_fail(error, "open", options->dir, errno);
    network = dd_store_lmdb_network((uint64_t)fs.f_type);
    if (network && !options->any_filesystem)
        return dd_fail(error, DD_STORE_FILESYSTEM,
                       "%s is on a network or user-space file system (%s), where a crash could "
                       "lose data; name a directory on a local disk with --data",
                       options->dir, network);
    return 0;
}

/* The pid that the owner wrote, or 0. */
static long lock_owner(int fd)
{
    char text[32] = "";
    ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

    return len > 0 ? strtol(text, NULL, 10) : 0;
}

static int lock_write_pid(int fd)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len)
        return errno ? errno : EIO;
    return 0;
}

int store_dir_lock(const char *dir, bool readonly, int *out_fd, struct dd_error *error)
{
    char path[4096];
    int fd, err;

    store_path(dir, "lock", path);
    fd = open(path, readonly ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        /* A reader of a directory that it may not write into, or that never had
         * an owner, has nobody to fear. */
        if (readonly && errno == ENOENT) {
            *out_fd = -1;
            return 0;
        }
        return dir_fail(error, "open", path, errno);
    }
    if (flock(fd, (readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
        err = errno;
        if (err == EWOULDBLOCK)
            (void)dd_fail(error, DD_STORE_LOCKED,
                          "%s is in use by process %ld; stop that one first or name another "
                          "directory with --data",
                          dir, lock_owner(fd));
        else
            (void)dir_fail(error, "lock", path, err);
        (void)close(fd);
        return err == EWOULDBLOCK ? DD_STORE_LOCKED : DD_SYSTEM;
    }
    /* The pid serves people only; a full disk must not keep the owner out. */
    err = readonly ? 0 : lock_write_pid(fd);
    if (err != 0 && err != ENOSPC && err != EDQUOT) {
        (void)close(fd);
        return dir_fail(error, "write", path, err);
    }
    *out_fd = fd;
    return 0;
}

int store_file_check(const char *dir, bool all, struct dd_error *error)
{
    char path[4096];
    struct stat st;
    int fd, rc;

    store_path(dir, "data.mdb", path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : dir_fail(error, "open", path, errno);
    if (fstat(fd, &st) != 0)
        rc = dir_fail(error, "open", path, errno);
    else if (!S_ISREG(st.st_mode))
        rc = dd_fail(error, DD_STORE_CORRUPT, "not a regular file");
    else if (st.st_size == 0)
        rc = 0; /* made by an open that was killed before it wrote */
    else
        rc = store_pages_check(fd, (uint64_t)st.st_size, all, error);
    (void)close(fd);
    return rc == DD_STORE_CORRUPT || rc == DD_STORE_VERSION ? dd_wrap(error, "%s", path) : rc;
}

void store_disk(const char *dir, uint64_t *out_free, uint64_t *out_size)
{
    struct statvfs fs;

    *out_free = *out_size = 0;
    if (statvfs(dir, &fs) != 0)
        return;
    *out_free = (uint64_t)fs.f_bavail * fs.f_frsize;
    *out_size = (uint64_t)fs.f_blocks * fs.f_frsize;
}

/* Written, not merely allocated, and with bytes that no file system compresses:
 * a file that takes no room would give none back. */
int store_reserve_make(const char *dir, uint64_t bytes)
{
    uint64_t block[1024];
    uint64_t at = 0, noise = 1;
    char path[4096];
    int fd, err = 0;

    for (size_t i = 0; i < DD_COUNT(block); i++) {
        noise = noise * 6364136223846793005u + 1442695040888963407u;
        block[i] = noise;
    }

    store_path(dir, "reserve", path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    while (at < bytes && err == 0) {
        size_t len = bytes - at < sizeof(block) ? (size_t)(bytes - at) : sizeof(block);
        ssize_t n = write(fd, block, len);

        if (n > 0)
            at += (uint64_t)n;
        else if (errno != EINTR)
            err = errno;
    }
    if (err == 0 && fsync(fd) != 0)
        err = errno;
    (void)close(fd);
    if (err != 0)
        (void)unlink(path);
    return err;
}

bool store_reserve_release(const char *dir)
{
    char path[4096];

    store_path(dir, "reserve", path);
    return unlink(path) == 0;
}

bool store_reserve_exists(const char *dir, uint64_t bytes)
{
    char path[4096];
    struct stat st;

    store_path(dir, "reserve", path);
    return stat(path, &st) == 0 && (uint64_t)st.st_size >= bytes;
}
