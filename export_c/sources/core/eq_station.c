/* The channels of a station on one grid of blocks: their rows, and which of them are certain. */

static eq_row *row_at(eq_t *s, int64_t block)
{
    return &s->rows[block - floor_div(block, EQ_RING) * EQ_RING];
}

/* Adds a channel's block to its row. `steps`: the bands, those of high bands last. */
static void add_to_row(eq_t *s, const eq_channel *c, int64_t block, int is_valid, const int16_t *steps)
{
    const int kind = EQ_HAS_CONTRAST && c->is_vertical != 0 ? EQ_HAS_CONTRAST : 0;
    const int has_high = EQ_HIGH_BANDS > 0 && eq_rates[c->rate - 1].has_high_bands;
    eq_row *row = row_at(s, block);
    int i;
    if (block < s->next_block) {
        s->n_let_go++; /* its row is gone; no piece in order of start time leads here */
        return;
    }
    row->n_queued++;
    if (!is_valid) {
        return;
    }
    for (i = 0; i < EQ_N_BANDS + EQ_HIGH_BANDS; i++) {
        row->sums[kind][i] = (int16_t)(row->sums[kind][i] + steps[i]);
    }
    row->n_own[kind]++;
    row->n_high[kind] = (uint8_t)(row->n_high[kind] + (has_high ? 1 : 0));
}

#if EQ_HAS_CONTRAST
/* Vertical minus horizontal excess, a mean over the bands of each group, and a flag: 1 where one kind is missing. */
static void contrast_features(const eq_row *row, float *features)
{
    int group, band;
    for (group = 0; group < EQ_N_GROUPS; group++) {
        float total = 0.0f;
        int n_present = 0;
        for (band = 0; band < EQ_N_BANDS + EQ_HIGH_BANDS; band++) {
            const uint8_t *counts = band < EQ_N_BANDS ? row->n_own : row->n_high;
            if (eq_group_of_band[band] == group && counts[0] > 0 && counts[1] > 0) {
                const float horizontal = (float)row->sums[0][band] / EQ_STEPS_PER_DECADE / (float)counts[0];
                const float vertical = (float)row->sums[1][band] / EQ_STEPS_PER_DECADE / (float)counts[1];
                total += vertical - horizontal;
                n_present++;
            }
        }
        features[group] = total / (float)(n_present > 0 ? n_present : 1);
    }
    features[EQ_N_GROUPS] = row->n_own[0] > 0 && row->n_own[1] > 0 ? 0.0f : 1.0f;
}
#endif

/* The features of a row: means over the valid channels, contrasts, flags. */
static void row_features(const eq_row *row, float *features)
{
    int n_own = row->n_own[0], n_high = row->n_high[0], n, i;
#if EQ_HAS_CONTRAST
    n_own += row->n_own[1];
    n_high += row->n_high[1];
#endif
    for (i = 0; i < EQ_N_BANDS + EQ_HIGH_BANDS; i++) {
        int sum = row->sums[0][i];
#if EQ_HAS_CONTRAST
        sum += row->sums[1][i];
#endif
        n = i < EQ_N_BANDS ? n_own : n_high;
        features[i] = (float)sum / EQ_STEPS_PER_DECADE / (float)(n > 0 ? n : 1);
    }
#if EQ_HAS_CONTRAST
    contrast_features(row, features + EQ_N_BANDS + EQ_HIGH_BANDS);
#endif
#if EQ_HIGH_BANDS > 0
    features[EQ_N_FEATURES - 2] = n_high > 0 ? 0.0f : 1.0f;
#endif
    features[EQ_N_FEATURES - 1] = n_own > 0 ? 0.0f : 1.0f;
}

