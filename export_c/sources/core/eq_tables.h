/* Forms of a model's constants, which eq_NAME_model.h fills in. */

#include <float.h>
#include <stddef.h>
#include <string.h>

#ifndef EQ_PREFIX
#error "compile eq_NAME.c, which includes this file"
#endif
#if defined(__FAST_MATH__) || DBL_MANT_DIG != 53 || FLT_MANT_DIG != 24
#error "the results need IEEE double and single precision, and no -ffast-math"
#endif
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "the results need every operation rounded to its own type (on x86: -msse2 -mfpmath=sse)"
#endif
#if defined(__ARM_FEATURE_SIMD32) && !defined(EQ_PLAIN_C)
#include <arm_acle.h>
#endif

/* Right shifts of negative numbers must be arithmetic: the language leaves it open. */
typedef char eq_shifts_are_arithmetic[(-1 >> 1) == -1 ? 1 : -1];

#define EQ_FARTHEST_NS INT64_C(4600000000000000000) /* from 1970: differences of times fit 64 bits */

/* One grid of samples: its windows and their bands. */
typedef struct {
    uint32_t window, n_bands;
    int64_t hop, offset;   /* samples of this grid; `offset`: of its position 0 from the model's */
    double rate_hz;
    double density;        /* 2 / (rate_hz sum of squares of the Hann window) */
    double ramp_power;     /* sum of squares of the ramp that is taken away */
    double clip_low, clip_high, steps_per_decade;
    uint32_t most_gaps;    /* interpolated samples of a valid window */
    int32_t stuck_blocks;  /* windows without any change, of which the last is not valid */
    uint32_t starts[EQ_MOST_BANDS + 1]; /* first spectral line of each band, and the one after the last */
} eq_grid_config;

/* A sampling rate that channels may have. */
typedef struct {
    double rate_hz;
    int64_t factor;     /* of the model's rate */
    int32_t n_half;     /* taps on either side of the middle one */
    int32_t has_high_bands;
    const double *taps; /* the middle one first */
} eq_rate;

/* The band-pass of refined onsets at a sampling rate, and the samples around the rise that are examined. */
typedef struct {
    int32_t n_before, n_after;
    int32_t n_half;     /* taps on either side of the middle one; 0: the rate is too low for the band */
    double per_frame;   /* samples of a frame */
    double freedom;     /* independent values in a frame, those that count as evidence */
    const double *taps; /* the middle one first */
} eq_onset_rate;

/* What an examination does next. */
enum {
    EQ_STAGE_NONE = 0,
    EQ_STAGE_CHANNEL = 1,
    EQ_STAGE_SAMPLES = 2,
    EQ_STAGE_EDGES = 3,
    EQ_STAGE_SPLIT = 4,
    EQ_STAGE_SUM = 5
};

typedef struct {
    double quantile, step, largest; /* largest: step at the start times the number of first frames */
    double gain, share_high, share_low, fast_up, fast_down;
    int32_t has_catch_up;
} eq_background_config;

/* A dense layer, or a convolution whose kernel covers its whole input. The bias holds the input's zero point. */
typedef struct {
    int32_t n_out, n_in, zero_point, low;
    const int8_t *weights;
    const int32_t *bias, *multiplier;
    const uint8_t *shift;
} eq_dense;

/* A factor multiplier * 2^-31 * 2^-shift. */
typedef struct {
    int32_t multiplier, shift;
} eq_scale;

/* A factor multiplier * 2^-shift from a tensor's steps to those of the sigmoid table. */
typedef struct {
    int32_t multiplier, shift;
} eq_table_scale;
