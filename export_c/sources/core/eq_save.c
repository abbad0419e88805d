/* The state as bytes that any machine reads: little-endian, field by field, with a check value.

   One list of the fields serves three passes: writing, checking that every value is possible, reading. So what is
   refused leaves the state untouched, and what is accepted cannot lead outside an array. */

#define EQ_FARTHEST_BLOCK (EQ_FARTHEST_NS / 8192) /* a hop has at most 4096 samples */
#define EQ_MAGIC 0x31635145u /* "EQc1" */
#define EQ_HEAD_BYTES 20u    /* magic, identity, length, check value */

typedef enum { EQ_WRITE, EQ_CHECK, EQ_READ } eq_pass;

typedef struct {
    uint8_t *out;      /* EQ_WRITE: where to; NULL only counts the bytes */
    const uint8_t *in; /* EQ_CHECK and EQ_READ */
    uint32_t at;
    eq_pass pass;
    int is_bad;
} eq_stream;

static uint32_t crc_32(uint32_t crc, const uint8_t *bytes, uint32_t n)
{
    uint32_t i;
    int bit;
    crc = ~crc;
    for (i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (bit = 0; bit < 8; bit++) {
            crc = (crc & 1u) != 0 ? (crc >> 1) ^ 0xEDB88320u : crc >> 1;
        }
    }
    return ~crc;
}

/* Passes the n low bytes of a number. */
static uint64_t pass_bytes(eq_stream *f, uint64_t value, uint32_t n)
{
    uint32_t i;
    uint64_t found = 0;
    for (i = 0; i < n; i++) {
        if (f->pass != EQ_WRITE) {
            found |= (uint64_t)f->in[f->at + i] << (8u * i);
        } else if (f->out != NULL) {
            f->out[f->at + i] = (uint8_t)(value >> (8u * i));
        }
    }
    f->at += n;
    return f->pass == EQ_WRITE ? value : found;
}

static int64_t pass_integer(eq_stream *f, int64_t value, uint32_t n, int64_t low, int64_t high)
{
    const uint64_t found = pass_bytes(f, (uint64_t)value, n);
    const uint64_t sign = (uint64_t)1 << (8u * n - 1u);
    int64_t number = value;
    if (f->pass != EQ_WRITE) {
        const uint64_t extended = (found ^ sign) - sign; /* modulo 2^64 */
        (void)memcpy(&number, &extended, sizeof number);
    }
    f->is_bad |= number < low || number > high ? 1 : 0;
    return f->pass == EQ_CHECK ? value : number;
}

static void pass_i64(eq_stream *f, int64_t *x)
{
    *x = pass_integer(f, *x, 8, INT64_MIN, INT64_MAX);
}

/* Times and positions: differences must fit 64 bits. */
static void pass_time(eq_stream *f, int64_t *x)
{
    *x = pass_integer(f, *x, 8, -EQ_FARTHEST_NS, EQ_FARTHEST_NS);
}

static void pass_i32(eq_stream *f, int32_t *x, int32_t low, int32_t high)
{
    *x = (int32_t)pass_integer(f, *x, 4, low, high);
}

static void pass_u32(eq_stream *f, uint32_t *x)
{
    const uint64_t found = pass_bytes(f, *x, 4);
    *x = f->pass == EQ_READ ? (uint32_t)found : *x;
}

static void pass_i16s(eq_stream *f, int16_t *x, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        x[i] = (int16_t)pass_integer(f, x[i], 2, INT16_MIN, INT16_MAX);
    }
}

#if EQ_HAS_ONSET
static void pass_i32s(eq_stream *f, int32_t *x, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        pass_i32(f, &x[i], INT32_MIN, INT32_MAX);
    }
}
#endif

static void pass_i8s(eq_stream *f, int8_t *x, uint32_t n)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        x[i] = (int8_t)pass_integer(f, x[i], 1, INT8_MIN, INT8_MAX);
    }
}

static void pass_u8s(eq_stream *f, uint8_t *x, uint32_t n, uint8_t high)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        const uint64_t found = pass_bytes(f, x[i], 1);
        f->is_bad |= found > high ? 1 : 0;
        x[i] = f->pass == EQ_READ ? (uint8_t)found : x[i];
    }
}

static void pass_flag(eq_stream *f, uint8_t *x)
{
    pass_u8s(f, x, 1, 1);
}

