/* Power densities for x86-64 hosts whose processor has AVX2: the bits of eq_spectrum.c, four numbers at a time.

   Included by eq_spectrum.c where a host's library asks for it. Each butterfly multiplies and adds as there, without
   fused operations; only where the numbers stand differs (Stockham's order, real and imaginary parts apart). */
#include <immintrin.h>

#define EQ_AVX2 __attribute__((target("avx2")))
#define EQ_MOST_LINES (EQ_MOST_WINDOW / 2)
#define EQ_LEAST_WINDOW 32u

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

/* Four numbers whose order is 0 2 1 3 in the order 0 1 2 3. */
#define EQ_IN_ORDER(x) _mm256_permute4x64_pd((x), 0xD8)

/* find_trend */
EQ_AVX2 static void find_trend_4(const eq_grid_config *config, const double *values, double *mean, double *slope)
{
    const double *ramp = eq_ramp[config - eq_grids];
    __m256d sum[2] = {_mm256_setzero_pd(), _mm256_setzero_pd()}, moment[2] = {sum[0], sum[0]};
    double sums[EQ_SIDES], moments[EQ_SIDES];
    uint32_t i, k;
    for (i = 0; i < config->window; i += EQ_SIDES) {
        for (k = 0; k < 2; k++) {
            const __m256d x = _mm256_loadu_pd(values + i + 4 * k);
            sum[k] = _mm256_add_pd(sum[k], x);
            moment[k] = _mm256_add_pd(moment[k], _mm256_mul_pd(x, _mm256_loadu_pd(ramp + i + 4 * k)));
        }
    }
    for (k = 0; k < 2; k++) {
        _mm256_storeu_pd(sums + 4 * k, sum[k]);
        _mm256_storeu_pd(moments + 4 * k, moment[k]);
    }
    *mean = sum_of_sides(sums) / (double)config->window;
    *slope = sum_of_sides(moments) / config->ramp_power;
}

/* Four values of detrend_and_taper, from sample i on. */
EQ_AVX2 static inline __m256d tapered_4(const double *values, uint32_t grid, uint32_t i, __m256d mean, __m256d slope)
{
    const __m256d trend = _mm256_mul_pd(slope, _mm256_loadu_pd(eq_ramp[grid] + i));
    const __m256d flat = _mm256_sub_pd(_mm256_sub_pd(_mm256_loadu_pd(values + i), mean), trend);
    return _mm256_mul_pd(flat, _mm256_loadu_pd(eq_hann[grid] + i));
}

/* detrend_and_taper; even and odd samples become real and imaginary parts. */
EQ_AVX2 static void taper_apart(const eq_grid_config *config, const double *values, double *re, double *im)
{
    const uint32_t grid = (uint32_t)(config - eq_grids);
    __m256d mean_4, slope_4;
    double mean, slope;
    uint32_t i;
    find_trend_4(config, values, &mean, &slope);
    mean_4 = _mm256_set1_pd(mean);
    slope_4 = _mm256_set1_pd(slope);
    for (i = 0; i < config->window; i += 8) {
        const __m256d x = tapered_4(values, grid, i, mean_4, slope_4);
        const __m256d y = tapered_4(values, grid, i + 4, mean_4, slope_4);
        _mm256_storeu_pd(re + i / 2, EQ_IN_ORDER(_mm256_unpacklo_pd(x, y)));
        _mm256_storeu_pd(im + i / 2, EQ_IN_ORDER(_mm256_unpackhi_pd(x, y)));
    }
}

/* Four butterflies, from a and b to their sums and differences. */
EQ_AVX2 static inline __attribute__((always_inline)) void butterflies(
    __m256d a_re, __m256d a_im, __m256d b_re, __m256d b_im, __m256d c, __m256d s, double *low_re, double *low_im,
    double *high_re, double *high_im)
{
    const __m256d re = _mm256_sub_pd(_mm256_mul_pd(b_re, c), _mm256_mul_pd(b_im, s));
    const __m256d im = _mm256_add_pd(_mm256_mul_pd(b_re, s), _mm256_mul_pd(b_im, c));
    _mm256_storeu_pd(low_re, _mm256_add_pd(a_re, re));
    _mm256_storeu_pd(low_im, _mm256_add_pd(a_im, im));
    _mm256_storeu_pd(high_re, _mm256_sub_pd(a_re, re));
    _mm256_storeu_pd(high_im, _mm256_sub_pd(a_im, im));
}

/* One stage: transforms of length h become half as many of length 2 h, at least four. (frequency, transform) is at
   frequency * number of transforms + transform. */
