/* A clock that is wrong, for programs that are started with this library preloaded: the program whose
   name begins with CLOCK_PROGRAM sees the time of day moved by the seconds in the file CLOCK_FILE. The
   clock that only goes forward stays as it is, as it does on a computer whose clock is set. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long long moved(void)
{
    const char *program = getenv("CLOCK_PROGRAM"), *path = getenv("CLOCK_FILE");
    long long seconds = 0;
    if (!program || !path ||
        strncmp(program_invocation_short_name, program, strlen(program)))
        return 0;
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%lld", &seconds) != 1)
        seconds = 0;
    fclose(file);
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME)
        time->tv_sec += moved();
    return result;
}
