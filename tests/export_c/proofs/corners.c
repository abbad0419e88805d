/* What records rarely reach: refusals, ends of ranges, damaged states. Included after eq_NAME.c and its self-test. */

#define CORNER_FILE 0
#define CHECK(is_so)                       \
    do {                     \
        if (!(is_so)) {      \
            return CORNER_FILE + __LINE__; \
        }                    \
    } while (0)
#define RATE_HZ (eq_rates[0].rate_hz)
#define MANY ((uint32_t)(EQ_WINDOW + 3 * EQ_HOP) * 8u)

static eq_t corner;
static int32_t quiet[(EQ_WINDOW + 3 * EQ_HOP) * 8];
static uint8_t blob[sizeof(eq_t) + 4096];

static eq_result push_quiet(int channel, int64_t start_ns, double rate_hz, uint32_t n, uint32_t *taken)
{
    return eq_push_i32(&corner, channel, start_ns, rate_hz, quiet, n, taken);
}

static int check_settings(void)
{
    const eq_counts zero = eq_channel_counts(&corner, -1), none = eq_channel_counts(&corner, EQ_N_CHANNELS);
    eq_init(&corner, -1);
    CHECK(corner.trigger.threshold <= eq_thresholds[0] && corner.trigger.threshold >= eq_thresholds[0]);
    eq_init(&corner, 9);
    CHECK(corner.trigger.threshold <= eq_thresholds[2] && corner.trigger.threshold >= eq_thresholds[2]);
    CHECK(eq_set_vertical(&corner, -1, 1) == EQ_CHANNEL);
    CHECK(eq_set_vertical(&corner, EQ_N_CHANNELS, 1) == EQ_CHANNEL);
    CHECK(eq_set_vertical(&corner, 0, 0) == EQ_OK && corner.channels[0].is_vertical == 0);
    CHECK(eq_set_vertical(&corner, 0, 2) == EQ_OK && corner.channels[0].is_vertical == 1);
    CHECK(memcmp(&zero, &none, sizeof zero) == 0 && zero.restarts == 0);
    return eq_selftest(&corner) == 0 ? 0 : __LINE__;
}

static int check_refused_pieces(void)
{
    uint32_t taken;
    const float sample = 0.0f;
    eq_init(&corner, 1);
    CHECK(eq_advance(&corner, 0) == EQ_OK); /* nothing has begun */
    CHECK(eq_advance(&corner, INT64_MAX) == EQ_TIME && eq_advance(&corner, INT64_MIN) == EQ_TIME);
    CHECK(eq_horizon_ns(&corner) == INT64_MIN);
    CHECK(push_quiet(-1, 0, RATE_HZ, 1, &taken) == EQ_CHANNEL);
    CHECK(push_quiet(EQ_N_CHANNELS, 0, RATE_HZ, 1, &taken) == EQ_CHANNEL);
    CHECK(push_quiet(0, 0, 1.5 * RATE_HZ, 1, &taken) == EQ_RATE);
    CHECK(push_quiet(0, INT64_MIN, RATE_HZ, 1, &taken) == EQ_TIME);
    CHECK(push_quiet(0, INT64_MAX, RATE_HZ, 1, &taken) == EQ_TIME);
    CHECK(push_quiet(0, 0, RATE_HZ, MANY, &taken) == EQ_MORE && taken < MANY);
    CHECK(push_quiet(0, 0, RATE_HZ, MANY, &taken) == EQ_STATE); /* not what was left */
    CHECK(eq_push_f32(&corner, 0, 0, RATE_HZ, &sample, corner.channels[0].piece_left, &taken) == EQ_STATE);
    corner.channels[0].rate = 0; /* as only a made-up state can be: the next is a piece of its own */
    CHECK(push_quiet(0, 0, RATE_HZ, 1, &taken) == EQ_OK);
    if (EQ_N_RATES > 1) {
        CHECK(push_quiet(0, 0, eq_rates[EQ_N_RATES - 1].rate_hz, 1, &taken) == EQ_RATE); /* it was the first */
    }
    return 0;
}

/* Pushes pieces that follow each other late by some samples; returns the first result that is no success. */
static eq_result push_late_pieces(int64_t late_ns, uint32_t n)
{
    eq_clock clock;
    int64_t start_ns = 0, position;
    int i;
    memset(&clock, 0, sizeof clock);
    for (i = 0; i < 60; i++) {
        const eq_result result = place_piece(&clock, RATE_HZ, 0, start_ns, RATE_HZ, n, &position);
        if (result != EQ_OK) {
            return result;
        }
        start_ns += duration_ns((int64_t)n, RATE_HZ) + late_ns;
    }
    return EQ_OK;
}

