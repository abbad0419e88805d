/* The onset of an event from the samples around its rise: edge/detection/onset.py states the rule.

   Each channel keeps its newest samples. Once those around the rise of an open event are there, they are examined, a
   frame's worth of work a call; samples and rows wait meanwhile. What is half done is not saved: it begins again. */

#if EQ_HAS_ONSET

#define ONSET_POSITIONS 48 /* of a channel that a call examines */
#define ONSET_EDGES 8      /* between frames that a call examines */

static double square_root(double x)
{
    uint64_t bits;
    double root;
    int i;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits >> 1) + ((uint64_t)1023 << 51); /* half the exponent: within 6 % */
    memcpy(&root, &bits, sizeof root);
    for (i = 0; i < 5; i++) {
        root = 0.5 * (root + x / root);
    }
    return root;
}

/* exp of a number that is not above 0: a power of 2 times a Taylor series within half an octave. */
static double exponential(double x)
{
    const double n = round_even(x * 1.4426950408889634);
    double rest = x - n * 0.69314718036912382, sum = 1.0, power;
    uint64_t bits;
    int i;
    if (x < -700.0) {
        return 0.0;
    }
    rest -= n * 1.9082149292705877e-10; /* the rest of log 2 */
    for (i = 14; i > 0; i--) {
        sum = 1.0 + rest * sum / (double)i;
    }
    bits = (uint64_t)(1023 + integer_of(n)) << 52;
    memcpy(&power, &bits, sizeof power);
    return sum * power;
}

static double natural_log(double x)
{
    return 2.302585092994046 * log_10(x);
}

static void set_kept(eq_channel *c, int is_there)
{
    const uint8_t bit = (uint8_t)(1u << ((uint32_t)c->i_kept % 8u));
    uint8_t *bits = &c->has_kept[c->i_kept / 8];
    *bits = (uint8_t)(is_there ? *bits | bit : *bits & ~bit);
}

static void forget_kept(eq_channel *c)
{
    memset(c->has_kept, 0, sizeof c->has_kept);
}

/* Keeps the sample that leaves the gap rule, or marks it as missing where it was interpolated. */
static void keep_sample(eq_channel *c, int64_t position, double value, int is_true)
{
    int64_t n_new = position - c->kept_position;
    if (n_new <= 0 || n_new >= EQ_KEPT) {
        forget_kept(c);
        n_new = 1;
    }
    while (n_new-- > 0) {
        c->i_kept = c->i_kept + 1 < EQ_KEPT ? c->i_kept + 1 : 0;
        set_kept(c, 0);
    }
    c->kept_position = position;
    if (!is_true) {
        return;
    }
    set_kept(c, 1);
    if (c->is_integer != 0) {
        c->kept[c->i_kept] = (int32_t)value;
    } else {
        const double most = (double)FLT_MAX;
        const float single = (float)larger(smaller(value, most), -most);
        memcpy(&c->kept[c->i_kept], &single, sizeof single);
    }
}

/* Finds a true sample; returns whether there is one. */
static int find_kept(const eq_channel *c, int64_t position, double *value)
{
    const int64_t back = c->kept_position - position;
    int32_t i;
    if (back < 0 || back >= EQ_KEPT) {
        return 0;
    }
    i = c->i_kept - (int32_t)back;
    i += i < 0 ? EQ_KEPT : 0;
    if ((c->has_kept[i / 8] & (1u << ((uint32_t)i % 8u))) == 0) {
        return 0;
    }
    if (c->is_integer != 0) {
        *value = (double)c->kept[i];
    } else {
        float single;
        memcpy(&single, &c->kept[i], sizeof single);
        *value = (double)single;
    }
    return 1;
}