/* Runs network and trigger on a row, and empties it. */
static void decide_row(eq_t *s, int64_t block, int is_restart)
{
    float features[EQ_N_FEATURES];
    int8_t row[EQ_N_FEATURES], probabilities[EQ_N_OUTPUTS];
    eq_decision decision;
    int i;
    if (is_restart != 0) {
        s->restarts++;
        close_open_event(s);
        reset_trigger(&s->trigger);
        reset_network(&s->network);
    }
    row_features(row_at(s, block), features);
#ifdef EQ_ON_FEATURES /* for hosts: sees every row before it is quantized */
    EQ_ON_FEATURES(block, features);
#endif
    (void)memset(row_at(s, block), 0, sizeof(eq_row));
    for (i = 0; i < EQ_N_FEATURES; i++) {
        row[i] = quantize_feature(features[i]);
    }
    host_step(&s->network, row, s->gates, probabilities);
#ifdef EQ_ON_ROW /* for tests: sees every row */
    EQ_ON_ROW(block, is_restart, row, probabilities);
#endif
    decision.stop_ns = time_after(s->t0_ns, block * EQ_HOP + EQ_WINDOW, EQ_RATE_HZ);
    decision.start_ns = decision.stop_ns - EQ_ROW_NS;
    decision.onset = probability_of(probabilities[0]);
    decision.event = probability_of(probabilities[EQ_N_OUTPUTS - 1]);
    push_decision(s, &decision);
    s->decided_until_ns = decision.stop_ns;
    s->has_decided = 1;
    s->n_rows++;
}

/* The first block that may still change. */
static int64_t first_open_block(const eq_t *s)
{
    double elapsed = (double)(s->watermark_ns - s->t0_ns) / 1e9;
    /* Later pieces start at or after the watermark. One channel alone need not wait for the next piece. */
    int64_t limit = EQ_N_CHANNELS == 1 ? INT64_MAX : floor_div(integer_of(elapsed * EQ_RATE_HZ), EQ_HOP);
    int i;
    for (i = 0; i < EQ_N_CHANNELS; i++) {
        const eq_channel *c = &s->channels[i];
        int64_t last_ns = s->t0_ns;
        if (c->rate == 0) {
            continue;
        }
        if (c->has_last != 0) {
            last_ns = time_after(last_ns, c->last_position, eq_rates[c->rate - 1].rate_hz);
        }
        /* A channel that is silent for longer than a gap that is interpolated does not hold the others back. */
        if (EQ_N_CHANNELS == 1 || c->in_piece != 0 || (double)(s->watermark_ns - last_ns) / 1e9 <= EQ_BRIDGE_S + 1.0) {
            limit = c->grids[0].next_block < limit ? c->grids[0].next_block : limit;
        }
    }
    return limit;
}

/* The first block that may still change when no further piece comes: only pieces in progress hold rows back. */
static int64_t first_open_block_at_end(const eq_t *s)
{
    int64_t limit = 0;
    int i;
    for (i = 0; i < EQ_N_CHANNELS; i++) {
        limit = s->channels[i].grids[0].next_block > limit ? s->channels[i].grids[0].next_block : limit;
    }
    for (i = 0; i < EQ_N_CHANNELS; i++) {
        if (s->channels[i].in_piece != 0 && s->channels[i].grids[0].next_block < limit) {
            limit = s->channels[i].grids[0].next_block;
        }
    }
    return limit;
}

/* Decides the oldest row before a block; returns whether there was one. */
static int release_row(eq_t *s, int64_t stop)
{
    int64_t block = s->next_block;
    int i;
    for (i = 0; i < EQ_RING && block < stop; i++, block++) {
        if (row_at(s, block)->n_queued > 0) {
            decide_row(s, block, s->is_started == 0 || block != s->next_block);
            s->next_block = block + 1;
            s->is_started = 1;
            return 1;
        }
    }
    if (stop > s->next_block) {
        s->next_block = stop;
        s->is_started = 0;
    }
    if (s->is_started == 0) {
        close_open_event(s); /* a gap too long to interpolate ends the event */
    }
    return 0;
}
