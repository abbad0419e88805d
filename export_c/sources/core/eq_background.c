/* Levels above the slow running quantile of each band: edge/features/normalization.py. */

static void restart_background(eq_grid *grid)
{
    grid->n_valid = 0;
}

/* Takes one of the first frames; the background is the median of those so far. */
static double start_level(eq_grid *grid, uint32_t band, double level)
{
    double *first = grid->first[band];
    const int32_t n = grid->n_valid; /* already with this frame */
    int32_t i = n - 1;
    while (i > 0 && first[i - 1] > level) {
        first[i] = first[i - 1];
        i--;
    }
    first[i] = level;
    grid->level[band] = n % 2 != 0 ? first[n / 2] : (first[n / 2 - 1] + first[n / 2]) / 2.0;
    grid->share_above[band] = 1.0 - eq_background.quantile;
    return level - grid->level[band];
}

/* Moves the background of a band by one frame; returns how far the level was above it before. */
static double follow_level(eq_grid *grid, uint32_t band, double level, double up, double down)
{
    const double difference = level - grid->level[band];
    double share = grid->share_above[band];
    if (!eq_background.has_catch_up) {
        grid->level[band] += difference > 0.0 ? up : down;
        return difference;
    }
    if (difference > 0.0) {
        share += (1.0 - share) * eq_background.gain;
        grid->level[band] += share > eq_background.share_high ? larger(up, eq_background.fast_up) : up;
    } else {
        share -= share * eq_background.gain;
        grid->level[band] += share < eq_background.share_low ? smaller(down, eq_background.fast_down) : down;
    }
    grid->share_above[band] = share;
    return difference;
}

/* Turns the levels of a valid frame (log10 of power density) into steps of a decade above the background. */
static void excess_of(const eq_grid_config *config, eq_grid *grid, const double *levels, int16_t *steps)
{
    const int is_start = grid->n_valid < EQ_N_START;
    double step, excess;
    uint32_t band;
    grid->n_valid += grid->n_valid < INT32_MAX ? 1 : 0;
    step = larger(eq_background.step, eq_background.largest / (double)grid->n_valid);
    for (band = 0; band < config->n_bands; band++) {
        excess = is_start ? start_level(grid, band, levels[band])
                          : follow_level(grid, band, levels[band], step * eq_background.quantile,
                                         step * (eq_background.quantile - 1.0));
        excess = smaller(larger(excess, config->clip_low), config->clip_high);
        steps[band] = (int16_t)round_even(excess * config->steps_per_decade);
    }
}