static void settle_onset(eq_t *s, int64_t onset_ns, int32_t sigma_ms)
{
    eq_onset *o = &s->onset;
    o->onset_ns = onset_ns;
    o->sigma_ms = sigma_ms;
    o->is_waiting = 0;
    o->stage = EQ_STAGE_NONE;
    if (o->is_queued != 0) {
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
    const double rate_hz = eq_rates[c->rate - 1].rate_hz;
    const int64_t rise = integer_of(round_even((double)(s->onset.rise_ns - s->t0_ns) * rate_hz / 1e9));
    const int64_t stop = rise + eq_onset_rates[c->rate - 1].n_after;
    if (c->kept_position >= stop - 1 && c->has_last != 0) {
        return 1;
    }
    return !(c->in_piece != 0 && c->piece_position < stop) && c->next_position > c->last_position
           && s->watermark_ns >= time_after(s->t0_ns, stop, rate_hz);
}

/* Begins a run of samples without a long gap. */
static void begin_onset_run(eq_refinement *r)
{
    r->n_spikes = 0;
    r->n_line = 0;
    r->i_line = 0;
}

static void begin_onset_channel(eq_t *s)
{
    eq_refinement *r = &s->scratch.refinement;
    const eq_channel *c = &s->channels[s->onset.channel];
    memset(r->power, 0, sizeof r->power);
    memset(r->counts, 0, sizeof r->counts);
    r->smallest = 0.0;
    r->has_last = 0;
    s->onset.stage = EQ_STAGE_EDGES; /* of nothing, where there are no samples */
    r->is_usable = 0;
    if (c->rate != 0 && eq_onset_rates[c->rate - 1].n_half > 0) {
        const double rate_hz = eq_rates[c->rate - 1].rate_hz;
        r->rise = integer_of(round_even((double)(s->onset.rise_ns - s->t0_ns) * rate_hz / 1e9));
        r->at = -eq_onset_rates[c->rate - 1].n_before;
        r->last = r->at - 1;
        r->next = r->at;
        s->onset.stage = EQ_STAGE_SAMPLES;
    }
}

/* Takes a sample, which the spike filter has passed, into the band-pass; adds its output to its frame. */
static void filter_onset_sample(eq_refinement *r, const eq_onset_rate *rate, double rate_hz, int32_t position,
                                double value, uint8_t is_valid)
{
    const int32_t n_taps = 2 * rate->n_half + 1;
    double sum, change;
    int32_t older, newer, i, frame;
    if (r->n_line == 0) {
        r->offset = value;
    } else {
        change = magnitude(value - r->previous);
        if (is_valid != 0 && r->is_previous_valid != 0 && change > 0.0
            && (change < r->smallest || !(r->smallest > 0.0))) {
            r->smallest = change;
        }
    }
    r->previous = value;
    r->is_previous_valid = is_valid;
    r->line[r->i_line] = value - r->offset;
    r->line_valid[r->i_line] = is_valid;
    r->i_line = r->i_line + 1 < n_taps ? r->i_line + 1 : 0;
    r->n_line += r->n_line < n_taps ? 1 : 0;
    older = r->i_line + rate->n_half < n_taps ? r->i_line + rate->n_half : r->i_line + rate->n_half - n_taps;
    if (r->n_line < n_taps || r->line_valid[older] == 0) {
        return;
    }
    sum = ((double)(position - rate->n_half) / rate_hz + EQ_ONSET_BEFORE_S) / EQ_ONSET_FRAME_S;
    frame = sum < 0.0 || sum >= (double)EQ_ONSET_FRAMES ? -1 : (int32_t)sum;
    if (frame < 0) {
        return;
    }
    sum = rate->taps[0] * r->line[older];
    newer = older;
    for (i = 1; i <= rate->n_half; i++) {
        newer = newer + 1 < n_taps ? newer + 1 : 0;
        older = older > 0 ? older - 1 : n_taps - 1;
        sum += rate->taps[i] * (r->line[newer] + r->line[older]);
    }
    r->power[frame] += sum * sum;
    r->counts[frame]++;
}

/* Emits the next sample of the gap rule, down to the band-pass. */
static void emit_onset_sample(eq_refinement *r, const eq_onset_rate *rate, double rate_hz)
{
    int32_t position = r->next;
    double value = r->last_value;
    uint8_t is_valid = 1;
    r->next++;
    if (position < r->last) {
        const double slope = (r->last_value - r->from_value) / (double)(r->last - r->from);
        value = slope * (double)(position - r->from) + r->from_value;
        is_valid = 0;
    }
#if EQ_HAS_DESPIKE
    memmove(r->spikes, r->spikes + 1, 4 * sizeof r->spikes[0]);
    memmove(r->spikes_valid, r->spikes_valid + 1, 4);
    r->spikes[4] = value;
    r->spikes_valid[4] = is_valid;
    r->n_spikes += r->n_spikes < 5 ? 1 : 0;
    if (r->n_spikes < 5) {
        return;
    }
    position -= 2;
    value = despiked_value(r->spikes);
    is_valid = r->spikes_valid[2];
#endif
    filter_onset_sample(r, rate, rate_hz, position, value, is_valid);
}

/* Turns the powers of a channel into amplitudes; returns whether it is of use: neither flat nor too short. */
static int finish_onset_channel(eq_refinement *r, const eq_onset_rate *rate)
{
    const double floor = larger(r->smallest * r->smallest / 12.0, 1e-60);
    uint32_t n = 0;
    int32_t k;
    for (k = 0; k < EQ_ONSET_FRAMES; k++) {
        n += r->counts[k];
    }
    if (n == 0 || !(r->smallest > 0.0)) {
        return 0;
    }
    for (k = 0; k < EQ_ONSET_FRAMES; k++) {
        if (r->counts[k] > 0) {
            r->power[k] = square_root(r->power[k] / (double)r->counts[k] + floor);
            r->recorded[k] = larger(r->recorded[k], smaller((double)r->counts[k] / rate->per_frame, 1.0));
        }
    }
    return 1;
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
        if (r->has_last != 0 && r->next <= r->last) {
            emit_onset_sample(r, rate, rate_hz);
        } else if (r->at < rate->n_after) {
            if (find_kept(c, r->rise + r->at, &value)) {
                if (r->has_last == 0 || r->at - r->last - 1 > c->longest_bridge) {
                    begin_onset_run(r);
                    r->next = r->at;
                }
                r->from = r->last;
                r->from_value = r->last_value;
                r->last = r->at;
                r->last_value = value;
                r->has_last = 1;
            }
            r->at++;
        } else {
            r->is_usable = (uint8_t)finish_onset_channel(r, rate);
            s->onset.stage = EQ_STAGE_EDGES;
            return;
        }
    }
}

