/* One channel from raw samples to the model's grid: gap rule, spike filter, decimation. */

static int is_fill_value(int32_t x)
{
    int i;
    for (i = 0; i < EQ_N_FILLS; i++) {
        if (x == eq_fill_values[i]) {
            return 1;
        }
    }
    return 0;
}

/* Whether an integer sample counts: a fill value does only near the last sample that is none. */
static int is_usable_count(eq_channel *c, int32_t x)
{
    if (!is_fill_value(x)) {
        c->last_certain = (double)x;
        c->has_certain = 1;
        return 1;
    }
    if (c->has_certain != 0 && magnitude((double)x - c->last_certain) < EQ_FILL_MIN_JUMP) {
        return 1;
    }
    c->counts.fill_samples++;
    return 0;
}

/* Whether a float sample counts: neither NaN nor infinite nor absurdly large. */
static int is_usable_float(eq_channel *c, double x)
{
    if (magnitude(x) < 1e100) {
        return 1;
    }
    c->counts.not_finite_samples++;
    return 0;
}

/* The gap rule: takes a usable sample at a position; those from next_position to last_position can then be emitted. */
static void bridge_gap(eq_channel *c, int64_t position, double value)
{
    int64_t n_missing;
    if (c->has_last != 0 && position <= c->last_position) {
        c->counts.overlap_samples++;
        return;
    }
    n_missing = c->has_last != 0 ? position - c->last_position - 1 : 0;
    if (c->has_last == 0 || n_missing > c->longest_bridge) {
        c->counts.restarts += c->has_last != 0 ? 1u : 0u;
        c->fresh = 1;
        c->next_position = position;
    } else {
        c->counts.bridged_samples += (uint32_t)n_missing;
        c->counts.bridged_gaps += n_missing > 0 ? 1u : 0u;
        c->from_position = c->last_position;
        c->from_value = c->last_value;
    }
    c->has_last = 1;
    c->last_position = position;
    c->last_value = value;
}

/* The value at a position on the line through two others. */
static double on_line(double from_value, int64_t from, double last_value, int64_t last, int64_t position)
{
    const double slope = (last_value - from_value) / (double)(last - from);
    return slope * (double)(position - from) + from_value;
}

/* The next sample to leave the gap rule: true, or on the line across a gap. */
static double emitted_value(const eq_channel *c)
{
    return c->next_position == c->last_position
               ? c->last_value
               : on_line(c->from_value, c->from_position, c->last_value, c->last_position, c->next_position);
}

#if EQ_HAS_DESPIKE
static double median_of_five(const double *x)
{
    const double low = larger(smaller(x[0], x[1]), smaller(x[2], x[3]));
    const double high = smaller(larger(x[0], x[1]), larger(x[2], x[3]));
    return larger(smaller(low, high), smaller(larger(low, high), x[4]));
}

/* Hampel filter: takes a sample; returns whether one comes out, two samples later. */
static int despike(eq_spikes *spikes, double *value, uint8_t *valid)
{
    double *x = spikes->values;
    double median, deviations[5];
    int i;
    (void)memmove(x, x + 1, 4 * sizeof *x);
    (void)memmove(spikes->valid, spikes->valid + 1, 4);
    x[4] = *value;
    spikes->valid[4] = *valid;
    if (spikes->n < 6) {
        spikes->n++; /* 5: the first sample of the run comes out; 6: a later one */
    }
    if (spikes->n < 5) {
        return 0;
    }
    median = median_of_five(x);
    for (i = 0; i < 5; i++) {
        deviations[i] = magnitude(x[i] - median);
    }
    *value = deviations[2] > EQ_DESPIKE_LIMIT * median_of_five(deviations) ? median : x[2];
    *valid = spikes->valid[2];
    return 1;
}
#endif

#if EQ_HAS_DECIMATION
/* Decimation: takes a sample at a position; returns whether one of the model's grid comes out. */
static int decimate(eq_channel *c, const eq_rate *rate, int64_t *position, double *value, uint8_t *valid,
                    int *is_fresh)
{
    const int32_t n_taps = 2 * rate->n_half + 1;
    double sum;
    int32_t i, newer, older;
    if (*is_fresh) {
        c->n_ring = 0;
        c->i_ring = 0;
        c->ring_fresh = 1;
    }
    c->taps[c->i_ring] = *value;
    c->taps_valid[c->i_ring] = *valid;
    c->i_ring = c->i_ring + 1 < n_taps ? c->i_ring + 1 : 0; /* now the oldest sample */
    c->n_ring += c->n_ring < n_taps ? 1 : 0;
    *position -= rate->n_half;
    if (c->n_ring < n_taps || floor_div(*position, rate->factor) * rate->factor != *position) {
        return 0;
    }
    older = c->i_ring + rate->n_half < n_taps ? c->i_ring + rate->n_half : c->i_ring + rate->n_half - n_taps;
    *valid = c->taps_valid[older];
    sum = rate->taps[0] * c->taps[older];
    newer = older;
    for (i = 1; i <= rate->n_half; i++) {
        newer = newer + 1 < n_taps ? newer + 1 : 0;
        older = older > 0 ? older - 1 : n_taps - 1;
        sum += rate->taps[i] * (c->taps[newer] + c->taps[older]);
    }
    *value = sum;
    *position = floor_div(*position, rate->factor);
    *is_fresh = c->ring_fresh;
    c->ring_fresh = 0;
    return 1;
}
#endif
