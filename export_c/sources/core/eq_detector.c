/* The detector: takes samples, one frame of work a call; front end, network and trigger in a chain. */

/* The samples of a call: one of the pointers is set. */
typedef struct {
    const int32_t *i32;
    const float *f32;
    const double *f64;
} eq_samples;

void eq_init(eq_t *s, int sensitivity)
{
    const int i = sensitivity < 0 ? 0 : (sensitivity > 2 ? 2 : sensitivity);
    int channel, k;
    (void)memset(s, 0, sizeof *s);
    reset_trigger(&s->trigger);
    s->trigger.threshold = eq_thresholds[i];
    reset_network(&s->network);
    for (channel = 0; channel < EQ_N_CHANNELS; channel++) {
        for (k = 0; k < EQ_N_GRIDS; k++) {
            begin_grid(&s->channels[channel].grids[k]);
        }
        s->channels[channel].next_position = 1; /* nothing to emit: last_position is 0 */
    }
    s->channels[0].is_vertical = 1;
}

void eq_set_threshold(eq_t *s, double probability)
{
    s->trigger.threshold = probability;
}

eq_result eq_set_vertical(eq_t *s, int channel, int is_vertical)
{
    if (channel < 0 || channel >= EQ_N_CHANNELS) {
        return EQ_CHANNEL;
    }
    s->channels[channel].is_vertical = is_vertical ? 1 : 0;
    return EQ_OK;
}

/* Returns the exported rate, plus 1, within 0.1 %: rates in headers are nominal; 0 where there is none. */
static int index_of_rate(double rate_hz)
{
    int i;
    for (i = 0; i < EQ_N_RATES; i++) {
        if (magnitude(rate_hz / eq_rates[i].rate_hz - 1.0) < 1e-3) {
            return i + 1;
        }
    }
    return 0;
}

/* Begins a piece, or carries on with the one in progress. */
static eq_result begin_piece(eq_t *s, int channel, int64_t start_ns, double rate_hz, uint32_t n, int is_integer)
{
    eq_channel *c;
    eq_clock clock;
    int rate;
    int64_t t0_ns = s->has_begun != 0 ? s->t0_ns : start_ns, position = 0;
    eq_result result;
    if (channel < 0 || channel >= EQ_N_CHANNELS) {
        return EQ_CHANNEL;
    }
    c = &s->channels[channel];
    if (c->in_piece != 0 && c->rate != 0) {
        return n == c->piece_left && is_integer == c->is_integer ? EQ_OK : EQ_STATE;
    }
    rate = index_of_rate(rate_hz);
    if (rate == 0 || (c->rate != 0 && c->rate != rate)) {
        return EQ_RATE;
    }
    if (start_ns < -EQ_FARTHEST_NS || start_ns > EQ_FARTHEST_NS) {
        return EQ_TIME;
    }
    clock = c->clock;
    result = place_piece(&clock, eq_rates[rate - 1].rate_hz, t0_ns, start_ns, rate_hz, n, &position);
    if (result != EQ_OK) {
        return result;
    }
    s->watermark_ns = s->has_begun != 0 && s->watermark_ns > start_ns ? s->watermark_ns : start_ns;
    s->t0_ns = t0_ns;
    s->has_begun = 1;
    c->clock = clock;
    if (c->rate == 0) {
        c->rate = (uint8_t)rate;
        c->longest_bridge = (int32_t)integer_of(round_even(EQ_BRIDGE_S * rate_hz));
    }
#if EQ_HAS_ONSET
    if (c->is_integer != is_integer) {
        c->n_kept = 0;
    }
#endif
    c->piece_position = position;
    c->piece_left = n;
    c->in_piece = 1;
    c->is_integer = (uint8_t)is_integer;
    return EQ_OK;
}

#if EQ_N_GRIDS > 1
/* Takes a sample into the windows of the high bands, whose frames wait for those of the model's own grid. */
static void take_into_high_bands(eq_t *s, eq_channel *c, int64_t position, double value, int is_valid, int is_fresh)
{
    const eq_grid_config *config = &eq_grids[1];
    eq_grid *grid = &c->grids[1];
    int was_fresh, is_next;
    if (!take_into_window(config, grid, position - config->offset, value, is_valid, is_fresh)) {
        return;
    }
    was_fresh = grid->fresh;
    is_next = c->n_waiting > 0 && c->n_waiting < EQ_WAITING && grid->next_block == c->waiting_block + c->n_waiting;
    if (!is_next || was_fresh != 0) { /* those before a gap have been taken, or never had a window of the model's */
        c->waiting_block = grid->next_block;
        c->n_waiting = 0;
    }
    (void)window_features(config, grid, s->scratch.spectrum, c->is_integer, c->waiting[c->n_waiting]);
    c->n_waiting++;
    advance_window(config, grid);
}

