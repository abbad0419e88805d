/* The position of a piece on its channel's grid: edge/features/channel_clock.py, as long as the clock stays on it. */

#define CLOCK_HALF (0.5 + 1e-6) /* samples by which times may differ from the grid; the excess is rounding */
#define CLOCK_GAP 0.9           /* samples: a piece that is off by more follows a gap, or overlaps what was before */
#define CLOCK_GAIN 0.25         /* weight of the newest piece in the average of their deviations */
#define CLOCK_CUT_NS 1500       /* where a record is cut in two, the second piece begins as predicted */
#define CLOCK_CERTAIN_S 30.0    /* a chain as long is no jitter: its own start counts, not the average */
#define CLOCK_MOST_DRIFT 2e-3   /* of a rate; what looks like more are gaps */
#define CLOCK_AGREE 0.15        /* samples by which two pieces that tell of the same rate may differ */
#define CLOCK_WHOLE 0.1         /* samples: a change so close to a whole number means lost samples */
#define CLOCK_ENOUGH 2          /* agreements: equal gaps after two equal stretches happen, after three hardly */

static int64_t chain_time_ns(const eq_chain *chain, int64_t n_samples)
{
    return time_after(chain->start_ns, n_samples, chain->rate_hz);
}

static int continues_chain(const eq_chain *chain, int64_t n_samples, int64_t start_ns, double rate_hz)
{
    int64_t late_ns = start_ns - chain_time_ns(chain, n_samples);
    int same_rate = !(rate_hz < chain->rate_hz) && !(rate_hz > chain->rate_hz);
    return same_rate && late_ns >= -CLOCK_CUT_NS && late_ns <= CLOCK_CUT_NS;
}

/* Whether the chain is off by more than half a sample before it is n samples long: then the grid no longer holds. */
static int slips(const eq_clock *clock, double grid_hz, int64_t n_samples)
{
    const eq_chain *chain = &clock->chain;
    const double slope = grid_hz / chain->rate_hz - 1.0; /* samples by which each is later than the one before */
    const int64_t n_certain = integer_of(round_even(CLOCK_CERTAIN_S * chain->rate_hz));
    double late;
    if (slope < 0.0 || slope > 0.0) {
        const double n_slope = ((slope < 0.0 ? -CLOCK_HALF : CLOCK_HALF) - clock->late) / slope;
        if (n_slope < (double)n_samples && clock->disproved + 1 < n_samples) {
            int64_t n_whole = integer_of(n_slope); /* its ceiling: it may be negative */
            n_whole += (double)n_whole < n_slope ? 1 : 0;
            if (n_whole < n_samples) {
                return 1;
            }
        }
    }
    late = chain->late + (n_certain > clock->disproved ? (double)n_certain * slope : 0.0);
    return magnitude(late) > CLOCK_HALF && n_certain < n_samples;
}

/* Takes the next samples of the newest chain. */
static eq_result advance_clock(eq_clock *clock, double grid_hz, uint32_t n, int64_t *position)
{
    int64_t stop = clock->next + (int64_t)n;
    *position = clock->next;
    if (slips(clock, grid_hz, stop - clock->chain.position) != 0) {
        return EQ_CLOCK;
    }
    clock->next = stop;
    return EQ_OK;
}

static void jump_to(eq_clock *clock, double at)
{
    clock->next = integer_of(round_even(at));
    clock->late = at - (double)clock->next;
}

/* Finds the position of a piece that does not continue the chain before it; `at` is what the grid says. */
static eq_result follow_clock(eq_clock *clock, double grid_hz, double at, int64_t start_ns)
{
    const eq_chain *chain = &clock->chain;
    int64_t n_chain = clock->next - chain->position;
    double elapsed = (double)(start_ns - chain->start_ns) * grid_hz / 1e9;
    double drift = elapsed / (double)n_chain - 1.0;
    double late = at - (double)clock->next;
    int agrees = clock->has_drift && magnitude(drift - clock->drift) * (double)n_chain <= CLOCK_AGREE
                 && magnitude(drift) <= CLOCK_MOST_DRIFT;
    int is_whole = magnitude(elapsed - (double)n_chain) > 0.5 && magnitude(elapsed - round_even(elapsed)) < CLOCK_WHOLE;
    int64_t off_ns = start_ns - chain_time_ns(chain, n_chain);
    clock->drift = drift;
    clock->has_drift = 1;
    clock->n_agreeing = agrees && !is_whole ? (clock->n_agreeing < CLOCK_ENOUGH ? clock->n_agreeing + 1 : CLOCK_ENOUGH)
                                            : 0;
    if (magnitude(late) < CLOCK_GAP) {
        clock->late += CLOCK_GAIN * (late - clock->late);
        if (magnitude(clock->late) > CLOCK_HALF) {
            return EQ_CLOCK;
        }
    } else if (clock->n_agreeing >= CLOCK_ENOUGH) {
        return EQ_CLOCK;
    } else {
        jump_to(clock, at);
        return EQ_OK;
    }
    if (magnitude((double)off_ns) * grid_hz > CLOCK_HALF * 1e9 && n_chain > clock->disproved) {
        clock->disproved = n_chain;
    }
    return EQ_OK;
}

/* Gives a piece of n samples, which starts at start_ns, its position on the grid that begins at t0_ns. */
static eq_result place_piece(eq_clock *clock, double grid_hz, int64_t t0_ns, int64_t start_ns, double rate_hz,
                             uint32_t n, int64_t *position)
{
    int64_t begin_ns = start_ns, n_before = 0, n_whole;
    eq_result result = EQ_OK;
    double at;
    if (clock->has_chain
        && continues_chain(&clock->chain, clock->next - clock->chain.position, start_ns, rate_hz)) {
        return advance_clock(clock, grid_hz, n, position);
    }
    if (clock->has_old && continues_chain(&clock->old, clock->old_n, start_ns, rate_hz)) {
        begin_ns = clock->old.start_ns;
        n_before = clock->old_n;
    }
    at = (double)(begin_ns - t0_ns) * grid_hz / 1e9;
    n_whole = n_before + (int64_t)n;
    if (clock->has_chain && at - (double)clock->next <= -CLOCK_GAP
        && at + (double)n_whole <= (double)clock->next + CLOCK_HALF) {
        /* It has come before and tells nothing new about time; but the next piece may. */
        clock->old.position = integer_of(round_even(at));
        clock->old.start_ns = begin_ns;
        clock->old.rate_hz = rate_hz;
        clock->old.late = 0.0;
        clock->old_n = n_whole;
        clock->has_old = 1;
        *position = clock->old.position + n_before;
        return EQ_OK;
    }
    clock->has_old = 0;
    if (clock->has_chain != 0) {
        result = follow_clock(clock, grid_hz, at, begin_ns);
    } else {
        jump_to(clock, at);
    }
    if (result != EQ_OK) {
        return result;
    }
    clock->chain.position = clock->next;
    clock->chain.start_ns = begin_ns;
    clock->chain.rate_hz = rate_hz;
    clock->chain.late = at - (double)clock->next;
    clock->has_chain = 1;
    result = advance_clock(clock, grid_hz, (uint32_t)n_whole, position);
    *position += n_before;
    return result;
}
