/* Power densities for x86-64 hosts whose processor has AVX2: the bits of eq_spectrum.c, four numbers at a time.

   Included by eq_spectrum.c where a host's library asks for it. Each butterfly multiplies and adds as there, without
   fused operations; only where the numbers stand differs (Stockham's order, real and imaginary parts apart). */
#define EQ_AVX2 __attribute__((target("avx2")))
#define EQ_MOST_LINES (EQ_MOST_WINDOW / 2)

/* cos and -sin of 2 pi k / (2 h) at h + k, for k below h; the Hann window of each grid. */
static double eq_twiddle_re[EQ_MOST_WINDOW], eq_twiddle_im[EQ_MOST_WINDOW], eq_hann[EQ_N_GRIDS][EQ_MOST_WINDOW];
static double eq_ramp[EQ_N_GRIDS][EQ_MOST_WINDOW]; /* samples from the window's centre */
static int eq_has_avx2;

__attribute__((constructor)) static void tabulate_spectrum(void)
{
    uint32_t h, k, grid;
    for (h = 1; h <= EQ_MOST_LINES; h *= 2) {
        for (k = 0; k < h; k++) {
            eq_twiddle_re[h + k] = cosine(k * (EQ_MOST_LINES / h));
            eq_twiddle_im[h + k] = -sine(k * (EQ_MOST_LINES / h));
        }
    }
    for (grid = 0; grid < EQ_N_GRIDS; grid++) {
        const uint32_t n = eq_grids[grid].window;
        for (k = 0; k < n; k++) {
            eq_hann[grid][k] = 0.5 - 0.5 * cosine(k * (EQ_MOST_WINDOW / n));
            eq_ramp[grid][k] = (double)k - ((double)n - 1.0) / 2.0;
        }
    }
    __builtin_cpu_init();
    eq_has_avx2 = __builtin_cpu_supports("avx2") != 0;
}

/* detrend_and_taper; even and odd samples become real and imaginary parts. */
EQ_AVX2 static void taper_apart(const eq_grid_config *config, const double *values, double *restrict re,
                                double *restrict im)
{
    const double *hann = eq_hann[config - eq_grids], *ramp = eq_ramp[config - eq_grids];
    const uint32_t n = config->window;
    double tapered[EQ_MOST_WINDOW], sums[4] = {0.0, 0.0, 0.0, 0.0}, moments[4] = {0.0, 0.0, 0.0, 0.0}, mean, slope;
    uint32_t i, k;
    for (i = 0; i < n; i += 4) {
        for (k = 0; k < 4; k++) {
            sums[k] += values[i + k];
            moments[k] += values[i + k] * ramp[i + k];
        }
    }
    mean = ((sums[0] + sums[1]) + (sums[2] + sums[3])) / (double)n;
    slope = ((moments[0] + moments[1]) + (moments[2] + moments[3])) / config->ramp_power;
    for (i = 0; i < n; i++) {
        tapered[i] = (values[i] - mean - slope * ramp[i]) * hann[i];
    }
    for (i = 0; i < n / 2; i++) {
        re[i] = tapered[2 * i];
        im[i] = tapered[2 * i + 1];
    }
}

/* The butterflies of one factor, of n_groups transforms side by side, from (a, b) to sums and differences. */
EQ_AVX2 static inline __attribute__((always_inline)) void butterflies(
    const double *restrict a_re, const double *restrict a_im, const double *restrict b_re, const double *restrict b_im,
    double *restrict sum_re, double *restrict sum_im, double *restrict less_re, double *restrict less_im, double c,
    double s, uint32_t n_groups)
{
    uint32_t g;
    for (g = 0; g < n_groups; g++) {
        const double re = b_re[g] * c - b_im[g] * s, im = b_re[g] * s + b_im[g] * c;
        less_re[g] = a_re[g] - re;
        less_im[g] = a_im[g] - im;
        sum_re[g] = a_re[g] + re;
        sum_im[g] = a_im[g] + im;
    }
}

/* One stage: transforms of length h become half as many of length 2 h; (frequency, transform) is at frequency * number
   of transforms + transform. */
EQ_AVX2 static void stage(const double *re, const double *im, double *to_re, double *to_im, uint32_t n, uint32_t h)
{
    const uint32_t n_groups = n / (2 * h);
    uint32_t k;
    for (k = 0; k < h; k++) {
        const uint32_t from = 2 * k * n_groups, low = k * n_groups, high = (k + h) * n_groups;
        butterflies(re + from, im + from, re + from + n_groups, im + from + n_groups, to_re + low, to_im + low,
                    to_re + high, to_im + high, eq_twiddle_re[h + k], eq_twiddle_im[h + k], n_groups);
    }
}

/* The last stage, of two transforms: their values stand in turn. */
EQ_AVX2 static void last_stage(const double *restrict re, const double *restrict im, double *restrict to_re,
                               double *restrict to_im, uint32_t h)
{
    const double *cosines = eq_twiddle_re + h, *sines = eq_twiddle_im + h;
    uint32_t k;
    for (k = 0; k < h; k++) {
        const double b_re = re[2 * k + 1], b_im = im[2 * k + 1];
        const double x = b_re * cosines[k] - b_im * sines[k], y = b_re * sines[k] + b_im * cosines[k];
        to_re[k] = re[2 * k] + x;
        to_im[k] = im[2 * k] + y;
        to_re[k + h] = re[2 * k] - x;
        to_im[k + h] = im[2 * k] - y;
    }
}

/* line_power of the lines from first to stop, with the density's factor. */
EQ_AVX2 static void line_powers(const double *restrict re, const double *restrict im, uint32_t n, uint32_t first,
                                uint32_t stop, double density, double *restrict powers)
{
    uint32_t k;
    for (k = first; k < stop; k++) {
        const double even_re = 0.5 * (re[k] + re[n - k]), even_im = 0.5 * (im[k] - im[n - k]);
        const double odd_re = 0.5 * (im[k] + im[n - k]), odd_im = 0.5 * (re[n - k] - re[k]);
        const double c = eq_twiddle_re[n + k], s = eq_twiddle_im[n + k];
        const double x = even_re + odd_re * c - odd_im * s, y = even_im + odd_re * s + odd_im * c;
        powers[k] = (x * x + y * y) * density;
    }
}

EQ_AVX2 static void band_powers_4(const eq_grid_config *config, const double *values, double *powers)
{
    double parts[2][2][EQ_MOST_LINES], lines[EQ_MOST_LINES];
    const uint32_t n = config->window / 2;
    uint32_t band, k, h, from = 0;
    taper_apart(config, values, parts[0][0], parts[0][1]);
    for (h = 1; 2 * h < n; h *= 2, from = 1 - from) {
        stage(parts[from][0], parts[from][1], parts[1 - from][0], parts[1 - from][1], n, h);
    }
    last_stage(parts[from][0], parts[from][1], parts[1 - from][0], parts[1 - from][1], h);
    from = 1 - from;
    line_powers(parts[from][0], parts[from][1], n, config->starts[0], config->starts[config->n_bands], config->density,
                lines);
    for (band = 0; band < config->n_bands; band++) {
        double total = 0.0;
        for (k = config->starts[band]; k < config->starts[band + 1]; k++) {
            total += lines[k];
        }
        powers[band] = total / (double)(config->starts[band + 1] - config->starts[band]);
    }
}

static void host_band_powers(const eq_grid_config *config, const double *values, double *scratch, double *powers)
{
    if (eq_has_avx2 != 0) {
        band_powers_4(config, values, powers);
    } else {
        band_powers(config, values, scratch, powers);
    }
}
