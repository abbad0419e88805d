/* Paths inside the detector that need a state or a timing that records hardly have. Included by corners.c. */
#undef CORNER_FILE
#define CORNER_FILE 1000 /* to tell the lines of the two files apart */

static eq_channel *fresh_corner(void)
{
    uint32_t taken;
    eq_init(&corner, 1);
    (void)push_quiet(0, 0, RATE_HZ, 1, &taken);
    return &corner.channels[0];
}

/* Places a piece after one of 1000 samples, late by a share of a sample. */
static eq_result place_late(eq_clock *clock, double late)
{
    int64_t position;
    const int64_t start_ns = duration_ns(1000, RATE_HZ) + integer_of(late * 1e9 / RATE_HZ);
    return place_piece(clock, RATE_HZ, 0, start_ns, RATE_HZ, 100, &position); /* shorter than 30 s */
}

static int check_late_clocks(void)
{
    const double slope = 1.0 / 1.0001 - 1.0;
    eq_clock clock, begun;
    int64_t position;
    uint32_t taken;
    memset(&begun, 0, sizeof begun);
    CHECK(place_piece(&begun, RATE_HZ, 0, 0, RATE_HZ, 1000, &position) == EQ_OK);
    clock = begun;
    clock.late = 0.49;
    CHECK(place_late(&clock, 0.85) == EQ_CLOCK); /* the average is beyond half a sample */
    clock = begun;
    clock.late = -0.49;
    CHECK(place_late(&clock, -0.85) == EQ_CLOCK);
    clock = begun;
    CHECK(place_late(&clock, 0.85) == EQ_OK && clock.disproved == 1000);
    clock = begun;
    clock.disproved = 5000;
    CHECK(place_late(&clock, 0.85) == EQ_OK && clock.disproved == 5000);
    clock = begun;
    clock.has_drift = 1;
    clock.n_agreeing = CLOCK_ENOUGH;
    CHECK(place_late(&clock, 0.05) == EQ_OK && clock.n_agreeing == CLOCK_ENOUGH);
    CHECK(continues_chain(&begun.chain, 1000, duration_ns(1000, RATE_HZ), RATE_HZ));
    CHECK(!continues_chain(&begun.chain, 1000, duration_ns(1000, RATE_HZ), RATE_HZ * 1.001));
    CHECK(!continues_chain(&begun.chain, 1000, duration_ns(1000, RATE_HZ), RATE_HZ * 0.999));
    CHECK(!continues_chain(&begun.chain, 1000, duration_ns(1000, RATE_HZ) + 2 * CLOCK_CUT_NS, RATE_HZ));
    CHECK(!continues_chain(&begun.chain, 1000, duration_ns(1000, RATE_HZ) - 2 * CLOCK_CUT_NS, RATE_HZ));
    memset(&clock, 0, sizeof clock);
    clock.chain.rate_hz = RATE_HZ * 1.0001;
    clock.late = -CLOCK_HALF - 999.5 * slope; /* half a sample after 999.5 of 1000 */
    CHECK(!slips(&clock, RATE_HZ, 1000) && slips(&clock, RATE_HZ, 1001));
    clock.late = -CLOCK_HALF + 3.5 * slope; /* before the first */
    CHECK(slips(&clock, RATE_HZ, 10));
    fresh_corner()->clock.late = 0.49;
    CHECK(push_quiet(0, duration_ns(1, RATE_HZ) + integer_of(0.85e9 / RATE_HZ), RATE_HZ, 1, &taken) == EQ_CLOCK);
    CHECK(taken == 0 && corner.channels[0].in_piece == 0);
    return 0;
}

