/* The onset of an event from the samples around its rise: edge/detection/onset.py states the rule.

   Each channel keeps its newest samples. Once those around the rise of an open event are there, they are examined, a
   frame's worth of work a call; samples and rows wait meanwhile. What is half done is not saved: it begins again. */

#if EQ_HAS_ONSET

#define ONSET_POSITIONS 48 /* of a channel that a call examines */
#define ONSET_NEVER 1000000000 /* samples: longer than any gap that is interpolated */
#define ONSET_EDGES 8      /* between frames that a call examines */

static double square_root(double x)
{
    uint64_t bits;
    double root;
    int i;
    (void)memcpy(&bits, &x, sizeof bits);
    bits = (bits >> 1) + ((uint64_t)1023 << 51); /* half the exponent: within 6 % */
    (void)memcpy(&root, &bits, sizeof root);
    for (i = 0; i < 5; i++) {
        root = 0.5 * (root + x / root);
    }
    return root;
}

/* exp of a number from -1000 to 0, to about 1e-13: a Taylor series for its 1024th part. */
static double exponential(double x)
{
    double sum = 1.0;
    int i;
    for (i = 14; i > 0; i--) {
        sum = 1.0 + x / 1024.0 * sum / (double)i;
    }
    for (i = 0; i < 10; i++) {
        sum *= sum;
    }
    return sum;
}

static double natural_log(double x)
{
    return 2.302585092994046 * log_10(x);
}

/* Keeps the sample that leaves the gap rule, or marks it as missing where it was interpolated. */
static void keep_sample(eq_channel *c, int64_t position, double value, int is_true)
{
    const int64_t n_new = position - c->kept_position;
    int32_t i, kept = INT32_MIN;
    if (n_new <= 0 || n_new >= EQ_KEPT) {
        c->n_kept = 0;
    }
    for (i = 0; i == 0 || (c->n_kept > 0 && i < (int32_t)n_new); i++) {
        c->i_kept = c->i_kept + 1 < EQ_KEPT ? c->i_kept + 1 : 0;
        c->kept[c->i_kept] = INT32_MIN;
    }
    c->n_kept = c->n_kept + i < EQ_KEPT ? c->n_kept + i : EQ_KEPT;
    c->kept_position = position;
    if (is_true && c->is_integer != 0) {
        kept = (int32_t)value;
    } else if (is_true && magnitude(value) < 1e38) {
        const float single = (float)value + 0.0f; /* -0 has the bits of INT32_MIN */
        (void)memcpy(&kept, &single, sizeof kept);
    }
    c->kept[c->i_kept] = kept;
}

/* Finds a true sample; returns whether there is one. */
static int find_kept(const eq_channel *c, int64_t position, double *value)
{
    const int64_t back = c->kept_position - position;
    int32_t i, kept;
    if (back < 0 || back >= c->n_kept) {
        return 0;
    }
    i = c->i_kept - (int32_t)back;
    kept = c->kept[i < 0 ? i + EQ_KEPT : i];
    *value = (double)kept;
    if (c->is_integer == 0) {
        float single;
        (void)memcpy(&single, &kept, sizeof single);
        *value = (double)single;
    }
    return kept != INT32_MIN;
}

static void settle_onset(eq_t *s, int64_t onset_ns, int32_t sigma_ms)
{
    eq_onset *o = &s->onset;
    o->onset_ns = onset_ns;
    o->sigma_ms = sigma_ms;
    o->is_waiting = 0;
    o->stage = EQ_STAGE_NONE;
    if (o->is_queued != 0 && s->queue_length > 0) {
        eq_event *event = &s->queue[(s->queue_first + s->queue_length - 1) % EQ_QUEUE];
        event->onset_ns = onset_ns;
        event->sigma_ms = sigma_ms;
    }
}

/* Keeps the trigger's onset. */
static void settle_unrefined(eq_t *s)
{
    settle_onset(s, s->onset.rise_ns - EQ_LAG_NS, EQ_COARSE_SIGMA_MS);
}

/* Whether no sample of a channel around the rise is still to come. */
static int has_reached(const eq_t *s, const eq_channel *c)
{
    const int64_t stop_ns = s->onset.rise_ns + EQ_ONSET_AFTER_NS;
    return time_after(s->t0_ns, c->kept_position, eq_rates[c->rate - 1].rate_hz) >= stop_ns
           || (c->in_piece == 0 && s->watermark_ns >= stop_ns);
}

