/* Runs of samples for x86-64 hosts whose processor has AVX2: the bits of emit_sample, four samples at a time.

   Included by eq_detector.c where a host's library asks for it. A run is what follows the newest sample without a gap
   or a fill value and completes no window: nothing of the gap rule but its counters of position moves. */
#define EQ_MOST_RUN 64

static uint32_t least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* How many samples from x on can be taken as a run. */
static uint32_t length_of_run(const eq_channel *c, const int32_t *x, uint32_t n)
{
    const eq_grid *grid = &c->grids[0];
    const uint32_t factor = (uint32_t)eq_rates[c->rate - 1].factor;
    const uint32_t n_open = eq_grids[0].window - (uint32_t)grid->n_values; /* at least 1 */
    uint32_t i;
    n = least_of(least_of(n, EQ_MOST_RUN), (n_open - 1) * factor);
    for (i = 0; i < n && !is_fill_value(x[i]); i++) {
    }
    return i;
}

#if EQ_HAS_DESPIKE
EQ_AVX2 static inline __m256d median_of_five_4(__m256d a, __m256d b, __m256d c, __m256d d, __m256d e)
{
    const __m256d low = _mm256_max_pd(_mm256_min_pd(a, b), _mm256_min_pd(c, d));
    const __m256d high = _mm256_min_pd(_mm256_max_pd(a, b), _mm256_max_pd(c, d));
    return _mm256_max_pd(_mm256_min_pd(low, high), _mm256_min_pd(_mm256_max_pd(low, high), e));
}

/* despike of n samples that follow four others in x; writes what comes out. Up to three more are read and written. */
EQ_AVX2 static void despike_run(const double *x, uint32_t n, double *out)
{
    const __m256d sign = _mm256_set1_pd(-0.0), limit = _mm256_set1_pd(EQ_DESPIKE_LIMIT);
    uint32_t i;
    int k;
    for (i = 0; i < n; i += 4) {
        __m256d v[5], deviation[5], median, most;
        for (k = 0; k < 5; k++) {
            v[k] = _mm256_loadu_pd(x + i + k);
        }
        median = median_of_five_4(v[0], v[1], v[2], v[3], v[4]);
        for (k = 0; k < 5; k++) {
            deviation[k] = _mm256_andnot_pd(sign, _mm256_sub_pd(v[k], median));
        }
        most = _mm256_mul_pd(
            limit, median_of_five_4(deviation[0], deviation[1], deviation[2], deviation[3], deviation[4]));
        _mm256_storeu_pd(out + i, _mm256_blendv_pd(v[2], median, _mm256_cmp_pd(deviation[2], most, _CMP_GT_OQ)));
    }
}

/* Takes the samples through the spike filter; writes values and flags of what comes out. */
EQ_AVX2 static void filter_run(eq_spikes *spikes, const int32_t *x, uint32_t n, double *out, uint8_t *valid)
{
    double line[EQ_MOST_RUN + 8];
    uint32_t i;
    memcpy(line, spikes->values + 1, 4 * sizeof *line);
    memset(line + 4 + n, 0, 4 * sizeof *line);
    for (i = 0; i < n; i++) {
        line[4 + i] = (double)x[i];
    }
    despike_run(line, n, out);
    memset(valid, 1, n);
    for (i = 0; i < 2 && i < n; i++) { /* those in the middle of the filter came before this run */
        valid[i] = spikes->valid[3 + i];
    }
    memcpy(spikes->values, line + n - 1, 5 * sizeof *line);
    memmove(spikes->valid, spikes->valid + least_of(n, 5), 5 - least_of(n, 5));
    memset(spikes->valid + 5 - least_of(n, 5), 1, least_of(n, 5));
}
#endif

/* The gap rule, of n samples without a gap. */
static void follow_run(eq_channel *c, const int32_t *x, uint32_t n)
{
    c->last_certain = (double)x[n - 1];
    c->has_certain = 1;
    c->from_value = n > 1 ? (double)x[n - 2] : c->last_value;
    c->last_value = c->last_certain;
    c->last_position += n;
    c->from_position = c->last_position - 1;
    c->next_position = c->last_position + 1;
    c->piece_position += n;
    c->piece_left -= n;
}

/* Takes a run of samples into the windows, as emit_sample does one by one. */
static void emit_run(eq_t *s, eq_channel *c, int64_t position, const double *values, const uint8_t *valid, uint32_t n)
{
    const eq_rate *rate = &eq_rates[c->rate - 1];
    eq_grid *grid = &c->grids[0];
    uint32_t i;
    (void)s;
    if (rate->factor == 1 && rate->has_high_bands == 0 && grid->n_skip == 0) {
        memcpy(grid->values + grid->n_values, values, n * sizeof *values);
        memcpy(grid->valid + grid->n_values, valid, n);
        grid->n_values += (int32_t)n;
        return;
    }
    for (i = 0; i < n; i++) {
        int64_t at = position + i;
        double value = values[i];
        uint8_t is_valid = valid[i];
        int is_fresh = 0;
#if EQ_N_GRIDS > 1
        if (rate->has_high_bands) {
            take_into_high_bands(s, c, at, value, is_valid, 0);
        }
#endif
#if EQ_HAS_DECIMATION
        if (rate->factor > 1 && !decimate(c, rate, &at, &value, &is_valid, &is_fresh)) {
            continue;
        }
#endif
        (void)take_into_window(&eq_grids[0], grid, at, value, is_valid, is_fresh);
    }
}

/* Takes the run that the samples from x on begin with; returns its length, often 0. */
static uint32_t host_take_run(eq_t *s, eq_channel *c, const int32_t *x, uint32_t n)
{
    double values[EQ_MOST_RUN + 4];
    uint8_t valid[EQ_MOST_RUN];
    const int64_t position = c->last_position + 1;
    if (eq_has_avx2 == 0 || c->has_last == 0 || c->fresh != 0 || c->next_position != position
        || c->piece_position != position) {
        return 0;
    }
#if EQ_HAS_DESPIKE
    if (c->spikes.n != 6) {
        return 0;
    }
#endif
#if EQ_HAS_DECIMATION
    if (eq_rates[c->rate - 1].factor > 1 && c->ring_fresh != 0) {
        return 0;
    }
#endif
    n = length_of_run(c, x, n);
    if (n == 0) {
        return 0;
    }
#if EQ_HAS_ONSET
    {
        uint32_t i;
        for (i = 0; i < n; i++) {
            keep_sample(c, position + i, (double)x[i], 1);
        }
    }
#endif
#if EQ_HAS_DESPIKE
    filter_run(&c->spikes, x, n, values, valid);
    emit_run(s, c, position - 2, values, valid, n);
#else
    {
        uint32_t i;
        for (i = 0; i < n; i++) {
            values[i] = (double)x[i];
        }
    }
    memset(valid, 1, n);
    emit_run(s, c, position, values, valid, n);
#endif
    follow_run(c, x, n);
    return n;
}