static int check_watermarks(void)
{
    eq_channel *c = fresh_corner();
    uint32_t taken;
    corner.has_decided = 1;
    corner.decided_until_ns = -EQ_FARTHEST_NS; /* long before the next row */
    CHECK(eq_horizon_ns(&corner) > -EQ_FARTHEST_NS);
    corner.trigger.has_course = 1;
    corner.trigger.course_ns = EQ_FARTHEST_NS; /* nor does what comes later count */
    corner.trigger.is_open = 1;
    corner.trigger.open_onset_ns = EQ_FARTHEST_NS;
    corner.trigger.has_rise = 1;
    corner.trigger.rise_onset_ns = EQ_FARTHEST_NS;
    corner.trigger.has_beginning = 1;
    corner.trigger.beginning_ns = EQ_FARTHEST_NS;
    CHECK(eq_horizon_ns(&corner) < EQ_FARTHEST_NS - EQ_LAG_NS);
    c = fresh_corner();
    while (eq_advance(&corner, INT64_C(1000000000)) == EQ_MORE) {
    }
    CHECK(corner.watermark_ns == INT64_C(1000000000));
    CHECK(push_quiet(0, duration_ns(1, RATE_HZ), RATE_HZ, 1, &taken) == EQ_OK);
    CHECK(corner.watermark_ns == INT64_C(1000000000) && c->last_position == 1);
    CHECK(eq_advance(&corner, 0) == EQ_OK && corner.watermark_ns == INT64_C(1000000000));
    eq_init(&corner, 1);
    CHECK(EQ_N_FILLS == 0 || (!is_usable_count(c, eq_fill_values[0]) && c->counts.fill_samples == 1));
    return 0;
}

static int check_background(void)
{
    eq_grid *grid = &corner.channels[0].grids[0];
    eq_init(&corner, 1);
    grid->share_above[0] = 1.0;
    CHECK(follow_level(grid, 0, 1.0, 1e-9, -1e-9) > 0.9);
    CHECK(eq_background.has_catch_up ? grid->level[0] >= eq_background.fast_up : grid->level[0] > 0.0);
    grid->level[0] = 0.0;
    grid->share_above[0] = 0.0;
    CHECK(follow_level(grid, 0, -1.0, 1e-9, -1e-9) < -0.9);
    CHECK(eq_background.has_catch_up ? grid->level[0] <= eq_background.fast_down : grid->level[0] < 0.0);
    grid->share_above[0] = 0.5;
    (void)follow_level(grid, 0, 1.0, 1e-9, -1e-9);
    (void)follow_level(grid, 0, -1.0, 1e-9, -1e-9);
    return 0;
}

static int check_logged_rows(void)
{
    int64_t blocks[1] = {-1};
    float features[EQ_N_FEATURES];
    int32_t n = 0;
    (void)fresh_corner();
    eq_host_log_rows(blocks, features, 1, &n);
    decide_row(&corner, 7, 1);
    decide_row(&corner, 8, 0); /* there is room for one */
    eq_host_log_rows(NULL, NULL, 0, &n);
    CHECK(n == 1 && blocks[0] == 7);
    return 0;
}

#if EQ_N_GRIDS > 1
static int check_waiting_frames(void)
{
    eq_channel *c = fresh_corner();
    int16_t steps[EQ_HIGH_BANDS];
    c->waiting_block = 10;
    c->n_waiting = 1;
    c->waiting[0][0] = 5;
    take_waiting(c, 9, steps); /* none yet */
    CHECK(steps[0] == 0 && c->n_waiting == 1);
    take_waiting(c, 11, steps); /* none any more */
    CHECK(steps[0] == 0 && c->n_waiting == 1);
    take_waiting(c, 10, steps);
    CHECK(steps[0] == 5 && c->n_waiting == 0 && c->waiting_block == 11);
    return 0;
}
#endif

#if EQ_HAS_SURE_EVENT
/* An event whose probability is sure opens without a rise; it ends where it is as long as an event can be. */
static int check_sure_events(void)
{
    eq_trigger *t = &corner.trigger;
    eq_decision d = {0, EQ_ROW_NS, 0.0, 1.0};
    (void)fresh_corner();
    while (t->is_open == 0 && d.stop_ns < 2 * EQ_SURE_DURATION_NS + 2 * EQ_ROW_NS) {
        push_decision(&corner, &d);
        d.start_ns += EQ_ROW_NS;
        d.stop_ns += EQ_ROW_NS;
    }
    CHECK(t->is_open != 0 && t->is_told != 0 && t->open_onset_ns == 0);
    while (t->is_open != 0 && d.stop_ns < 2 * EQ_MAX_EVENT_NS) {
        push_decision(&corner, &d);
        d.start_ns += EQ_ROW_NS;
        d.stop_ns += EQ_ROW_NS;
    }
    CHECK(corner.queue_length == 1 && d.start_ns >= EQ_MAX_EVENT_NS);
    return 0;
}
#endif