EQ_AVX2 static void stage(const double *re, const double *im, double *to_re, double *to_im, uint32_t n, uint32_t h)
{
    const uint32_t n_groups = n / (2 * h);
    uint32_t k, g;
    for (k = 0; k < h; k++) {
        const __m256d c = _mm256_set1_pd(eq_twiddle_re[h + k]), s = _mm256_set1_pd(eq_twiddle_im[h + k]);
        for (g = 0; g < n_groups; g += 4) {
            const uint32_t a = 2 * k * n_groups + g, b = a + n_groups, low = k * n_groups + g, high = low + n / 2;
            butterflies(_mm256_loadu_pd(re + a), _mm256_loadu_pd(im + a), _mm256_loadu_pd(re + b),
                        _mm256_loadu_pd(im + b), c, s, to_re + low, to_im + low, to_re + high, to_im + high);
        }
    }
}

/* The stage before the last, from four transforms to two, of two frequencies at a time. */
EQ_AVX2 static void stage_of_four(const double *re, const double *im, double *to_re, double *to_im, uint32_t n)
{
    const uint32_t h = n / 4;
    uint32_t k;
    for (k = 0; k < h; k += 2) {
        const __m256d c = _mm256_permute4x64_pd(_mm256_castpd128_pd256(_mm_loadu_pd(eq_twiddle_re + h + k)), 0x50);
        const __m256d s = _mm256_permute4x64_pd(_mm256_castpd128_pd256(_mm_loadu_pd(eq_twiddle_im + h + k)), 0x50);
        const __m256d re_0 = _mm256_loadu_pd(re + 4 * k), re_1 = _mm256_loadu_pd(re + 4 * k + 4);
        const __m256d im_0 = _mm256_loadu_pd(im + 4 * k), im_1 = _mm256_loadu_pd(im + 4 * k + 4);
        butterflies(_mm256_permute2f128_pd(re_0, re_1, 0x20), _mm256_permute2f128_pd(im_0, im_1, 0x20),
                    _mm256_permute2f128_pd(re_0, re_1, 0x31), _mm256_permute2f128_pd(im_0, im_1, 0x31), c, s,
                    to_re + 2 * k, to_im + 2 * k, to_re + 2 * k + n / 2, to_im + 2 * k + n / 2);
    }
}

/* The last stage, of two transforms: their values stand in turn. */
EQ_AVX2 static void last_stage(const double *re, const double *im, double *to_re, double *to_im, uint32_t n)
{
    const uint32_t h = n / 2;
    uint32_t k;
    for (k = 0; k < h; k += 4) {
        const __m256d re_0 = _mm256_loadu_pd(re + 2 * k), re_1 = _mm256_loadu_pd(re + 2 * k + 4);
        const __m256d im_0 = _mm256_loadu_pd(im + 2 * k), im_1 = _mm256_loadu_pd(im + 2 * k + 4);
        butterflies(EQ_IN_ORDER(_mm256_unpacklo_pd(re_0, re_1)), EQ_IN_ORDER(_mm256_unpacklo_pd(im_0, im_1)),
                    EQ_IN_ORDER(_mm256_unpackhi_pd(re_0, re_1)), EQ_IN_ORDER(_mm256_unpackhi_pd(im_0, im_1)),
                    _mm256_loadu_pd(eq_twiddle_re + h + k), _mm256_loadu_pd(eq_twiddle_im + h + k), to_re + k,
                    to_im + k, to_re + h + k, to_im + h + k);
    }
}

/* line_power of line k, with the density's factor. */
static double one_line(const double *re, const double *im, uint32_t n, uint32_t k, double density)
{
    const double even_re = 0.5 * (re[k] + re[n - k]), even_im = 0.5 * (im[k] - im[n - k]);
    const double odd_re = 0.5 * (im[k] + im[n - k]), odd_im = 0.5 * (re[n - k] - re[k]);
    const double c = eq_twiddle_re[n + k], s = eq_twiddle_im[n + k];
    const double x = even_re + odd_re * c - odd_im * s, y = even_im + odd_re * s + odd_im * c;
    return (x * x + y * y) * density;
}

