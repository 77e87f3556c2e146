/* A disk with bad sectors, for programs that are started with this library preloaded: reads of the
   file UNREADABLE_FILE that touch one of the byte ranges in UNREADABLE ("START-END,START-END", END is
   not included) fail as those of a disk do. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_bad(int descriptor, long long start, size_t length)
{
    const char *file = getenv("UNREADABLE_FILE"), *list = getenv("UNREADABLE");
    char link[64], path[4096];
    if (!file || !list)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    if (strcmp(path, file))
        return 0;
    long long from, to;
    int used;
    while (sscanf(list, "%lld-%lld%n", &from, &to, &used) == 2) {
        if (start < to && start + (long long)length > from)
            return 1;
        list += used;
        if (*list == ',')
            list++;
    }
    return 0;
}

#define READ(name, offset_type)                                                          \
    ssize_t name(int descriptor, void *buffer, size_t length, offset_type offset)        \
    {                                                                                    \
        static ssize_t (*real)(int, void *, size_t, offset_type);                        \
        if (!real)                                                                       \
            real = (ssize_t(*)(int, void *, size_t, offset_type))dlsym(RTLD_NEXT, #name); \
        if (is_bad(descriptor, offset, length)) {                                        \
            errno = EIO;                                                                 \
            return -1;                                                                   \
        }                                                                                \
        return real(descriptor, buffer, length, offset);                                 \
    }

READ(pread, off_t)
READ(pread64, off64_t)
