/* Fuzzing: any bytes as pieces, or as a saved state with a right check value; no sanitizer may find anything.

   Included after eq_NAME.c. The first byte chooses. */

#define MOST_CALLS 400 /* a state that was made up may have years of work left */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static eq_t station;

static void drain(void)
{
    eq_event event;
    while (eq_poll(&station, &event) != 0) {
    }
}

static void push_pieces(const uint8_t *data, size_t size)
{
    int64_t start_ns = -1000000000;
    size_t at = 0;
    int calls = 0;
    while (at + 4 <= size && calls < MOST_CALLS) {
        int32_t x[64];
        uint32_t n = 1u + data[at] % 64u, i, done = 0;
        const int channel = data[at + 1] % (EQ_N_CHANNELS + 1);
        const double rate_hz = eq_rates[data[at + 1] / 16 % EQ_N_RATES].rate_hz;
        eq_result result = EQ_MORE;
        start_ns += (int64_t)(int8_t)data[at + 2] * ((int64_t)1 << (data[at + 3] % 50));
        at += 4;
        for (i = 0; i < n; i++) {
            x[i] = at < size ? (int32_t)(int8_t)data[at++] * ((int32_t)1 << (i % 24)) : 0;
        }
        while ((result == EQ_MORE || result == EQ_FULL) && calls++ < MOST_CALLS) {
            uint32_t taken;
            result = eq_push_i32(&station, channel, start_ns, rate_hz, x + done, n - done, &taken);
            done += taken;
            drain();
        }
    }
    for (calls = 0; calls < MOST_CALLS && eq_finish(&station) == EQ_MORE; calls++) {
        drain();
    }
    (void)eq_horizon_ns(&station);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t blob[sizeof(eq_t) + 4096];
    uint32_t n = 0, i;
    if (size < 2) {
        return 0;
    }
    eq_init(&station, data[0] % 3);
    if (data[0] >= 128) { /* a state with some bytes changed */
        (void)eq_save(&station, blob, sizeof blob, &n);
        for (i = 1; i + 3 < size && i < 400; i += 3) {
            blob[EQ_HEAD_BYTES + ((uint32_t)data[i] * 256u + data[i + 1]) % (n - EQ_HEAD_BYTES)] = data[i + 2];
        }
        write_head(blob, n);
        (void)eq_restore(&station, blob, n);
    }
    push_pieces(data + 1, size - 1);
    return 0;
}