/* Numbers that are not NaN and at most `limit` in size. */
static void pass_doubles(eq_stream *f, double *x, uint32_t n, double limit)
{
    uint32_t i;
    for (i = 0; i < n; i++) {
        uint64_t bits;
        double found;
        (void)memcpy(&bits, &x[i], sizeof bits);
        bits = pass_bytes(f, bits, 8);
        (void)memcpy(&found, &bits, sizeof found);
        f->is_bad |= magnitude(found) <= limit ? 0 : 1;
        x[i] = f->pass == EQ_READ ? found : x[i];
    }
}

static void pass_chain(eq_stream *f, eq_chain *chain)
{
    pass_time(f, &chain->position);
    pass_time(f, &chain->start_ns);
    pass_doubles(f, &chain->rate_hz, 1, 1e9);
    pass_doubles(f, &chain->late, 1, 1e18);
}

static void pass_clock(eq_stream *f, eq_clock *clock)
{
    pass_time(f, &clock->next);
    pass_time(f, &clock->disproved);
    pass_time(f, &clock->old_n);
    pass_doubles(f, &clock->late, 1, 1e18);
    pass_doubles(f, &clock->drift, 1, 1e300);
    pass_chain(f, &clock->chain);
    pass_chain(f, &clock->old);
    pass_i32(f, &clock->n_agreeing, 0, CLOCK_ENOUGH);
    pass_flag(f, &clock->has_chain);
    pass_flag(f, &clock->has_old);
    pass_flag(f, &clock->has_drift);
}

static void pass_grid(eq_stream *f, eq_grid *grid, const eq_grid_config *config)
{
    uint32_t band;
    pass_doubles(f, grid->values, config->window, 1e101);
    for (band = 0; band < config->n_bands; band++) {
        pass_doubles(f, grid->first[band], EQ_N_START, 1e3);
    }
    pass_doubles(f, grid->level, config->n_bands, 1e18);
    pass_doubles(f, grid->share_above, config->n_bands, 1.0);
    pass_doubles(f, &grid->floor, 1, 1e300);
    grid->next_block = pass_integer(f, grid->next_block, 8, -EQ_FARTHEST_BLOCK, EQ_FARTHEST_BLOCK);
    pass_i32(f, &grid->n_valid, 0, INT32_MAX);
    pass_i32(f, &grid->n_flat, 0, INT32_MAX);
    pass_i32(f, &grid->n_values, 0, (int32_t)config->window - 1);
    pass_i32(f, &grid->n_skip, 0, (int32_t)config->hop - 1);
    pass_u8s(f, grid->valid, config->window, 1);
    pass_flag(f, &grid->fresh);
}

static void pass_channel(eq_stream *f, eq_channel *c)
{
    int k;
    pass_clock(f, &c->clock);
    for (k = 0; k < EQ_N_GRIDS; k++) {
        pass_grid(f, &c->grids[k], &eq_grids[k]);
    }
    pass_doubles(f, &c->last_value, 1, 1e101);
    pass_doubles(f, &c->from_value, 1, 1e101);
    pass_doubles(f, &c->last_certain, 1, 1e101);
    pass_doubles(f, c->spikes.values, 5, 1e101);
    pass_doubles(f, c->taps, EQ_TAPS, 1e101);
    pass_time(f, &c->last_position);
    pass_time(f, &c->from_position);
    pass_time(f, &c->next_position);
    pass_time(f, &c->piece_position);
    pass_u32(f, &c->counts.bridged_samples);
    pass_u32(f, &c->counts.bridged_gaps);
    pass_u32(f, &c->counts.restarts);
    pass_u32(f, &c->counts.fill_samples);
    pass_u32(f, &c->counts.not_finite_samples);
    pass_u32(f, &c->counts.overlap_samples);
    pass_u32(f, &c->piece_left);
    pass_i32(f, &c->n_ring, 0, EQ_TAPS);
    pass_i32(f, &c->i_ring, 0, EQ_TAPS - 1);
    pass_i32(f, &c->longest_bridge, 0, INT32_MAX);
    pass_u8s(f, c->taps_valid, EQ_TAPS, 1);
    pass_u8s(f, c->spikes.valid, 5, 1);
    pass_u8s(f, &c->spikes.n, 1, 6);
    pass_u8s(f, &c->rate, 1, EQ_N_RATES);
    pass_flag(f, &c->has_last);
    pass_flag(f, &c->has_certain);
    pass_flag(f, &c->fresh);
    pass_flag(f, &c->ring_fresh);
    pass_flag(f, &c->in_piece);
    pass_flag(f, &c->is_integer);
    pass_flag(f, &c->is_vertical);
#if EQ_N_GRIDS > 1
    pass_time(f, &c->waiting_block);
    pass_i16s(f, c->waiting[0], EQ_WAITING * EQ_HIGH_BANDS);
    pass_i32(f, &c->n_waiting, 0, EQ_WAITING);
#endif
#if EQ_HAS_ONSET
    pass_time(f, &c->kept_position);
    pass_i32s(f, c->kept, EQ_KEPT);
    pass_i32(f, &c->i_kept, 0, EQ_KEPT - 1);
    pass_i32(f, &c->n_kept, 0, EQ_KEPT);
#endif
}