static int check_clocks(void)
{
    const int64_t sample_ns = duration_ns(1, RATE_HZ);
    eq_clock clock;
    uint32_t taken;
    CHECK(push_late_pieces(0, 1000) == EQ_OK);
    CHECK(push_late_pieces(sample_ns / 20, 1000) == EQ_CLOCK);     /* half a sample after some ten pieces */
    CHECK(push_late_pieces(sample_ns * 3 / 2, 1000) == EQ_CLOCK);  /* 0.15 %, again and again: no gaps */
    CHECK(push_late_pieces(sample_ns * 3, 1000) == EQ_OK);         /* whole samples are lost: gaps */
    memset(&clock, 0, sizeof clock);
    clock.chain.rate_hz = RATE_HZ * 1.0001; /* half a sample after 5000 */
    CHECK(!slips(&clock, RATE_HZ, 4000) && slips(&clock, RATE_HZ, 6000));
    clock.chain.rate_hz = RATE_HZ * 0.9999;
    CHECK(!slips(&clock, RATE_HZ, 4000) && slips(&clock, RATE_HZ, 6000));
    clock.disproved = 10000; /* longer pieces have shown that the rate is wrong */
    CHECK(!slips(&clock, RATE_HZ, 6000));
    clock.chain.late = 0.6;
    CHECK(!slips(&clock, RATE_HZ, 10) && slips(&clock, RATE_HZ, 6000)); /* 30 s of the chain count for themselves */
    eq_init(&corner, 1);
    CHECK(push_quiet(0, 0, RATE_HZ, 1, &taken) == EQ_OK);
    corner.channels[0].clock.chain.rate_hz = RATE_HZ * 1.0009;
    corner.channels[0].clock.chain.late = 0.6;
    CHECK(push_quiet(0, time_after(0, 1, RATE_HZ * 1.0009), RATE_HZ * 1.0009, MANY > 6000 ? MANY : 1, &taken)
          == (MANY > 6000 ? EQ_CLOCK : EQ_OK));
    return 0;
}

static int check_waiting(void)
{
    uint32_t taken;
    int64_t start_ns = 0;
    eq_result result = EQ_OK;
    int i;
    eq_init(&corner, 1);
    corner.queue_length = EQ_QUEUE - 2;
    CHECK(push_quiet(0, 0, RATE_HZ, 1, &taken) == EQ_FULL && taken == 0);
    CHECK(eq_advance(&corner, 0) == EQ_FULL && eq_finish(&corner) == EQ_FULL);
    eq_init(&corner, 1);
    CHECK(push_quiet(0, 0, RATE_HZ, MANY, &taken) == EQ_MORE);
    while ((result = eq_finish(&corner)) == EQ_MORE) {
    }
    CHECK(result == EQ_LEAD); /* a piece is in progress */
    if (EQ_N_CHANNELS > 1) {
        eq_init(&corner, 1);
        CHECK(push_quiet(EQ_N_CHANNELS - 1, 0, RATE_HZ, MANY, &taken) == EQ_MORE); /* and holds the rows back */
        result = EQ_OK;
        for (i = 0; i < EQ_RING && result == EQ_OK; i++) {
            uint32_t done = 0;
            do {
                result = eq_push_i32(&corner, 0, start_ns, RATE_HZ, quiet + done, MANY - done, &taken);
                done += taken;
            } while (result == EQ_MORE);
            start_ns += duration_ns((int64_t)MANY, RATE_HZ);
        }
        CHECK(result == EQ_LEAD);
        CHECK(eq_finish(&corner) == EQ_LEAD);
    }
    eq_init(&corner, 1);
    CHECK(push_quiet(0, 0, RATE_HZ, 1, &taken) == EQ_OK);
    corner.next_block = 10;
    add_to_row(&corner, &corner.channels[0], 5, 1, (const int16_t *)quiet);
    CHECK(corner.n_let_go == 1);
    return 0;
}

