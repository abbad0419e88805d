/* A shared library for hosts: runs the detector to the end of each piece, and lets tests look inside.

   Included by eq_NAME_host.c after eq_NAME.c. */

uint32_t eq_host_size(void);
uint32_t eq_host_event_size(void);
int eq_host_push(eq_t *s, int channel, int64_t start_ns, double rate_hz, int kind, const void *x, uint32_t n,
                 eq_event *events, int32_t most_events, int32_t *n_events, uint32_t *taken);
int eq_host_push_blocks(eq_t *s, int channel, int64_t start_ns, int64_t last_ns, const int64_t *blocks,
                        const uint8_t *valid, const int16_t *steps, uint32_t n, int64_t next_block, eq_event *events,
                        int32_t most_events, int32_t *n_events, uint32_t *taken, int has_high_bands);
void eq_host_log_rows(int64_t *blocks, float *features, int32_t most, int32_t *n);
int eq_host_n_features(void);
int eq_host_advance(eq_t *s, int64_t now_ns, eq_event *events, int32_t most_events, int32_t *n_events);
int eq_host_finish(eq_t *s, eq_event *events, int32_t most_events, int32_t *n_events);
void eq_host_step(eq_t *s, const int8_t *row, int8_t *probabilities);
void eq_host_tables(const int16_t *x, int32_t n, int16_t *logistic, int16_t *tanh, int is_cell);
int8_t *eq_host_network(eq_t *s, int32_t *n_contexts, int8_t **h, int16_t **c);
const char *eq_host_model(void);
void eq_host_init(eq_t *s, double threshold);
void eq_host_set_threshold(eq_t *s, double threshold);
void eq_host_set_vertical(eq_t *s, int channel, int is_vertical);
int64_t eq_host_horizon_ns(const eq_t *s);
int eq_host_channels(void);
void eq_host_counts(const eq_t *s, int channel, uint32_t *counts);
int eq_host_save(eq_t *s, uint8_t *bytes, uint32_t size, uint32_t *n_bytes);
int eq_host_restore(eq_t *s, const uint8_t *bytes, uint32_t n_bytes);
uint32_t eq_host_restarts(const eq_t *s);
uint32_t eq_host_short_rises(const eq_t *s);
int eq_host_is_between_events(const eq_t *s);

uint32_t eq_host_size(void)
{
    return (uint32_t)sizeof(eq_t);
}

uint32_t eq_host_event_size(void)
{
    return (uint32_t)sizeof(eq_event);
}

int eq_host_n_features(void)
{
    return EQ_N_FEATURES;
}

/* Has the rows of the next call logged; a call stops with EQ_FULL when `most` are. */
void eq_host_log_rows(int64_t *blocks, float *features, int32_t most, int32_t *n)
{
    eq_log.blocks = blocks;
    eq_log.features = features;
    eq_log.most = most;
    eq_log.n = n;
}

/* Polls the queue into `events`. */
static void drain_queue(eq_t *s, eq_event *events, int32_t *n_events)
{
    while (eq_poll(s, &events[*n_events]) != 0) {
        (*n_events)++;
    }
}

/* Whether the events and the row of one more call fit. */
static int has_room(int32_t most_events, int32_t n_events)
{
    return n_events + EQ_QUEUE <= most_events && (eq_log.most == 0 || *eq_log.n < eq_log.most);
}

/* Takes the next block of a channel whose features were computed elsewhere; returns as a push. */
static eq_result push_block(eq_t *s, eq_channel *c, int64_t block, int is_valid, const int16_t *steps)
{
    if (s->queue_length > EQ_QUEUE - 3) {
        return EQ_FULL;
    }
    c->grids[0].next_block = block;
    if (release_row(s, first_open_block(s))) {
        return EQ_MORE;
    }
    if (block - s->next_block >= EQ_RING) {
        return EQ_LEAD;
    }
    add_to_row(s, c, block, is_valid, steps);
    c->grids[0].next_block = block + 1;
    return EQ_OK;
}

/* Pushes n blocks of features of a channel whose sampling rate needs interpolation: a piece that starts at start_ns has
   completed them. last_ns: of its newest true sample; next_block: that it would complete next. As eq_host_push. */
int eq_host_push_blocks(eq_t *s, int channel, int64_t start_ns, int64_t last_ns, const int64_t *blocks,
                        const uint8_t *valid, const int16_t *steps, uint32_t n, int64_t next_block, eq_event *events,
                        int32_t most_events, int32_t *n_events, uint32_t *taken, int has_high_bands)
{
    eq_channel *c = &s->channels[channel];
    eq_result result = EQ_OK;
    *n_events = 0;
    *taken = 0;
    s->t0_ns = s->has_begun != 0 ? s->t0_ns : start_ns;
    s->watermark_ns = s->has_begun != 0 && s->watermark_ns > start_ns ? s->watermark_ns : start_ns;
    s->has_begun = 1;
    for (c->rate = 1; c->rate < EQ_N_RATES && eq_rates[c->rate - 1].has_high_bands != has_high_bands; c->rate++) {
    }
    c->in_piece = 1;
    while (*taken < n) {
        if (!has_room(most_events, *n_events)) {
            return (int)EQ_FULL;
        }
        result = push_block(s, c, blocks[*taken], valid[*taken], steps + *taken * (EQ_N_BANDS + EQ_HIGH_BANDS));
        drain_queue(s, events, n_events);
        if (result == EQ_LEAD) {
            return (int)EQ_LEAD;
        }
        *taken += result == EQ_OK ? 1u : 0u;
    }
    c->in_piece = 0;
    c->grids[0].next_block = next_block;
    c->has_last = 1;
    c->last_position = integer_of((double)(last_ns - s->t0_ns) * eq_rates[c->rate - 1].rate_hz / 1e9);
    c->next_position = c->last_position + 1;
    return eq_host_advance(s, s->watermark_ns, events, most_events, n_events);
}