static void begin_onset_channel(eq_t *s)
{
    eq_refinement *r = &s->scratch.refinement;
    const eq_channel *c = &s->channels[s->onset.channel];
    (void)memset(r->power, 0, sizeof r->power);
    (void)memset(r->counts, 0, sizeof r->counts);
    r->smallest = 0.0;
    r->edge = -1;
    s->onset.stage = EQ_STAGE_EDGES; /* of nothing, where there are no samples */
    if (c->rate != 0 && eq_onset_rates[c->rate - 1].n_half > 0) {
        const double most = (double)EQ_FARTHEST_NS;
        const double at = (double)(s->onset.rise_ns - s->t0_ns) * eq_rates[c->rate - 1].rate_hz / 1e9;
        r->rise = integer_of(round_even(larger(smaller(at, most), -most)));
        r->at = -eq_onset_rates[c->rate - 1].n_before;
        r->next = r->at;
        r->last = -ONSET_NEVER;
        s->onset.stage = EQ_STAGE_SAMPLES;
    }
}

/* Takes a sample, which the spike filter has passed, into the band-pass; adds its output to its frame. */
static void filter_onset_sample(eq_refinement *r, const eq_onset_rate *rate, double rate_hz, int32_t position,
                                double value, uint8_t is_valid)
{
    const int32_t half = rate->n_half, newest = 2 * half;
    double *line = r->line;
    double sum, change = magnitude(value - line[newest]);
    int32_t i, frame;
    if (r->n_line > 0 && is_valid != 0 && r->line_valid[newest] != 0 && change > 0.0
        && (change < r->smallest || !(r->smallest > 0.0))) {
        r->smallest = change;
    }
    (void)memmove(line, line + 1, (size_t)newest * sizeof *line);
    (void)memmove(r->line_valid, r->line_valid + 1, (size_t)newest);
    line[newest] = value;
    r->line_valid[newest] = is_valid;
    r->n_line += r->n_line <= newest ? 1 : 0;
    sum = ((double)(position - half) / rate_hz + EQ_ONSET_BEFORE_S) / EQ_ONSET_FRAME_S;
    if (r->n_line <= newest || r->line_valid[half] == 0 || sum < 0.0 || sum >= (double)EQ_ONSET_FRAMES) {
        return;
    }
    frame = (int32_t)sum;
    sum = rate->taps[0] * line[half];
    for (i = 1; i <= half; i++) {
        sum += rate->taps[i] * (line[half + i] + line[half - i]);
    }
    r->power[frame] += sum * sum;
    r->counts[frame]++;
}

/* Emits the next sample of the gap rule, down to the band-pass. */
static void emit_onset_sample(eq_refinement *r, const eq_onset_rate *rate, double rate_hz)
{
    int32_t position = r->next;
    uint8_t is_valid = position == r->last ? 1 : 0;
    double value = is_valid != 0 ? r->last_value : on_line(r->from_value, r->from, r->last_value, r->last, position);
    r->next++;
#if EQ_HAS_DESPIKE
    position -= 2;
    if (!despike(&r->spikes, &value, &is_valid)) {
        return;
    }
#endif
    filter_onset_sample(r, rate, rate_hz, position, value, is_valid);
}

/* The recorded share of a frame of the channel examined. */
static double weight_of(const eq_refinement *r, const eq_onset_rate *rate, int32_t k)
{
    return smaller((double)r->counts[k] / rate->per_frame, 1.0);
}

/* Turns the powers of a channel into amplitudes, unless it is flat. */
static void finish_onset_channel(eq_refinement *r, const eq_onset_rate *rate)
{
    const double floor = larger(r->smallest * r->smallest / 12.0, 1e-60);
    int32_t k;
    (void)rate; /* of one channel alone, what is recorded is not kept */
    for (k = 0; k < EQ_ONSET_FRAMES && r->smallest > 0.0; k++) {
        if (r->counts[k] > 0) {
            r->power[k] = square_root(r->power[k] / (double)r->counts[k] + floor);
#if EQ_N_CHANNELS > 1
            r->recorded[k] = larger(r->recorded[k], weight_of(r, rate, k));
#endif
        }
    }
}