static int check_horizon(void)
{
    eq_trigger *t = &corner.trigger;
    uint32_t taken;
    eq_init(&corner, 1);
    CHECK(push_quiet(0, 0, RATE_HZ, 1, &taken) == EQ_OK);
    corner.has_decided = 1;
    corner.decided_until_ns = INT64_C(1000000000000);
    CHECK(eq_horizon_ns(&corner) == INT64_C(1000000000000) - EQ_LAG_NS);
    t->has_course = 1;
    t->course_ns = INT64_C(900000000000);
    CHECK(eq_horizon_ns(&corner) == t->course_ns - EQ_LAG_NS);
    t->is_told = 1;
    CHECK(eq_horizon_ns(&corner) == INT64_C(1000000000000) - EQ_LAG_NS);
    t->has_beginning = 1;
    t->beginning_ns = INT64_C(800000000000);
    t->is_armed = 1;
    CHECK(eq_horizon_ns(&corner) == t->beginning_ns - EQ_LAG_NS);
    t->is_armed = 0;
    CHECK(eq_horizon_ns(&corner) == INT64_C(1000000000000) - EQ_LAG_NS);
    t->has_rise = 1;
    t->rise_onset_ns = INT64_C(700000000000);
    CHECK(eq_horizon_ns(&corner) == t->rise_onset_ns - EQ_LAG_NS);
    t->is_open = 1;
    t->open_onset_ns = INT64_C(600000000000);
    CHECK(eq_horizon_ns(&corner) == t->open_onset_ns - EQ_LAG_NS);
    t->open_onset_ns = INT64_C(750000000000);
    CHECK(eq_horizon_ns(&corner) == t->rise_onset_ns - EQ_LAG_NS);
    t->has_rise = 0;
    t->is_armed = 1;
    CHECK(eq_horizon_ns(&corner) == t->open_onset_ns - EQ_LAG_NS);
    return 0;
}

static int check_saved_states(void)
{
    static const uint32_t heads[] = {0, 4, 12, 16}; /* magic, identity, length, check value */
    uint32_t n = 0, n_again = 0, i;
    eq_init(&corner, 1);
    CHECK(eq_save(&corner, NULL, 0, &n) == EQ_SIZE);
    CHECK(eq_save(&corner, blob, n - 1, &n_again) == EQ_SIZE && n_again == n);
    CHECK(eq_save(&corner, blob, sizeof blob, &n_again) == EQ_OK && n_again == n);
    CHECK(eq_restore(&corner, blob, n) == EQ_OK && eq_restore(&corner, blob, n - 1) == EQ_STATE);
    for (i = 0; i < 4; i++) {
        blob[heads[i]] ^= 1u;
        CHECK(eq_restore(&corner, blob, n) == EQ_STATE);
        blob[heads[i]] ^= 1u;
    }
    blob[EQ_HEAD_BYTES + 7] = 0x7F; /* the start of the grid after 2115, then before 1824; the check value is right */
    write_head(blob, n);
    CHECK(eq_restore(&corner, blob, n) == EQ_STATE);
    blob[EQ_HEAD_BYTES + 7] = 0x80;
    write_head(blob, n);
    CHECK(eq_restore(&corner, blob, n) == EQ_STATE && corner.t0_ns == 0);
    return 0;
}

static int check_arithmetic(void)
{
    const double zero = 0.0, nan = zero / zero;
    const int64_t most = 2 * EQ_FARTHEST_NS;
    CHECK(round_even(1e300) > 9e299 && round_even(-1e300) < -9e299 && !(round_even(nan) < 0.0));
    CHECK(integer_of(round_even(2.5)) == 2 && integer_of(round_even(-3.5)) == -4);
    CHECK(integer_of(1e300) == most && integer_of(-1e300) == -most && integer_of(nan) == 0);
    CHECK(time_after(0, INT64_MAX, 1.0) == EQ_FARTHEST_NS && time_after(0, INT64_MIN, 1.0) == -EQ_FARTHEST_NS);
    CHECK(quantize_feature(1e6f) == 127 && quantize_feature(-1e6f) == -128);
    CHECK(floor_div(-7, 2) == -4 && floor_div(7, 2) == 3 && ceil_div(7, 2) == 4 && ceil_div(-7, 2) == -3);
    return 0;
}

#include "corners_inside.c"

int check_corners(void);
int check_corners(void)
{
    int (*const checks[])(void) = {
        check_settings,    check_refused_pieces, check_clocks,      check_waiting,    check_horizon,
        check_saved_states, check_arithmetic,    check_late_clocks, check_watermarks, check_background,
        check_logged_rows, check_following_events,
#if EQ_N_GRIDS > 1
        check_waiting_frames,
#endif
#if EQ_HAS_SURE_EVENT
        check_sure_events,
#endif
#if EQ_HAS_ONSET
        check_onsets,
#endif
    };
    uint32_t i;
    for (i = 0; i < MANY; i++) {
        quiet[i] = 5 + (int32_t)(i % 2u); /* no fill values */
    }
    for (i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        const int line = checks[i]();
        if (line != 0) {
            return line;
        }
    }
    return 0;
}
