/* Reads samples on the standard input and prints events: an example of how to drive the detector.

   A line "channel start_ns rate_hz n" is followed by n integer samples. POSIX or plain C99 with a standard library.
   Included by eq_NAME_replay.c after eq_NAME.h and eq_prefix.h. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static eq_t station;

static void print_events(void)
{
    eq_event event;
    while (eq_poll(&station, &event) != 0) {
        printf("%" PRId64 " %" PRId64 " %.9g\n", event.onset_ns, event.stop_ns, (double)event.peak_probability);
    }
}

/* Pushes one piece to its end; returns whether it was taken. */
static int push_piece(int channel, int64_t start_ns, double rate_hz, const int32_t *x, uint32_t n)
{
    eq_result result = EQ_MORE;
    uint32_t done = 0;
    while (result == EQ_MORE || result == EQ_FULL) {
        uint32_t taken;
        result = eq_push_i32(&station, channel, start_ns, rate_hz, x + done, n - done, &taken);
        done += taken;
        print_events();
    }
    return result == EQ_OK;
}

static int read_samples(int32_t *x, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        if (scanf("%" SCNd32, &x[i]) != 1) {
            return 0;
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    int channel;
    int64_t start_ns;
    double rate_hz;
    uint32_t n;
    eq_result result = EQ_MORE;
    if (eq_selftest(&station) != 0) {
        fprintf(stderr, "the self-test failed: this compiler or machine does not give the runner's bits\n");
        return 2;
    }
    eq_init(&station, argc > 1 ? atoi(argv[1]) : 1);
    while (scanf("%d %" SCNd64 " %lf %" SCNu32, &channel, &start_ns, &rate_hz, &n) == 4) {
        int32_t *x = malloc((n > 0 ? n : 1) * sizeof *x);
        const int is_taken = x != NULL && read_samples(x, n) && push_piece(channel, start_ns, rate_hz, x, n);
        free(x);
        if (!is_taken) {
            fprintf(stderr, "a piece of channel %d was not taken\n", channel);
            return 1;
        }
    }
    while (result == EQ_MORE || result == EQ_FULL) {
        result = eq_finish(&station);
        print_events();
    }
    return 0;
}