/* Examines the next positions of a channel. */
static void examine_samples(eq_t *s)
{
    eq_refinement *r = &s->scratch.refinement;
    const eq_channel *c = &s->channels[s->onset.channel];
    const eq_onset_rate *rate = &eq_onset_rates[c->rate - 1];
    const double rate_hz = eq_rates[c->rate - 1].rate_hz;
    int32_t i;
    for (i = 0; i < ONSET_POSITIONS; i++) {
        double value;
        if (r->next <= r->last) {
            emit_onset_sample(r, rate, rate_hz);
        } else if (r->at < rate->n_after) {
            if (find_kept(c, r->rise + r->at, &value) != 0) {
                if (r->at - r->last - 1 > c->longest_bridge) {
                    r->spikes.n = 0;
                    r->n_line = 0;
                    r->next = r->at;
                }
                r->from = r->last;
                r->from_value = r->last_value;
                r->last = r->at;
                r->last_value = value;
            }
            r->at++;
        } else {
            finish_onset_channel(r, rate);
            s->onset.stage = EQ_STAGE_EDGES;
            return;
        }
    }
}

static void begin_edges(eq_t *s, const eq_onset_rate *rate)
{
    eq_refinement *r = &s->scratch.refinement;
    int32_t k;
    r->edge = 0;
    r->n_before = 0.0;
    r->sum_before = 0.0;
    r->n_all = 0.0;
    r->sum_all = 0.0;
    for (k = 0; k < r->n_frames; k++) {
        const double weight = weight_of(r, rate, k);
        r->n_all += weight;
        r->sum_all += r->power[k] * weight;
    }
}

/* Adds how much likelier than no rise, in nats, a rise of a channel at the next edges between frames is. */
static void examine_edges(eq_t *s)
{
    eq_refinement *r = &s->scratch.refinement;
    const uint8_t rate_index = s->channels[s->onset.channel].rate;
    const eq_onset_rate *rate = &eq_onset_rates[rate_index > 0 ? rate_index - 1 : 0];
    int32_t i;
    if (r->edge < 0) {
        begin_edges(s, rate);
    }
    for (i = 0; i < ONSET_EDGES && r->smallest > 0.0 && r->edge < r->n_frames - 1; i++, r->edge++) {
        const double weight = weight_of(r, rate, r->edge);
        double before, after, mean, n_after;
        r->n_before += weight;
        r->sum_before += r->power[r->edge] * weight;
        n_after = r->n_all - r->n_before;
        if (r->n_before > 0.0 && n_after > 0.0) {
            before = r->sum_before / r->n_before;
            after = (r->sum_all - r->sum_before) / n_after;
            mean = r->sum_all / r->n_all;
            if (after > before) {
                r->gain[r->edge] += rate->freedom
                                    * (r->n_before * natural_log(mean / before) + n_after * natural_log(mean / after));
            }
        }
    }
    if (i < ONSET_EDGES) {
        s->onset.channel++;
        s->onset.stage = s->onset.channel < EQ_N_CHANNELS ? EQ_STAGE_CHANNEL : EQ_STAGE_SPLIT;
    }
}

/* The first edge from one on by which a part of the probability is reached. */
static int32_t edge_of(const eq_refinement *r, int32_t edge, double part)
{
    while (r->gain[edge] < part) {
        edge++;
    }
    return edge;
}

/* Finds the likeliest of the edges that have enough before them; returns whether a rise there is certain. */
static int begin_split(eq_t *s)
{
    eq_refinement *r = &s->scratch.refinement;
    double recorded = 0.0;
    int32_t k;
    r->most = 0.0;
    r->first = r->n_frames - 1;
    for (k = 0; k < r->n_frames - 1; k++) {
#if EQ_N_CHANNELS > 1
        recorded += r->recorded[k];
#else
        recorded += weight_of(r, &eq_onset_rates[s->channels[0].rate - 1], k);
#endif
        if (recorded * EQ_ONSET_FRAME_S >= EQ_ONSET_MIN_QUIET_S) {
            r->first = k < r->first ? k : r->first;
            r->most = larger(r->most, r->gain[k]);
        }
    }
    r->edge = r->first;
    r->total = 0.0;
    return r->most >= EQ_ONSET_MIN_GAIN;
}