/* Writes the high bands' steps of a block, 0 where there are none, and drops those up to it. */
static void take_waiting(eq_channel *c, int64_t block, int16_t *steps)
{
    int64_t i = block - c->waiting_block;
    (void)memset(steps, 0, EQ_HIGH_BANDS * sizeof *steps);
    if (i >= 0 && i < c->n_waiting) {
        (void)memcpy(steps, c->waiting[i], EQ_HIGH_BANDS * sizeof *steps);
        c->n_waiting -= (int32_t)i + 1;
        c->waiting_block += i + 1;
        (void)memmove(c->waiting[0], c->waiting[i + 1], (size_t)c->n_waiting * sizeof c->waiting[0]);
    }
}
#endif

/* Emits the next sample of a channel from the gap rule down to its window; returns whether that completes a frame. */
static int emit_sample(eq_t *s, eq_channel *c)
{
    int64_t position = c->next_position;
    double value = emitted_value(c);
    uint8_t is_valid = c->next_position == c->last_position ? 1 : 0;
    int is_fresh = c->fresh;
    int16_t steps[EQ_N_BANDS + EQ_HIGH_BANDS];
    c->fresh = 0;
    c->next_position++;
#if EQ_HAS_ONSET
    keep_sample(c, position, value, is_valid);
#endif
#if EQ_HAS_DESPIKE
    position -= 2;
    c->spikes.n = is_fresh ? 0 : c->spikes.n;
    if (!despike(&c->spikes, &value, &is_valid)) {
        return 0;
    }
    is_fresh = c->spikes.n == 5;
#endif
#if EQ_N_GRIDS > 1
    if (eq_rates[c->rate - 1].has_high_bands) {
        take_into_high_bands(s, c, position, value, is_valid, is_fresh);
    }
#endif
#if EQ_HAS_DECIMATION
    if (eq_rates[c->rate - 1].factor > 1
        && !decimate(c, &eq_rates[c->rate - 1], &position, &value, &is_valid, &is_fresh)) {
        return 0;
    }
#endif
    if (!take_into_window(&eq_grids[0], &c->grids[0], position, value, is_valid, is_fresh)) {
        return 0;
    }
    is_valid = (uint8_t)window_features(&eq_grids[0], &c->grids[0], s->scratch.spectrum, c->is_integer, steps);
#if EQ_N_GRIDS > 1
    take_waiting(c, c->grids[0].next_block, steps + EQ_N_BANDS);
#endif
    add_to_row(s, c, c->grids[0].next_block, is_valid, steps);
    advance_window(&eq_grids[0], &c->grids[0]);
    return 1;
}

/* Takes the next sample of the piece in progress. */
static void take_sample(eq_channel *c, const eq_samples *x, uint32_t i)
{
    double value;
    int is_usable;
    if (x->i32 != NULL) {
        value = (double)x->i32[i];
        is_usable = is_usable_count(c, x->i32[i]);
    } else {
        value = x->f32 != NULL ? (double)x->f32[i] : x->f64[i];
        is_usable = is_usable_float(c, value);
    }
    if (is_usable != 0) {
        bridge_gap(c, c->piece_position, value);
    }
    c->piece_position++;
    c->piece_left--;
}

#ifdef EQ_HOST_SAMPLES /* a host's library may take runs of samples at once, of the same bits */
#include EQ_HOST_SAMPLES
#endif

static eq_result push_samples(eq_t *s, int channel, int64_t start_ns, double rate_hz, const eq_samples *x, uint32_t n,
                              uint32_t *taken)
{
    eq_channel *c;
    uint32_t n_most, n_done = 0;
    eq_result result = begin_piece(s, channel, start_ns, rate_hz, n, x->i32 != NULL ? 1 : 0);
    *taken = 0;
    if (result != EQ_OK) {
        return result;
    }
    c = &s->channels[channel];
    n_most = (uint32_t)(EQ_HOP * eq_rates[c->rate - 1].factor); /* samples of a frame */
    for (;;) { /* each time round, the channel has begun a new stretch of blocks */
        const int64_t block = c->grids[0].next_block;
        if (s->queue_length > EQ_QUEUE - 3) {
            return EQ_FULL;
        }
#if EQ_HAS_ONSET
        if (refine_onset(s, 0) != 0) {
            return EQ_MORE;
        }
#endif
        if (release_row(s, first_open_block(s)) != 0) {
            return EQ_MORE;
        }
        if (block - s->next_block >= EQ_RING) {
            return EQ_LEAD;
        }
        while (c->grids[0].next_block == block) {
#ifdef EQ_HOST_SAMPLES
            const uint32_t n_run = x->i32 != NULL ? host_take_run(s, c, x->i32 + *taken, n - *taken) : 0;
            *taken += n_run;
            n_done += 2 * n_run;
#endif
            if (n_done++ > 2 * n_most) { /* a sample is taken, then emitted */
                return EQ_MORE;
            }
            if (c->next_position <= c->last_position) {
                if (emit_sample(s, c) != 0) {
                    return EQ_MORE;
                }
            } else if (*taken < n) {
                take_sample(c, x, *taken);
                (*taken)++;
            } else {
                c->in_piece = 0;
                return EQ_OK;
            }
        }
    }
}