/* A rise opens an event; another, too late to be the same, closes it where it begins. */
static int check_following_events(void)
{
    eq_trigger *t = &corner.trigger;
    int has_beginning;
    for (has_beginning = 0; has_beginning < 2; has_beginning++) {
        (void)fresh_corner();
        t->rise_onset_ns = 0;
        open_event(&corner, 0);
        t->active_until_ns = 3 * EQ_MERGE_NS;
        open_event(&corner, EQ_MERGE_NS - 1); /* the same */
        CHECK(corner.queue_length == 0);
        t->has_beginning = (uint8_t)has_beginning;
        t->beginning_ns = EQ_MERGE_NS;
        t->rise_onset_ns = EQ_MERGE_NS;
        open_event(&corner, 2 * EQ_MERGE_NS);
        CHECK(corner.queue_length == 1 && t->open_rise_ns == 2 * EQ_MERGE_NS);
        CHECK(corner.queue[0].stop_ns == (has_beginning ? 1 : 2) * EQ_MERGE_NS);
    }
    return 0;
}

#if EQ_HAS_ONSET
/* Ends an event whose onset waits for samples, and works until it is settled without any. */
static int check_waiting_onset(int is_at_end)
{
    eq_event event;
    eq_result result = EQ_MORE;
    eq_channel *c = fresh_corner();
    request_onset(&corner, 0);
    corner.trigger.is_open = 1;
    corner.trigger.active_until_ns = EQ_ROW_NS;
    close_open_event(&corner);
    CHECK(corner.queue_length == 1 && corner.onset.is_queued != 0 && eq_poll(&corner, &event) == 0);
    CHECK(!has_reached(&corner, c));
    c->in_piece = 1;
    corner.watermark_ns = EQ_ONSET_AFTER_NS;
    CHECK(!has_reached(&corner, c)); /* its samples may be in that piece */
    c->in_piece = 0;
    CHECK(has_reached(&corner, c));
    corner.watermark_ns = 0;
    CHECK(!has_reached(&corner, c));
    CHECK(eq_horizon_ns(&corner) <= 0);
    while (result == EQ_MORE && corner.onset.is_waiting != 0) {
        result = is_at_end ? eq_finish(&corner) : eq_advance(&corner, EQ_ONSET_AFTER_NS);
    }
    CHECK(corner.onset.is_waiting == 0 && corner.onset.sigma_ms == EQ_COARSE_SIGMA_MS);
    CHECK(eq_poll(&corner, &event) == 1 && event.sigma_ms == EQ_COARSE_SIGMA_MS && eq_poll(&corner, &event) == 0);
    corner.onset.is_waiting = 1;
    corner.onset.rise_ns = EQ_FARTHEST_NS; /* later than the horizon */
    CHECK(eq_horizon_ns(&corner) < EQ_FARTHEST_NS - EQ_LAG_NS);
    corner.onset.rise_ns = -EQ_MAX_EVENT_NS;
    CHECK(eq_horizon_ns(&corner) == -EQ_MAX_EVENT_NS - EQ_LAG_NS);
    return 0;
}

static int check_onset_requests(void)
{
    (void)fresh_corner();
    request_onset(&corner, 1000);
    request_onset(&corner, 2000); /* the one before keeps the trigger's */
    CHECK(corner.onset.is_waiting != 0 && corner.onset.rise_ns == 2000 && corner.onset.onset_ns == 1000 - EQ_LAG_NS);
    corner.onset.is_queued = 1; /* as only a made-up state can be: nothing is in the queue */
    request_onset(&corner, 3000);
    CHECK(corner.queue_length == 0 && corner.onset.onset_ns == 2000 - EQ_LAG_NS);
    corner.onset.channel = EQ_N_CHANNELS - 1;
    corner.channels[EQ_N_CHANNELS - 1].rate = 0; /* a channel without samples */
    memset(&corner.scratch.refinement, 0, sizeof corner.scratch.refinement);
    begin_onset_channel(&corner);
    CHECK(corner.onset.stage == EQ_STAGE_EDGES);
    examine_edges(&corner);
    CHECK(corner.onset.stage == EQ_STAGE_SPLIT);
    return 0;
}