/* Turns what the next edges gain into the probability that the frames become louder up to there; returns whether that
   was the last. */
static int sum_edges(eq_refinement *r)
{
    int32_t i;
    for (i = 0; i < ONSET_EDGES && r->edge < r->n_frames - 1; i++, r->edge++) {
        const double late = EQ_ONSET_LATE - (double)r->edge * EQ_ONSET_LATE_STEP;
        r->total += exponential(larger(r->gain[r->edge] - r->most, -1000.0)) / (1.0 + late * late);
        r->gain[r->edge] = r->total;
    }
    return i < ONSET_EDGES;
}

/* Finds the edge where the frames become louder, and how many frames hold the middle two thirds of its probability;
   returns whether that is certain. */
static int find_split(eq_refinement *r)
{
    const int32_t middle = edge_of(r, r->first, r->total * 3.0 / 6.0);
    if (middle == r->first) { /* the earliest allowed: it began before the record shows it */
        return 0;
    }
    r->frame = middle + 1;
    r->width = edge_of(r, middle, r->total * 5.0 / 6.0) - edge_of(r, r->first, r->total / 6.0);
    return 1;
}

/* Takes a split; a second search, up to shortly after it, finds a weak beginning before a loud later phase. */
static void finish_search(eq_t *s, int is_found)
{
    eq_refinement *r = &s->scratch.refinement;
    if (is_found != 0 && r->is_second == 0) {
        const int32_t n_frames = r->frame + EQ_ONSET_TAIL_FRAMES;
        r->n_frames = n_frames < EQ_ONSET_FRAMES ? n_frames : EQ_ONSET_FRAMES;
        r->is_second = 1;
        (void)memset(r->gain, 0, sizeof r->gain);
        s->onset.channel = 0;
        r->edge = -1;
        /* One channel's amplitudes are still there. */
        s->onset.stage = EQ_N_CHANNELS == 1 ? EQ_STAGE_EDGES : EQ_STAGE_CHANNEL;
        return;
    }
    if (r->is_second == 0 || r->width >= EQ_N_SIGMAS) {
        settle_unrefined(s);
    } else {
        const double shift_s = EQ_ONSET_FRAME_S * (double)r->frame - EQ_ONSET_BEFORE_S;
        const int64_t n = integer_of(round_even(shift_s * EQ_RATE_HZ));
        settle_onset(s, time_after(s->onset.rise_ns, n, EQ_RATE_HZ), eq_sigmas_ms[r->width]);
    }
}

/* Goes on with the refinement of an onset; returns whether there was work. is_end: no sample will come. */
static int refine_onset(eq_t *s, int is_end)
{
    eq_refinement *r = &s->scratch.refinement;
    int i;
    if (s->onset.is_waiting == 0) {
        return 0;
    }
    switch (s->onset.stage) {
    case EQ_STAGE_CHANNEL:
        begin_onset_channel(s);
        break;
    case EQ_STAGE_SAMPLES:
        examine_samples(s);
        break;
    case EQ_STAGE_EDGES:
        examine_edges(s);
        break;
    case EQ_STAGE_SPLIT:
        if (begin_split(s) != 0) {
            s->onset.stage = EQ_STAGE_SUM;
        } else {
            finish_search(s, 0);
        }
        break;
    case EQ_STAGE_SUM:
        if (sum_edges(r) != 0) {
            finish_search(s, find_split(r));
        }
        break;
    default:
        for (i = 0; i < EQ_N_CHANNELS && !is_end; i++) {
            if (s->channels[i].rate != 0 && !has_reached(s, &s->channels[i])) {
                return 0;
            }
        }
        (void)memset(r, 0, sizeof *r);
        r->n_frames = EQ_ONSET_FRAMES;
        s->onset.channel = 0;
        s->onset.stage = EQ_STAGE_CHANNEL;
        break;
    }
    return 1;
}

/* Has the onset of an event refined that begins now; the event before it has its onset by now, or keeps the trigger's. */
static void request_onset(eq_t *s, int64_t rise_ns)
{
    if (s->onset.is_waiting != 0) {
        settle_unrefined(s);
    }
    s->onset.rise_ns = rise_ns;
    s->onset.is_waiting = 1;
    s->onset.is_queued = 0;
    s->onset.stage = EQ_STAGE_NONE;
}
#endif
