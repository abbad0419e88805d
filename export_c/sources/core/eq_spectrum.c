/* Power spectral density of a window in bands: linear detrend, periodic Hann window, FFT. */

#define EQ_SIDES 8 /* sums of a window, added side by side */

/* cos(2 pi i / n) of the largest window length n, of which shorter ones use every other value. */
static double cosine(uint32_t i)
{
    const uint32_t quarter = EQ_MOST_WINDOW / 4;
    i %= EQ_MOST_WINDOW;
    if (i > 2 * quarter) {
        i = EQ_MOST_WINDOW - i;
    }
    return i <= quarter ? eq_cosines[i] : -eq_cosines[2 * quarter - i];
}

static double sine(uint32_t i)
{
    return cosine(i + 3 * (EQ_MOST_WINDOW / 4));
}

/* The sum of what stands in turn in EQ_SIDES sums. */
static double sum_of_sides(const double *sums)
{
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/* Sets the mean and the slope of a window's linear trend. Eight sums, each of every eighth sample, let processors add
   side by side; their order is part of the result. */
static void find_trend(const eq_grid_config *config, const double *values, double *mean, double *slope)
{
    const uint32_t n = config->window;
    const double centre = ((double)n - 1.0) / 2.0;
    double sums[EQ_SIDES] = {0}, moments[EQ_SIDES] = {0};
    uint32_t i;
    for (i = 0; i < n; i++) {
        sums[i % EQ_SIDES] += values[i];
        moments[i % EQ_SIDES] += values[i] * ((double)i - centre);
    }
    *mean = sum_of_sides(sums) / (double)n;
    *slope = sum_of_sides(moments) / config->ramp_power;
}

/* Writes the detrended and tapered window to `out`. */
static void detrend_and_taper(const eq_grid_config *config, const double *values, double *out)
{
    const uint32_t n = config->window, stride = EQ_MOST_WINDOW / n;
    const double centre = ((double)n - 1.0) / 2.0;
    double mean, slope;
    uint32_t i;
    find_trend(config, values, &mean, &slope);
    for (i = 0; i < n; i++) {
        out[i] = (values[i] - mean - slope * ((double)i - centre)) * (0.5 - 0.5 * cosine(i * stride));
    }
}

/* Puts the n complex values z (real and imaginary parts in turn) in the order that the FFT starts from. */
static void reverse_bits(double *z, uint32_t n)
{
    uint32_t i, j = 0, bit;
    for (i = 1; i < n; i++) {
        for (bit = n >> 1; (j & bit) != 0; bit >>= 1) {
            j ^= bit;
        }
        j ^= bit;
        if (i < j) {
            double re = z[2 * i], im = z[2 * i + 1];
            z[2 * i] = z[2 * j];
            z[2 * i + 1] = z[2 * j + 1];
            z[2 * j] = re;
            z[2 * j + 1] = im;
        }
    }
}

/* Transforms n complex values in place. */
static void fft(double *z, uint32_t n)
{
    uint32_t length, i, k;
    reverse_bits(z, n);
    for (length = 2; length <= n; length *= 2) {
        const uint32_t half = length / 2, stride = EQ_MOST_WINDOW / length;
        for (k = 0; k < half; k++) {
            const double c = cosine(k * stride), s = -sine(k * stride);
            for (i = k; i < n; i += length) {
                double *a = z + 2 * i, *b = z + 2 * (i + half);
                const double re = b[0] * c - b[1] * s, im = b[0] * s + b[1] * c;
                b[0] = a[0] - re;
                b[1] = a[1] - im;
                a[0] += re;
                a[1] += im;
            }
        }
    }
}

/* Squared magnitude of line k of the spectrum of 2 n real values, which fft() took as n complex ones. */
static double line_power(const double *z, uint32_t n, uint32_t stride, uint32_t k)
{
    const double *a = z + 2 * k, *b = z + 2 * (n - k);
    const double even_re = 0.5 * (a[0] + b[0]), even_im = 0.5 * (a[1] - b[1]);
    const double odd_re = 0.5 * (a[1] + b[1]), odd_im = 0.5 * (b[0] - a[0]);
    const double c = cosine(k * stride), s = -sine(k * stride);
    const double re = even_re + odd_re * c - odd_im * s, im = even_im + odd_re * s + odd_im * c;
    return re * re + im * im;
}

/* Writes the power density of each band, in units squared per Hz. */
static void band_powers(const eq_grid_config *config, const double *values, double *scratch, double *powers)
{
    const uint32_t half = config->window / 2, stride = EQ_MOST_WINDOW / config->window;
    uint32_t band, k;
    detrend_and_taper(config, values, scratch);
    fft(scratch, half);
    for (band = 0; band < config->n_bands; band++) {
        double total = 0.0;
        for (k = config->starts[band]; k < config->starts[band + 1]; k++) {
            total += line_power(scratch, half, stride, k) * config->density;
        }
        powers[band] = total / (double)(config->starts[band + 1] - config->starts[band]);
    }
}

/* Writes log10 of the power density of each band, above that of rounding. */
static void band_levels(const eq_grid_config *config, const double *values, double floor, double *scratch,
                        double *levels)
{
    uint32_t band;
    band_powers(config, values, scratch, levels);
    for (band = 0; band < config->n_bands; band++) {
        levels[band] = log_10(levels[band] + floor);
    }
}

#ifdef EQ_HOST_SPECTRUM /* a host's library may have its own, of the same bits */
#include EQ_HOST_SPECTRUM
#else
#define host_band_levels band_levels
#endif