/* Pushes a piece to its end, or until it must wait for other channels (EQ_LEAD) or `events` is full (EQ_FULL).
   kind: 0 int32, 1 float32, 2 float64. */
int eq_host_push(eq_t *s, int channel, int64_t start_ns, double rate_hz, int kind, const void *x, uint32_t n,
                 eq_event *events, int32_t most_events, int32_t *n_events, uint32_t *taken)
{
    eq_result result = EQ_MORE;
    *n_events = 0;
    *taken = 0;
    while (result == EQ_MORE || result == EQ_FULL) {
        uint32_t now = 0;
        if (!has_room(most_events, *n_events)) {
            return (int)EQ_FULL;
        }
        if (kind == 0) {
            result = eq_push_i32(s, channel, start_ns, rate_hz, (const int32_t *)x + *taken, n - *taken, &now);
        } else if (kind == 1) {
            result = eq_push_f32(s, channel, start_ns, rate_hz, (const float *)x + *taken, n - *taken, &now);
        } else {
            result = eq_push_f64(s, channel, start_ns, rate_hz, (const double *)x + *taken, n - *taken, &now);
        }
        *taken += now;
        drain_queue(s, events, n_events);
    }
    return (int)result;
}

int eq_host_advance(eq_t *s, int64_t now_ns, eq_event *events, int32_t most_events, int32_t *n_events)
{
    eq_result result = EQ_MORE;
    *n_events = 0;
    while (result == EQ_MORE || result == EQ_FULL) {
        if (!has_room(most_events, *n_events)) {
            return (int)EQ_FULL;
        }
        result = eq_advance(s, now_ns);
        drain_queue(s, events, n_events);
    }
    return (int)result;
}

int eq_host_finish(eq_t *s, eq_event *events, int32_t most_events, int32_t *n_events)
{
    eq_result result = EQ_MORE;
    *n_events = 0;
    while (result == EQ_MORE || result == EQ_FULL) {
        if (!has_room(most_events, *n_events)) {
            return (int)EQ_FULL;
        }
        result = eq_finish(s);
        drain_queue(s, events, n_events);
    }
    return (int)result;
}

void eq_host_step(eq_t *s, const int8_t *row, int8_t *probabilities)
{
    step_network(&s->network, row, s->gates, probabilities);
}

/* The 16-bit LOGISTIC and TANH of the gates, and TANH of the cell, of n inputs. */
void eq_host_tables(const int16_t *x, int32_t n, int16_t *logistic, int16_t *tanh, int is_cell)
{
    int32_t i;
    for (i = 0; i < n; i++) {
        logistic[i] = logistic_16(x[i], is_cell ? eq_table_cell : eq_table_gates);
        tanh[i] = tanh_16(x[i], is_cell ? eq_table_cell : eq_table_gates);
    }
}

int8_t *eq_host_network(eq_t *s, int32_t *n_contexts, int8_t **h, int16_t **c)
{
    *n_contexts = EQ_CONTEXT_VALUES;
    *h = s->network.h;
    *c = s->network.c;
    return s->network.contexts;
}

uint32_t eq_host_restarts(const eq_t *s)
{
    return s->restarts;
}

uint32_t eq_host_short_rises(const eq_t *s)
{
    return s->trigger.n_short_rises;
}

int eq_host_is_between_events(const eq_t *s)
{
    const eq_trigger *t = &s->trigger;
    return t->is_open == 0 && t->has_rise == 0 && (t->has_course == 0 || t->is_told != 0);
}

void eq_host_init(eq_t *s, double threshold)
{
    eq_init(s, 1);
    eq_set_threshold(s, threshold);
}

void eq_host_set_threshold(eq_t *s, double threshold)
{
    eq_set_threshold(s, threshold);
}

void eq_host_set_vertical(eq_t *s, int channel, int is_vertical)
{
    (void)eq_set_vertical(s, channel, is_vertical);
}

int64_t eq_host_horizon_ns(const eq_t *s)
{
    return eq_horizon_ns(s);
}

int eq_host_channels(void)
{
    return EQ_N_CHANNELS;
}

/* In the order of eq_counts. */
void eq_host_counts(const eq_t *s, int channel, uint32_t *counts)
{
    const eq_counts found = eq_channel_counts(s, channel);
    memcpy(counts, &found, sizeof found);
}

int eq_host_save(eq_t *s, uint8_t *bytes, uint32_t size, uint32_t *n_bytes)
{
    return (int)eq_save(s, bytes, size, n_bytes);
}

int eq_host_restore(eq_t *s, const uint8_t *bytes, uint32_t n_bytes)
{
    return (int)eq_restore(s, bytes, n_bytes);
}

/* Hashes of the graph and of what else of the manifest the detector depends on. */
const char *eq_host_model(void)
{
    return EQ_HOST_MODEL;
}
