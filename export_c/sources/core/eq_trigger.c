/* Probabilities to events: edge/detection/trigger.py states the rule. */

/* Output of the network for one short interval [start_ns, stop_ns). */
typedef struct {
    int64_t start_ns, stop_ns;
    double onset, event; /* probabilities that an event begins, and that one is in progress */
} eq_decision;

static int64_t earlier(int64_t a_ns, int64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

static int64_t later(int64_t a_ns, int64_t b_ns)
{
    return a_ns > b_ns ? a_ns : b_ns;
}

static void queue_event(eq_t *s, eq_event event)
{
    s->queue[(s->queue_first + s->queue_length) % EQ_QUEUE] = event;
    s->queue_length++;
}

static void reset_trigger(eq_trigger *t)
{
    t->is_armed = 1;
    t->has_rise = 0;
    t->has_beginning = 0;
    t->is_open = 0;
    t->has_course = 0;
    t->has_sure = 0;
    t->is_told = 0;
    t->rise_onset_ns = 0;
    t->beginning_ns = 0;
    t->rise_peak = 0.0;
    t->open_onset_ns = 0;
    t->active_until_ns = 0;
    t->peak = 0.0;
}

static void close_event(eq_t *s, int64_t stop_ns)
{
    eq_trigger *t = &s->trigger;
    eq_event event;
    event.onset_ns = t->open_onset_ns - EQ_LAG_NS;
    event.trigger_ns = event.onset_ns;
    event.sigma_ms = 0;
    event.stop_ns = stop_ns;
    event.peak_probability = (float)t->peak;
    event.class_index = -1;
    event.reserved = 0;
    t->is_open = 0;
    if (t->has_beginning != 0) { /* what comes next begins after this event */
        t->beginning_ns = later(t->beginning_ns, stop_ns);
        t->rise_onset_ns = later(t->rise_onset_ns, stop_ns);
    }
#if EQ_HAS_ONSET
    if (s->onset.is_waiting != 0) {
        s->onset.is_queued = 1;
    } else {
        event.onset_ns = s->onset.onset_ns;
        event.sigma_ms = s->onset.sigma_ms;
    }
#endif
    queue_event(s, event);
}

static void close_open_event(eq_t *s)
{
    if (s->trigger.is_open != 0) {
        close_event(s, s->trigger.active_until_ns);
    }
}

static int is_same_event(const eq_trigger *t, int64_t rise_ns)
{
    return t->is_open != 0 && rise_ns - t->open_rise_ns < EQ_MERGE_NS;
}

static void open_event(eq_t *s, int64_t rise_ns)
{
    eq_trigger *t = &s->trigger;
    if (is_same_event(t, rise_ns) != 0) {
        return;
    }
    if (t->is_open != 0) {
        const int64_t begins_ns = t->has_beginning != 0 ? earlier(rise_ns, t->rise_onset_ns) : rise_ns;
        close_event(s, earlier(t->active_until_ns, begins_ns));
    }
    t->is_open = 1;
    t->open_rise_ns = rise_ns;
    t->active_until_ns = rise_ns;
    t->peak = t->rise_peak;
    t->open_onset_ns = t->rise_onset_ns;
#if EQ_HAS_ONSET
    request_onset(s, t->open_onset_ns);
#endif
}

#if EQ_HAS_BEGINNING
/* Follows since when the onset probability has not been low. */
static void follow_beginning(eq_trigger *t, const eq_decision *d)
{
    if (d->onset < EQ_REARM_RATIO * t->threshold) {
        t->has_beginning = 0;
        return;
    }
    t->beginning_ns = later(t->has_beginning != 0 ? t->beginning_ns : d->start_ns, d->stop_ns - EQ_BEGINNING_NS);
    t->has_beginning = 1;
}
#endif

/* Onset of the event that the rise beginning with a decision may become. */
static int64_t onset_of_rise(const eq_trigger *t, const eq_decision *d)
{
    return t->has_beginning == 0 || is_same_event(t, t->beginning_ns) ? d->start_ns
                                                                       : earlier(t->beginning_ns, d->start_ns);
}

/* Follows the onset probability; opens an event when it has been high for long enough. */
static void declare_onset(eq_t *s, const eq_decision *d)
{
    eq_trigger *t = &s->trigger;
#if EQ_HAS_BEGINNING
    follow_beginning(t, d);
#endif
    if (d->onset < t->threshold) {
        t->n_short_rises += t->has_rise != 0 && t->is_armed != 0 ? 1u : 0u;
        t->has_rise = 0;
        if (d->onset < EQ_REARM_RATIO * t->threshold) {
            t->is_armed = 1;
        }
        return;
    }
    if (t->has_rise == 0) {
        t->has_rise = 1;
        t->rise_ns = d->start_ns;
        t->rise_onset_ns = onset_of_rise(t, d);
        t->rise_peak = 0.0;
    }
    t->rise_peak = larger(t->rise_peak, d->onset);
    if (t->is_armed != 0 && d->stop_ns - t->rise_ns >= EQ_MIN_DURATION_NS) {
        t->is_armed = 0;
        open_event(s, t->rise_ns);
    }
}

#if EQ_HAS_SURE_EVENT
/* Follows the event probability; opens an event when it has been sure for long enough and none is open. */
static void declare_sure_event(eq_t *s, const eq_decision *d)
{
    eq_trigger *t = &s->trigger;
    if (d->event < EQ_EVENT_THRESHOLD) {
        t->has_course = 0;
        t->has_sure = 0;
        t->is_told = 0;
        return;
    }
    if (t->has_course == 0) {
        t->has_course = 1;
        t->course_ns = d->start_ns;
    }
    if (t->course_ns < d->stop_ns - EQ_LONGEST_RISE_NS) {
        t->course_ns = d->stop_ns - EQ_LONGEST_RISE_NS;
    }
    if (t->is_open != 0) {
        t->is_told = 1;
    }
    if (d->event < larger(EQ_SURE_THRESHOLD, t->threshold)) {
        t->has_sure = 0;
        return;
    }
    if (t->has_sure == 0) {
        t->has_sure = 1;
        t->sure_ns = d->start_ns;
    }
    if (t->is_told != 0 || d->stop_ns - t->sure_ns < EQ_SURE_DURATION_NS) {
        return;
    }
    t->is_told = 1;
    t->rise_onset_ns = t->course_ns;
    t->rise_peak = larger(t->rise_peak, d->event);
    open_event(s, t->course_ns);
}
#endif

/* Takes the next decision; at most one event is closed. */
static void push_decision(eq_t *s, const eq_decision *d)
{
    eq_trigger *t = &s->trigger;
    declare_onset(s, d);
#if EQ_HAS_SURE_EVENT
    declare_sure_event(s, d);
#endif
    if (t->is_open == 0) {
        return;
    }
    if (d->event >= EQ_EVENT_THRESHOLD || d->onset >= t->threshold) {
        t->active_until_ns = d->stop_ns;
        if (t->has_rise == 0 || is_same_event(t, t->rise_ns)) {
            t->peak = larger(t->peak, d->onset);
        }
    }
    if (d->stop_ns - t->open_rise_ns >= EQ_MAX_EVENT_NS || d->stop_ns - t->active_until_ns >= EQ_HOLD_NS) {
        close_event(s, t->active_until_ns);
    }
}
