/* Reads samples as eq_NAME_replay.c does, and cuts them into the pieces that a driver would send. */
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>

/* Reads the next piece of at most `most` samples; returns how many, 0 at the end. */
static uint32_t next_piece(int64_t *start_ns, double *rate_hz, int32_t *samples, uint32_t most)
{
    static int64_t begin_ns;
    static double hz;
    static uint32_t n, first;
    uint32_t i, n_now;
    int channel;
    if (first == n) {
        first = 0;
        n = 0;
        if (scanf("%d %" SCNd64 " %lf %" SCNu32, &channel, &begin_ns, &hz, &n) != 4) {
            return 0;
        }
    }
    *start_ns = begin_ns + llrint((double)first * 1e9 / hz);
    *rate_hz = hz;
    n_now = n - first < most ? n - first : most;
    for (i = 0; i < n_now; i++) {
        if (scanf("%" SCNd32, &samples[i]) != 1) {
            return 0;
        }
    }
    first += n_now;
    return n_now;
}

#define PRINT_EVENT(event) \
    printf("%" PRId64 " %" PRId64 " %.9g\n", (event).onset_ns, (event).stop_ns, (double)(event).peak_probability)