static int check_kept_samples(void)
{
    eq_channel *c = fresh_corner();
    double value = 0.0;
    c->is_integer = 0;
    keep_sample(c, 100, 1e39, 1); /* too large for single precision */
    CHECK(find_kept(c, 100, &value) == 0);
    keep_sample(c, 101, -0.0, 1);
    CHECK(find_kept(c, 101, &value) == 1 && !(value > 0.0) && !(value < 0.0));
    keep_sample(c, 102, 5.0, 0); /* interpolated */
    CHECK(find_kept(c, 102, &value) == 0 && find_kept(c, 103, &value) == 0);
    CHECK(find_kept(c, 102 - EQ_KEPT, &value) == 0);
    return 0;
}

/* Fills the scratch such that every frame is recorded, with gains that fall by a step a frame. */
static eq_refinement *recorded_frames(double gain, double step)
{
    eq_refinement *r = &corner.scratch.refinement;
    int32_t k;
    (void)fresh_corner();
    memset(r, 0, sizeof *r);
    r->n_frames = EQ_ONSET_FRAMES;
    for (k = 0; k < EQ_ONSET_FRAMES; k++) {
        r->gain[k] = gain - step * (double)k;
        r->counts[k] = UINT16_MAX;
#if EQ_N_CHANNELS > 1
        r->recorded[k] = 1.0;
#endif
    }
    return r;
}

/* Searches the split of the frames that are recorded, call by call. */
static int search_split(void)
{
    int32_t n = 0;
    corner.onset.is_waiting = 1;
    corner.onset.rise_ns = 0;
    corner.onset.stage = EQ_STAGE_SPLIT;
    while (corner.onset.stage == EQ_STAGE_SPLIT || corner.onset.stage == EQ_STAGE_SUM) {
        CHECK(refine_onset(&corner, 0) == 1 && n++ <= EQ_ONSET_FRAMES / ONSET_EDGES + 2);
    }
    return 0;
}

static int check_splits(void)
{
    eq_refinement *r = recorded_frames(0.0, 0.0);
    CHECK(begin_split(&corner) == 0); /* nothing becomes louder */
    CHECK(search_split() == 0 && corner.onset.is_waiting == 0);
    r = recorded_frames(1e6, 100.0);
    CHECK(begin_split(&corner) == 1 && search_split() == 0); /* it is loud from the first frame on that counts */
    CHECK(corner.onset.is_waiting == 0 && corner.onset.sigma_ms == EQ_COARSE_SIGMA_MS);
    r = recorded_frames(2.0 * EQ_ONSET_MIN_GAIN + 1.0, 0.0);
    r->is_second = 1;
    CHECK(search_split() == 0 && corner.onset.is_waiting == 0); /* any frame may be the one */
    CHECK(r->width < EQ_N_SIGMAS || corner.onset.sigma_ms == EQ_COARSE_SIGMA_MS);
    r = recorded_frames(2.0 * EQ_ONSET_MIN_GAIN + 1.0, 0.0);
    CHECK(search_split() == 0 && corner.onset.is_waiting != 0);
    CHECK(r->is_second == 1 && r->n_frames <= EQ_ONSET_FRAMES);
    return 0;
}

static int check_onsets(void)
{
    int (*const checks[])(void) = {check_onset_requests, check_kept_samples, check_splits};
    int line = check_waiting_onset(0);
    uint32_t i;
    line = line != 0 ? line : check_waiting_onset(1);
    for (i = 0; i < sizeof checks / sizeof checks[0] && line == 0; i++) {
        line = checks[i]();
    }
    return line;
}
#endif
