/* Loaded with LD_PRELOAD: the HANG_AT-th fsync of a process never returns, unless the file HANG_MARKER is there already. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int fsync(int descriptor)
{
    static int (*real)(int);
    static int n;
    const char *marker = getenv("HANG_MARKER"), *at = getenv("HANG_AT");
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    if (marker && at && ++n == atoi(at) && open(marker, O_CREAT | O_EXCL | O_WRONLY, 0644) >= 0)
        for (;;)
            pause();
    return real(descriptor);
}