static double weight_of(const eq_refinement *r, const eq_onset_rate *rate, int32_t k)
{
    return smaller((double)r->counts[k] / rate->per_frame, 1.0);
}

static void begin_edges(eq_t *s)
{
    eq_refinement *r = &s->scratch.refinement;
    const eq_channel *c = &s->channels[s->onset.channel];
    int32_t k;
    r->edge = r->is_usable != 0 ? 0 : EQ_ONSET_FRAMES;
    r->n_before = 0.0;
    r->sum_before = 0.0;
    r->n_all = 0.0;
    r->sum_all = 0.0;
    for (k = 0; r->is_usable != 0 && k < r->n_frames; k++) {
        const double weight = weight_of(r, &eq_onset_rates[c->rate - 1], k);
        r->n_all += weight;
        r->sum_all += r->power[k] * weight;
    }
    r->has_channel |= r->is_usable;
    s->onset.stage = EQ_STAGE_GAIN;
}

/* Adds how much likelier than no rise, in nats, a rise of a channel at the next edges between frames is. */
static void examine_edges(eq_t *s)
{
    eq_refinement *r = &s->scratch.refinement;
    const int32_t stop = r->edge + ONSET_EDGES < r->n_frames - 1 ? r->edge + ONSET_EDGES : r->n_frames - 1;
    for (; r->edge < stop; r->edge++) {
        const eq_onset_rate *rate = &eq_onset_rates[s->channels[s->onset.channel].rate - 1];
        const double weight = weight_of(r, rate, r->edge);
        double before, after, mean, n_after;
        r->n_before += weight;
        r->sum_before += r->power[r->edge] * weight;
        n_after = r->n_all - r->n_before;
        if (r->n_before > 0.0 && n_after > 0.0) {
            before = r->sum_before / r->n_before;
            after = (r->sum_all - r->sum_before) / n_after;
            mean = r->sum_all / r->n_all;
            if (after > before && before > 0.0) {
                r->gain[r->edge] += rate->freedom
                                    * (r->n_before * natural_log(mean / before) + n_after * natural_log(mean / after));
            }
        }
    }
    if (r->edge < r->n_frames - 1) {
        return;
    }
    s->onset.channel++;
    s->onset.stage = s->onset.channel < EQ_N_CHANNELS ? EQ_STAGE_CHANNEL : EQ_STAGE_SPLIT;
}

