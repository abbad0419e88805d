/* Arithmetic that C leaves open or to a library: rounding half to even, floor division, logarithm. */

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return -floor_div(-a, b);
}

#ifndef EQ_VOLATILE /* a host's library, whose options are known, leaves it out */
#define EQ_VOLATILE volatile
#endif

/* Adding and taking away 2^52 with the sign of x rounds it to an integer, half to even; from there on all are. */
static double round_even(double x)
{
    const double big = x < 0.0 ? -4503599627370496.0 : 4503599627370496.0;
    EQ_VOLATILE double sum; /* volatile: no compiler may cancel the two */
    if (!(x > -4503599627370496.0 && x < 4503599627370496.0)) {
        return x;
    }
    sum = x + big;
    return sum - big;
}

static float round_even_f(float x)
{
    return (float)round_even((double)x);
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

static double magnitude(double x)
{
    return x < 0.0 ? -x : x;
}

#define ODD_PARTS 12

/* 1/23, 1/21, ... 1: of the series of atanh; a host's spectrum reads it too. */
static const double eq_odd_parts[ODD_PARTS] = {1.0 / 23.0, 1.0 / 21.0, 1.0 / 19.0, 1.0 / 17.0, 1.0 / 15.0, 1.0 / 13.0,
                                               1.0 / 11.0, 1.0 / 9.0,  1.0 / 7.0,  1.0 / 5.0,  1.0 / 3.0,  1.0};

/* log10 of a normal number, to about 1e-16: 2 atanh((m - 1) / (m + 1)) of its mantissa m, and its exponent. */
static double log_10(double x)
{
    uint64_t bits;
    int32_t exponent;
    double s, s2, sum = 0.0;
    int i;
    (void)memcpy(&bits, &x, sizeof bits);
    exponent = (int32_t)(bits >> 52) - 1023;
    bits = (bits & 0xFFFFFFFFFFFFFu) | 0x3FF0000000000000u;
    (void)memcpy(&x, &bits, sizeof x);
    if (x > 1.4142135623730951) {
        x = x * 0.5;
        exponent += 1;
    }
    s = (x - 1.0) / (x + 1.0);
    s2 = s * s;
    for (i = 0; i < ODD_PARTS; i++) {
        sum = sum * s2 + eq_odd_parts[i];
    }
    return (double)exponent * 0.30102999566398120 + sum * s * 0.86858896380650365; /* log10(2), 2 log10(e) */
}

/* An integral number as an integer; what is out of range, or no number, at the end of the range or 0. */
static int64_t integer_of(double x)
{
    const int64_t most = 2 * EQ_FARTHEST_NS;
    if (x > -(double)most && x < (double)most) {
        return (int64_t)x;
    }
    return x > 0.0 ? most : (x < 0.0 ? -most : 0);
}

/* Duration of n samples. The product of two exact numbers is rounded once, as Python rounds the integer. */
static int64_t duration_ns(int64_t n, double rate_hz)
{
    return integer_of(round_even((double)n * 1e9 / rate_hz));
}

/* The time of n samples after another time; both are within the range of times. */
static int64_t time_after(int64_t time_ns, int64_t n, double rate_hz)
{
    const int64_t later_ns = duration_ns(n, rate_hz);
    if (later_ns > EQ_FARTHEST_NS - time_ns) {
        return EQ_FARTHEST_NS;
    }
    return later_ns < -EQ_FARTHEST_NS - time_ns ? -EQ_FARTHEST_NS : time_ns + later_ns;
}
