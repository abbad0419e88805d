/* Windows of a grid of samples, which of them are valid, and the features of each: edge/features/spectra.py. */

static void begin_grid(eq_grid *grid)
{
    grid->next_block = 0;
    grid->n_values = 0;
    grid->n_skip = 0;
    grid->n_flat = 0;
    grid->n_valid = 0;
    grid->fresh = 1;
}

/* Power density of rounding to the record's quantum; that of floats is the smallest change in the window. */
static double quantization_density(const eq_grid_config *config, const double *values, int is_integer)
{
    double quantum = 0.0, change;
    uint32_t i;
    if (is_integer != 0) {
        quantum = 1.0;
    } else {
        for (i = 1; i < config->window; i++) {
            change = magnitude(values[i] - values[i - 1]);
            if (change > 0.0 && (change < quantum || !(quantum > 0.0))) {
                quantum = change;
            }
        }
    }
    return larger(quantum * quantum / (6.0 * config->rate_hz), 1e-60);
}

/* Whether all samples of the window are the same. */
static int is_flat_window(const eq_grid_config *config, const double *values)
{
    uint32_t i;
    for (i = 1; i < config->window; i++) {
        if (values[i] < values[0] || values[i] > values[0]) {
            return 0;
        }
    }
    return 1;
}

/* Whether the window holds enough true samples, and is not the last of many without any change. */
static int is_valid_window(const eq_grid_config *config, eq_grid *grid)
{
    uint32_t i, n_interpolated = 0;
    for (i = 0; i < config->window; i++) {
        n_interpolated += grid->valid[i] != 0 ? 0u : 1u;
    }
    if (!is_flat_window(config, grid->values)) {
        grid->n_flat = 0;
    } else {
        grid->n_flat += grid->n_flat < INT32_MAX ? 1 : 0;
    }
    return n_interpolated <= config->most_gaps && grid->n_flat < config->stuck_blocks;
}

/* Computes the features of the complete window, in steps of a decade; returns whether it is valid. */
static int window_features(const eq_grid_config *config, eq_grid *grid, double *scratch, int is_integer,
                           int16_t *steps)
{
    double levels[EQ_MOST_BANDS];
    int is_valid;
    if (grid->fresh != 0) {
        grid->n_flat = 0;
        grid->fresh = 0;
        restart_background(grid);
        grid->floor = quantization_density(config, grid->values, is_integer);
    }
    is_valid = is_valid_window(config, grid);
    (void)memset(steps, 0, config->n_bands * sizeof *steps);
    if (is_valid != 0) {
        host_band_levels(config, grid->values, grid->floor, scratch, levels);
        excess_of(config, grid, levels, steps);
    }
    return is_valid;
}

/* Takes a sample at a position of the grid; returns whether it completes a window. */
static int take_into_window(const eq_grid_config *config, eq_grid *grid, int64_t position, double value, int is_valid,
                            int is_fresh)
{
    if (is_fresh != 0) {
        grid->next_block = ceil_div(position, config->hop);
        grid->n_skip = (int32_t)(grid->next_block * config->hop - position);
        grid->n_values = 0;
        grid->fresh = 1;
    }
    if (grid->n_skip > 0) {
        grid->n_skip--;
        return 0;
    }
    grid->values[grid->n_values] = value;
    grid->valid[grid->n_values] = (uint8_t)is_valid;
    grid->n_values++;
    return grid->n_values == (int32_t)config->window;
}

/* Drops the oldest hop of a window whose features were taken. */
static void advance_window(const eq_grid_config *config, eq_grid *grid)
{
    const uint32_t kept = config->window - (uint32_t)config->hop;
    (void)memmove(grid->values, grid->values + config->hop, kept * sizeof grid->values[0]);
    (void)memmove(grid->valid, grid->valid + config->hop, kept);
    grid->n_values = (int32_t)kept;
    grid->next_block++;
}