/* Finds the edge where the frames become louder, and how many frames hold the middle two thirds of its probability;
   returns whether that is certain. */
static int find_split(eq_refinement *r, int32_t *edge, int32_t *width)
{
    double most = 0.0, recorded = 0.0, total = 0.0;
    int32_t first = -1, k, low = -1, middle = -1, high = -1;
    for (k = 0; k < r->n_frames - 1; k++) {
        recorded += r->recorded[k];
        r->gain[k] *= EQ_ONSET_EVIDENCE;
        if (recorded * EQ_ONSET_FRAME_S >= EQ_ONSET_MIN_QUIET_S) {
            most = first < 0 ? r->gain[k] : larger(most, r->gain[k]);
            first = first < 0 ? k : first;
        }
    }
    if (first < 0 || r->has_channel == 0 || most < EQ_ONSET_MIN_GAIN) {
        return 0;
    }
    for (k = first; k < r->n_frames - 1; k++) {
        const double offset_s = EQ_ONSET_FRAME_S * (double)(k + 1);
        const double late = (EQ_ONSET_BEFORE_S - offset_s - EQ_ONSET_LATE_S) / EQ_ONSET_LATE_SPREAD_S;
        total += exponential(r->gain[k] - most) / (1.0 + late * late);
        r->gain[k] = total;
    }
    for (k = r->n_frames - 2; k >= first; k--) {
        low = r->gain[k] >= total / 6.0 ? k : low;
        middle = r->gain[k] >= total * 3.0 / 6.0 ? k : middle;
        high = r->gain[k] >= total * 5.0 / 6.0 ? k : high;
    }
    *edge = middle + 1;
    *width = high - low;
    return middle > first; /* the earliest allowed: it began before the record shows it */
}

/* Takes a split; a second search, up to shortly after it, finds a weak beginning before a loud later phase. */
static void finish_search(eq_t *s)
{
    eq_refinement *r = &s->scratch.refinement;
    int32_t edge = 0, width = 0;
    const int is_found = find_split(r, &edge, &width);
    if (is_found) {
        r->frame = edge;
        r->width = width;
    }
    if (is_found && r->is_second == 0) {
        const double n = (EQ_ONSET_FRAME_S * (double)edge + EQ_ONSET_TAIL_S) / EQ_ONSET_FRAME_S;
        int32_t n_frames = (int32_t)n;
        n_frames += (double)n_frames < n ? 1 : 0;
        r->n_frames = n_frames < EQ_ONSET_FRAMES ? n_frames : EQ_ONSET_FRAMES;
        r->is_second = 1;
        memset(r->gain, 0, sizeof r->gain);
        s->onset.channel = 0;
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
        begin_edges(s);
        break;
    case EQ_STAGE_GAIN:
        examine_edges(s);
        break;
    case EQ_STAGE_SPLIT:
        finish_search(s);
        break;
    default:
        for (i = 0; i < EQ_N_CHANNELS && !is_end; i++) {
            if (s->channels[i].rate != 0 && !has_reached(s, &s->channels[i])) {
                return 0;
            }
        }
        memset(r, 0, sizeof *r);
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
