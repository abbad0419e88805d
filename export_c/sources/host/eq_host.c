/* A shared library for hosts: runs the detector to the end of each piece, and lets tests look inside.

   Included by eq_NAME_host.c after eq_NAME.c. */


uint32_t eq_host_size(void);
uint32_t eq_host_event_size(void);
int eq_host_push(eq_t *s, int channel, int64_t start_ns, double rate_hz, int kind, const void *x, uint32_t n,
                 eq_event *events, int32_t most_events, int32_t *n_events, uint32_t *taken);
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

/* Polls the queue into `events`; returns whether it is empty now. */
static int drain_queue(eq_t *s, eq_event *events, int32_t most_events, int32_t *n_events)
{
    while (*n_events < most_events && eq_poll(s, &events[*n_events]) != 0) {
        (*n_events)++;
    }
    return s->queue_length == 0;
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
        if (kind == 0) {
            result = eq_push_i32(s, channel, start_ns, rate_hz, (const int32_t *)x + *taken, n - *taken, &now);
        } else if (kind == 1) {
            result = eq_push_f32(s, channel, start_ns, rate_hz, (const float *)x + *taken, n - *taken, &now);
        } else {
            result = eq_push_f64(s, channel, start_ns, rate_hz, (const double *)x + *taken, n - *taken, &now);
        }
        *taken += now;
        if (!drain_queue(s, events, most_events, n_events)) {
            return (int)EQ_FULL;
        }
    }
    return (int)result;
}

int eq_host_advance(eq_t *s, int64_t now_ns, eq_event *events, int32_t most_events, int32_t *n_events)
{
    eq_result result = EQ_MORE;
    *n_events = 0;
    while (result == EQ_MORE || result == EQ_FULL) {
        result = eq_advance(s, now_ns);
        if (!drain_queue(s, events, most_events, n_events)) {
            return (int)EQ_FULL;
        }
    }
    return (int)result;
}

int eq_host_finish(eq_t *s, eq_event *events, int32_t most_events, int32_t *n_events)
{
    eq_result result = EQ_MORE;
    *n_events = 0;
    while (result == EQ_MORE || result == EQ_FULL) {
        result = eq_finish(s);
        if (!drain_queue(s, events, most_events, n_events)) {
            return (int)EQ_FULL;
        }
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
