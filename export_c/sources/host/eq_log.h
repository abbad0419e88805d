/* Rows as a host's library logs them for event classes; included before the detector. */
#ifndef EQ_LOG_H
#define EQ_LOG_H
#include <stdint.h>
#include <string.h>

#define EQ_VOLATILE
#if defined(__x86_64__) && defined(__GNUC__) && !defined(EQ_PLAIN_C)
#define EQ_HOST_SPECTRUM "../host/eq_avx2_spectrum.c"
#define EQ_HOST_SAMPLES "../host/eq_avx2_samples.c"
#define EQ_HOST_NETWORK "../host/eq_avx2_network.c"
#endif

static struct {
    int64_t *blocks;
    float *features;
    int32_t most; /* rows that fit; 0: none are logged */
    int32_t *n;
} eq_log;

#define EQ_ON_FEATURES(block, values)                                                                    \
    do {                                                                                                 \
        if (eq_log.most > 0 && *eq_log.n < eq_log.most) {                                                \
            eq_log.blocks[*eq_log.n] = (block);                                                          \
            memcpy(eq_log.features + *eq_log.n * EQ_N_FEATURES, (values), EQ_N_FEATURES * sizeof(float)); \
            (*eq_log.n)++;                                                                               \
        }                                                                                                \
    } while (0)

#endif