static void pass_trigger(eq_stream *f, eq_trigger *t)
{
    pass_doubles(f, &t->threshold, 1, 1e300);
    pass_doubles(f, &t->peak, 1, 1e3);
    pass_doubles(f, &t->rise_peak, 1, 1e3);
    pass_time(f, &t->rise_ns);
    pass_time(f, &t->rise_onset_ns);
    pass_time(f, &t->beginning_ns);
    pass_time(f, &t->open_rise_ns);
    pass_time(f, &t->open_onset_ns);
    pass_time(f, &t->active_until_ns);
    pass_time(f, &t->course_ns);
    pass_time(f, &t->sure_ns);
    pass_u32(f, &t->n_short_rises);
    pass_flag(f, &t->is_armed);
    pass_flag(f, &t->has_rise);
    pass_flag(f, &t->has_beginning);
    pass_flag(f, &t->is_open);
    pass_flag(f, &t->has_course);
    pass_flag(f, &t->has_sure);
    pass_flag(f, &t->is_told);
}

static void pass_event(eq_stream *f, eq_event *event)
{
    uint32_t bits;
    (void)memcpy(&bits, &event->peak_probability, sizeof bits);
    pass_i64(f, &event->onset_ns);
    pass_i64(f, &event->stop_ns);
    pass_i64(f, &event->trigger_ns);
    pass_i32(f, &event->sigma_ms, 0, INT32_MAX);
    pass_u32(f, &bits);
    (void)memcpy(&event->peak_probability, &bits, sizeof bits);
    pass_i16s(f, &event->class_index, 1);
    pass_i16s(f, &event->reserved, 1);
}

static void pass_row(eq_stream *f, eq_row *row)
{
    pass_i16s(f, row->sums[0], (EQ_HAS_CONTRAST + 1) * (EQ_N_BANDS + EQ_HIGH_BANDS));
    pass_u8s(f, row->n_own, EQ_HAS_CONTRAST + 1, EQ_N_CHANNELS);
    pass_u8s(f, row->n_high, EQ_HAS_CONTRAST + 1, EQ_N_CHANNELS);
    pass_u8s(f, &row->n_queued, 1, EQ_N_CHANNELS);
}

static void pass_state(eq_stream *f, eq_t *s)
{
    int i;
    pass_time(f, &s->t0_ns);
    pass_time(f, &s->watermark_ns);
    s->next_block = pass_integer(f, s->next_block, 8, -EQ_FARTHEST_BLOCK, EQ_FARTHEST_BLOCK);
    pass_time(f, &s->decided_until_ns);
    pass_u32(f, &s->restarts);
    pass_u32(f, &s->n_rows);
    pass_u32(f, &s->n_let_go);
    pass_i32(f, &s->queue_first, 0, EQ_QUEUE - 1);
    pass_i32(f, &s->queue_length, 0, EQ_QUEUE);
    for (i = 0; i < EQ_QUEUE; i++) {
        pass_event(f, &s->queue[i]);
    }
    pass_trigger(f, &s->trigger);
#if EQ_HAS_ONSET
    pass_time(f, &s->onset.rise_ns);
    pass_time(f, &s->onset.onset_ns);
    pass_i32(f, &s->onset.sigma_ms, 0, INT32_MAX);
    pass_u8s(f, &s->onset.is_waiting, 1, 1);
    pass_u8s(f, &s->onset.is_queued, 1, 1);
#endif
    pass_i16s(f, s->network.c, EQ_UNITS);
    pass_i8s(f, s->network.h, EQ_UNITS);
    pass_i8s(f, s->network.contexts, EQ_CONTEXT_VALUES);
    for (i = 0; i < EQ_RING; i++) {
        pass_row(f, &s->rows[i]);
    }
    for (i = 0; i < EQ_N_CHANNELS; i++) {
        pass_channel(f, &s->channels[i]);
    }
    pass_flag(f, &s->has_begun);
    pass_flag(f, &s->is_started);
    pass_flag(f, &s->has_decided);
}

