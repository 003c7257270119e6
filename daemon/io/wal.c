/* See wal.h. */
#include "io/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/digest.h"

#define SECTOR 512u
#define MAGIC 0x4C574444u /* "DDWL" */

struct frame {
    uint32_t magic;
    uint32_t len; /* of the payload */
    uint64_t sequence;
    uint64_t payload_sum;
    uint64_t header_sum; /* of what is above */
};

static uint64_t frame_bytes(size_t len)
{
    return (sizeof(struct frame) + len + SECTOR - 1) / SECTOR * SECTOR;
}

static uint64_t header_sum(const struct frame *frame)
{
    return dd_checksum64(dd_span_make(frame, offsetof(struct frame, header_sum)));
}

/* Whether a whole frame lies at `at`. */
static bool frame_read(const struct wal *wal, uint64_t at, struct frame *out)
{
    if (wal->size - at < sizeof(*out))
        return false;
    memcpy(out, wal->map + at, sizeof(*out));
    return out->magic == MAGIC && out->header_sum == header_sum(out) &&
           out->len <= wal->size - at - sizeof(*out) &&
           out->payload_sum ==
               dd_checksum64(dd_span_make(wal->map + at + sizeof(*out), out->len));
}

/* --- the file ---------------------------------------------------------------------------- */

static int fill(int fd, uint64_t size)
{
    static const char zeros[64 * 1024];
    uint64_t at = 0;

    while (at < size) {
        size_t len = size - at < sizeof(zeros) ? (size_t)(size - at) : sizeof(zeros);
        ssize_t n = write(fd, zeros, len);

        if (n > 0)
            at += (uint64_t)n;
        else if (errno != EINTR)
            return errno;
    }
    return fsync(fd) == 0 ? 0 : errno;
}

/* The name, too, must outlive a loss of power. */
static int sync_directory(const char *path)
{
    char dir[4096];
    int fd, err;

    (void)snprintf(dir, sizeof(dir), "%s", path);
    fd = open(dirname(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    err = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return err;
}

int wal_make(const char *path, uint64_t size)
{
    char unfinished[4096];
    int fd, err;

    (void)snprintf(unfinished, sizeof(unfinished), "%s.new", path);
    fd = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    err = fill(fd, size);
    (void)close(fd);
    if (err == 0 && rename(unfinished, path) != 0)
        err = errno;
    if (err != 0) {
        (void)unlink(unfinished);
        return err;
    }
    return sync_directory(path);
}

/* One commit is in flight at a time: a frame that is there tells that the ones before it
 * had been synced. */
static int find_frames(struct wal *wal, uint64_t applied, struct dd_error *error)
{
    struct frame frame;

    wal->sequence = applied;
    while (frame_read(wal, wal->end, &frame) && frame.sequence == wal->sequence + 1) {
        wal->sequence++;
        wal->end += frame_bytes(frame.len);
    }
    for (uint64_t at = wal->end; at < wal->size; at += SECTOR)
        if (frame_read(wal, at, &frame) && frame.sequence > wal->sequence + 1)
            return dd_fail(error, DD_STORE_CORRUPT,
                           "entry %llu of the log is damaged or missing, and %llu is there; "
                           "restore the whole directory from a backup",
                           (unsigned long long)wal->sequence + 1,
                           (unsigned long long)frame.sequence);
    return 0;
}

static int map_file(struct wal *wal, struct dd_error *error)
{
    struct stat st;
    void *map;

    if (fstat(wal->fd, &st) != 0)
        return dd_fail(error, DD_SYSTEM, "%s", strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size % SECTOR != 0)
        return dd_fail(error, DD_STORE_CORRUPT,
                       "cut short; restore the whole directory from a backup");
    map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, wal->fd, 0);
    if (map == MAP_FAILED)
        return dd_fail(error, DD_SYSTEM, "%s", strerror(errno));
    wal->map = map;
    wal->size = (uint64_t)st.st_size;
    return 0;
}

int wal_open(struct wal *wal, const char *path, bool readonly, uint64_t applied,
             struct dd_error *error)
{
    int rc;

    *wal = (struct wal){.fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC),
                        .sequence = applied};
    if (wal->fd < 0 && errno == ENOENT)
        return 0;
    if (wal->fd < 0)
        return dd_fail(error, DD_SYSTEM, "open %s: %s", path, strerror(errno));
    rc = map_file(wal, error);
    if (rc == 0)
        rc = find_frames(wal, applied, error);
    return rc == 0 ? 0 : dd_wrap(error, "%s", path);
}

void wal_close(struct wal *wal)
{
    if (wal->map)
        (void)munmap((void *)(uintptr_t)wal->map, (size_t)wal->size);
    if (wal->fd >= 0)
        (void)close(wal->fd);
    *wal = (struct wal){.fd = -1};
}

/* --- frames ------------------------------------------------------------------------------ */

bool wal_fits(const struct wal *wal, size_t len)
{
    return frame_bytes(len) <= wal->size - wal->end && len <= UINT32_MAX;
}

static int write_all(int fd, struct iovec *parts, int len, uint64_t at)
{
    while (len > 0) {
        ssize_t n = pwritev(fd, parts, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        at += (uint64_t)n;
        for (; len > 0 && (size_t)n >= parts->iov_len; parts++, len--)
            n -= (ssize_t)parts->iov_len;
        if (len > 0) {
            parts->iov_base = (char *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return 0;
}

int wal_append(struct wal *wal, struct dd_span payload)
{
    struct frame frame = {.magic = MAGIC,
                          .len = (uint32_t)payload.len,
                          .sequence = wal->sequence + 1,
                          .payload_sum = dd_checksum64(payload)};
    struct iovec parts[] = {{&frame, sizeof(frame)},
                            {(void *)(uintptr_t)payload.data, payload.len}};
    int err;

    dd_assert(wal_fits(wal, payload.len));
    frame.header_sum = header_sum(&frame);
    err = write_all(wal->fd, parts, 2, wal->end);
    if (err == 0 && fdatasync(wal->fd) != 0)
        err = errno;
    if (err != 0)
        return err;
    wal->sequence++;
    wal->end += frame_bytes(payload.len);
    return 0;
}

bool wal_next(const struct wal *wal, uint64_t *at, struct dd_span *out_payload)
{
    struct frame frame;

    if (*at >= wal->end)
        return false;
    memcpy(&frame, wal->map + *at, sizeof(frame));
    *out_payload = dd_span_make(wal->map + *at + sizeof(frame), frame.len);
    *at += frame_bytes(frame.len);
    return true;
}

uint64_t wal_mark(const struct wal *wal)
{
    return wal->sequence + 1;
}

void wal_clear(struct wal *wal)
{
    wal->sequence = wal_mark(wal);
    wal->end = 0;
}
