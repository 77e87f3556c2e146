/* Randomness from a seed, for a program that is started with this library preloaded: a thread whose name is
   "seed N" gets the numbers that follow from N, any other one gets those of the kernel. So the order of hash
   tables, keys and tokens of a simulated run is the same each time. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static __thread int known; /* 0: not looked yet, 1: of a seed, 2: of the kernel */
static __thread uint64_t state;

/* splitmix64 */
static uint64_t next(void)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static int of_a_seed(void)
{
    if (!known) {
        char name[17] = "";
        unsigned long long seed = 0;
        prctl(PR_GET_NAME, name);
        known = sscanf(name, "seed %llu", &seed) == 1 ? 1 : 2;
        state = seed;
    }
    return known == 1;
}

ssize_t getrandom(void *buffer, size_t length, unsigned int flags)
{
    if (!of_a_seed())
        return syscall(SYS_getrandom, buffer, length, flags);
    unsigned char *bytes = buffer;
    for (size_t at = 0; at < length; at++)
        bytes[at] = (unsigned char)next();
    return (ssize_t)length;
}

int getentropy(void *buffer, size_t length)
{
    return getrandom(buffer, length, 0) == (ssize_t)length ? 0 : -1;
}