static void begin_stream(eq_stream *f, eq_pass pass, uint8_t *out, const uint8_t *in)
{
    f->out = out;
    f->in = in;
    f->at = EQ_HEAD_BYTES;
    f->pass = pass;
    f->is_bad = 0;
}

/* Writes the head of a blob of n bytes in all. */
static void write_head(uint8_t *bytes, uint32_t n)
{
    eq_stream f;
    begin_stream(&f, EQ_WRITE, bytes, NULL);
    f.at = 0;
    (void)pass_bytes(&f, EQ_MAGIC, 4);
    (void)memcpy(bytes + 4, eq_identity, 8);
    f.at = 12;
    (void)pass_bytes(&f, n, 4);
    (void)pass_bytes(&f, crc_32(crc_32(0, bytes, 16), bytes + EQ_HEAD_BYTES, n - EQ_HEAD_BYTES), 4);
}

static int is_same_identity(const uint8_t *bytes)
{
    uint32_t i;
    for (i = 0; i < sizeof eq_identity; i++) {
        if (bytes[i] != eq_identity[i]) {
            return 0;
        }
    }
    return 1;
}

eq_result eq_save(eq_t *s, uint8_t *bytes, uint32_t size, uint32_t *n_bytes)
{
    eq_stream f;
    begin_stream(&f, EQ_WRITE, NULL, NULL);
    pass_state(&f, s);
    *n_bytes = f.at;
    if (bytes == NULL || size < f.at) {
        return EQ_SIZE;
    }
    begin_stream(&f, EQ_WRITE, bytes, NULL);
    pass_state(&f, s);
    write_head(bytes, f.at);
    return EQ_OK;
}

eq_result eq_restore(eq_t *s, const uint8_t *bytes, uint32_t n_bytes)
{
    eq_stream f;
    uint64_t magic, length, check;
    begin_stream(&f, EQ_WRITE, NULL, NULL);
    pass_state(&f, s);
    if (n_bytes != f.at) {
        return EQ_STATE;
    }
    begin_stream(&f, EQ_CHECK, NULL, bytes);
    f.at = 0;
    magic = pass_bytes(&f, 0, 4);
    f.at = 12;
    length = pass_bytes(&f, 0, 4);
    check = pass_bytes(&f, 0, 4);
    if (magic != EQ_MAGIC || length != n_bytes || !is_same_identity(bytes + 4)
        || check != crc_32(crc_32(0, bytes, 16), bytes + EQ_HEAD_BYTES, n_bytes - EQ_HEAD_BYTES)) {
        return EQ_STATE;
    }
    pass_state(&f, s);
    if (f.is_bad != 0) {
        return EQ_STATE;
    }
    begin_stream(&f, EQ_READ, NULL, bytes);
    pass_state(&f, s);
#if EQ_HAS_ONSET
    s->onset.stage = EQ_STAGE_NONE; /* what was half done belongs to the state before */
#endif
    return EQ_OK;
}

uint32_t eq_network_check(eq_t *scratch)
{
    uint32_t noise = 1, crc = 0;
    int8_t row[EQ_N_FEATURES], probabilities[EQ_N_OUTPUTS];
    int step, i;
    reset_network(&scratch->network);
    for (step = 0; step < 256; step++) {
        for (i = 0; i < EQ_N_FEATURES; i++) {
            noise = noise * 1664525u + 1013904223u; /* Numerical Recipes' generator: rows that need no memory */
            row[i] = (int8_t)((int32_t)(noise >> 24) - 128);
        }
        host_step(&scratch->network, row, scratch->gates, probabilities);
        for (i = 0; i < EQ_N_OUTPUTS; i++) {
            const uint8_t byte = (uint8_t)probabilities[i];
            crc = crc_32(crc, &byte, 1);
        }
    }
    for (i = 0; i < EQ_UNITS; i++) {
        const uint16_t c = (uint16_t)scratch->network.c[i];
        const uint8_t bytes[3] = {(uint8_t)c, (uint8_t)(c >> 8), (uint8_t)scratch->network.h[i]};
        crc = crc_32(crc, bytes, 3);
    }
    return crc;
}