eq_result eq_push_i32(eq_t *s, int channel, int64_t start_ns, double rate_hz, const int32_t *x, uint32_t n,
                      uint32_t *taken)
{
    const int32_t none = 0;
    const eq_samples samples = {n > 0 ? x : &none, NULL, NULL}; /* n == 0: the work that is left of a piece */
    return push_samples(s, channel, start_ns, rate_hz, &samples, n, taken);
}

eq_result eq_push_f32(eq_t *s, int channel, int64_t start_ns, double rate_hz, const float *x, uint32_t n,
                      uint32_t *taken)
{
    const eq_samples samples = {NULL, x, NULL};
    return push_samples(s, channel, start_ns, rate_hz, &samples, n, taken);
}

eq_result eq_push_f64(eq_t *s, int channel, int64_t start_ns, double rate_hz, const double *x, uint32_t n,
                      uint32_t *taken)
{
    const eq_samples samples = {NULL, NULL, x};
    return push_samples(s, channel, start_ns, rate_hz, &samples, n, taken);
}

eq_result eq_advance(eq_t *s, int64_t now_ns)
{
    if (now_ns < -EQ_FARTHEST_NS || now_ns > EQ_FARTHEST_NS) {
        return EQ_TIME;
    }
    if (s->has_begun == 0) {
        return EQ_OK;
    }
    s->watermark_ns = now_ns > s->watermark_ns ? now_ns : s->watermark_ns;
    if (s->queue_length > EQ_QUEUE - 3) {
        return EQ_FULL;
    }
#if EQ_HAS_ONSET
    if (refine_onset(s, 0) != 0) {
        return EQ_MORE;
    }
#endif
    return release_row(s, first_open_block(s)) ? EQ_MORE : EQ_OK;
}

eq_result eq_finish(eq_t *s)
{
    int i, in_piece = 0;
    for (i = 0; i < EQ_N_CHANNELS; i++) {
        in_piece |= s->channels[i].in_piece;
    }
    if (s->queue_length > EQ_QUEUE - 3) {
        return EQ_FULL;
    }
#if EQ_HAS_ONSET
    if (refine_onset(s, in_piece == 0) != 0) {
        return EQ_MORE;
    }
#endif
    if (release_row(s, first_open_block_at_end(s)) != 0) {
        return EQ_MORE;
    }
    if (in_piece != 0) {
        return EQ_LEAD;
    }
    close_open_event(s);
    return EQ_OK;
}

int eq_poll(eq_t *s, eq_event *event)
{
#if EQ_HAS_ONSET
    if (s->queue_length == 1 && s->onset.is_waiting != 0 && s->onset.is_queued != 0) {
        return 0; /* its onset is still to be refined */
    }
#endif
    if (s->queue_length == 0) {
        return 0;
    }
    *event = s->queue[s->queue_first];
    s->queue_first = (s->queue_first + 1) % EQ_QUEUE;
    s->queue_length--;
    return 1;
}

int64_t eq_horizon_ns(const eq_t *s)
{
    const eq_trigger *t = &s->trigger;
    int64_t horizon_ns;
    if (s->has_begun == 0) {
        return INT64_MIN;
    }
    horizon_ns = time_after(s->t0_ns, s->next_block * EQ_HOP, EQ_RATE_HZ) - EQ_ROW_NS;
    if (s->has_decided != 0 && s->decided_until_ns > horizon_ns) {
        horizon_ns = s->decided_until_ns;
    }
    if (t->is_open != 0 && t->open_onset_ns < horizon_ns) {
        horizon_ns = t->open_onset_ns;
    }
    if (t->has_rise != 0 && t->rise_onset_ns < horizon_ns) {
        horizon_ns = t->rise_onset_ns;
    }
    if (t->has_beginning != 0 && t->is_armed != 0 && t->beginning_ns < horizon_ns) {
        horizon_ns = t->beginning_ns;
    }
    if (t->has_course != 0 && t->is_told == 0 && t->course_ns < horizon_ns) {
        horizon_ns = t->course_ns;
    }
#if EQ_HAS_ONSET
    if (s->onset.is_waiting != 0 && s->onset.rise_ns < horizon_ns) {
        horizon_ns = s->onset.rise_ns;
    }
#endif
    return horizon_ns - EQ_LAG_NS;
}

eq_counts eq_channel_counts(const eq_t *s, int channel)
{
    eq_counts none;
    (void)memset(&none, 0, sizeof none);
    return channel < 0 || channel >= EQ_N_CHANNELS ? none : s->channels[channel].counts;
}
