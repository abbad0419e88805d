/* What a driver sends to the detector's thread, and who takes its events: k_msgq_put(&eq_samples, &piece, K_NO_WAIT) and
   k_msgq_get(&eq_events, &event, K_FOREVER). */
#ifndef EQ_ZEPHYR_H
#define EQ_ZEPHYR_H
#include <zephyr/kernel.h>

#include "eq_moon.h"

#define EQ_PIECE_SAMPLES 64

typedef struct {
    int64_t start_ns; /* of the first sample, since 1970 */
    double rate_hz;
    uint32_t n;
    int32_t samples[EQ_PIECE_SAMPLES];
} eq_piece;

extern struct k_msgq eq_samples, eq_events;
#endif