/* The lines from `first` to `stop`. */
EQ_AVX2 static void line_powers(const double *re, const double *im, uint32_t n, uint32_t first, uint32_t stop,
                                double density, double *powers)
{
    const __m256d half = _mm256_set1_pd(0.5);
    uint32_t k;
    for (k = first; k + 4 <= stop; k += 4) {
        const __m256d re_a = _mm256_loadu_pd(re + k), im_a = _mm256_loadu_pd(im + k);
        const __m256d re_b = _mm256_permute4x64_pd(_mm256_loadu_pd(re + n - k - 3), 0x1B);
        const __m256d im_b = _mm256_permute4x64_pd(_mm256_loadu_pd(im + n - k - 3), 0x1B);
        const __m256d c = _mm256_loadu_pd(eq_twiddle_re + n + k), s = _mm256_loadu_pd(eq_twiddle_im + n + k);
        const __m256d even_re = _mm256_mul_pd(half, _mm256_add_pd(re_a, re_b));
        const __m256d even_im = _mm256_mul_pd(half, _mm256_sub_pd(im_a, im_b));
        const __m256d odd_re = _mm256_mul_pd(half, _mm256_add_pd(im_a, im_b));
        const __m256d odd_im = _mm256_mul_pd(half, _mm256_sub_pd(re_b, re_a));
        const __m256d x = _mm256_sub_pd(_mm256_add_pd(even_re, _mm256_mul_pd(odd_re, c)), _mm256_mul_pd(odd_im, s));
        const __m256d y = _mm256_add_pd(_mm256_add_pd(even_im, _mm256_mul_pd(odd_re, s)), _mm256_mul_pd(odd_im, c));
        const __m256d power = _mm256_add_pd(_mm256_mul_pd(x, x), _mm256_mul_pd(y, y));
        _mm256_storeu_pd(powers + k, _mm256_mul_pd(power, _mm256_set1_pd(density)));
    }
    for (; k < stop; k++) {
        powers[k] = one_line(re, im, n, k, density);
    }
}

EQ_AVX2 static void band_powers_4(const eq_grid_config *config, const double *values, double *powers)
{
    double parts[2][2][EQ_MOST_LINES], lines[EQ_MOST_LINES];
    const uint32_t n = config->window / 2;
    uint32_t band, k, h, from = 0;
    taper_apart(config, values, parts[0][0], parts[0][1]);
    for (h = 1; 8 * h <= n; h *= 2, from = 1 - from) {
        stage(parts[from][0], parts[from][1], parts[1 - from][0], parts[1 - from][1], n, h);
    }
    stage_of_four(parts[from][0], parts[from][1], parts[1 - from][0], parts[1 - from][1], n);
    last_stage(parts[1 - from][0], parts[1 - from][1], parts[from][0], parts[from][1], n);
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

/* log_10 of four numbers */
EQ_AVX2 static __m256d log_10_4(__m256d x)
{
    const __m256d one = _mm256_set1_pd(1.0);
    const __m256i bits = _mm256_castpd_si256(x), even = _mm256_setr_epi32(0, 2, 4, 6, 0, 0, 0, 0);
    const __m256i mantissa = _mm256_and_si256(bits, _mm256_set1_epi64x(0xFFFFFFFFFFFFF));
    const __m256i shifted = _mm256_permutevar8x32_epi32(_mm256_srli_epi64(bits, 52), even);
    __m256d exponent = _mm256_cvtepi32_pd(_mm_sub_epi32(_mm256_castsi256_si128(shifted), _mm_set1_epi32(1023)));
    __m256d is_large, s, s2, sum = _mm256_setzero_pd();
    uint32_t i;
    x = _mm256_or_pd(_mm256_castsi256_pd(mantissa), one);
    is_large = _mm256_cmp_pd(x, _mm256_set1_pd(1.4142135623730951), _CMP_GT_OQ);
    x = _mm256_blendv_pd(x, _mm256_mul_pd(x, _mm256_set1_pd(0.5)), is_large);
    exponent = _mm256_add_pd(exponent, _mm256_and_pd(is_large, one));
    s = _mm256_div_pd(_mm256_sub_pd(x, one), _mm256_add_pd(x, one));
    s2 = _mm256_mul_pd(s, s);
    for (i = 0; i < ODD_PARTS; i++) {
        sum = _mm256_add_pd(_mm256_mul_pd(sum, s2), _mm256_set1_pd(eq_odd_parts[i]));
    }
    sum = _mm256_mul_pd(_mm256_mul_pd(sum, s), _mm256_set1_pd(0.86858896380650365));
    return _mm256_add_pd(_mm256_mul_pd(exponent, _mm256_set1_pd(0.30102999566398120)), sum);
}

/* band_levels */
EQ_AVX2 static void band_levels_4(const eq_grid_config *config, const double *values, double floor, double *levels)
{
    double powers[EQ_MOST_BANDS + 4];
    uint32_t band;
    for (band = config->n_bands; band < config->n_bands + 4; band++) {
        powers[band] = 1.0;
    }
    band_powers_4(config, values, powers);
    for (band = 0; band < config->n_bands; band += 4) {
        const __m256d sum = _mm256_add_pd(_mm256_loadu_pd(powers + band), _mm256_set1_pd(floor));
        _mm256_storeu_pd(powers + band, log_10_4(sum));
    }
    memcpy(levels, powers, config->n_bands * sizeof *levels);
}

static void host_band_levels(const eq_grid_config *config, const double *values, double floor, double *scratch,
                             double *levels)
{
    if (eq_has_avx2 != 0 && config->window >= EQ_LEAST_WINDOW) {
        band_levels_4(config, values, floor, levels);
    } else {
        band_levels(config, values, floor, scratch, levels);
    }
}
