/* The detector of model moon as a thread of Zephyr: a driver puts samples into a message queue, events come out of
   another one. */
#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>

#include "eq_zephyr.h"

LOG_MODULE_REGISTER(eq_moon);

#define EQ_STACK_BYTES 2048 /* the detector takes less than 1 kB of it */
#define EQ_PRIORITY 10      /* preemptible: the detector may be interrupted anywhere */

K_MSGQ_DEFINE(eq_samples, sizeof(eq_piece), 8, 8);
K_MSGQ_DEFINE(eq_events, sizeof(eq_moon_event), 8, 8);

static eq_moon_t station; /* of this thread alone */

static void hand_over_events(void)
{
    eq_moon_event event;
    while (eq_moon_poll(&station, &event) != 0) {
        if (k_msgq_put(&eq_events, &event, K_NO_WAIT) != 0) {
            LOG_ERR("an event is lost: nobody takes them");
        }
    }
}

static void take_piece(const eq_piece *piece)
{
    eq_result result = EQ_MORE;
    uint32_t done = 0;
    while (result == EQ_MORE || result == EQ_FULL) {
        uint32_t taken = 0;
        result = eq_moon_push_i32(&station, 0, piece->start_ns, piece->rate_hz, piece->samples + done, piece->n - done,
                                  &taken);
        done += taken;
        hand_over_events();
        k_yield(); /* to threads of the same priority */
    }
    if (result != EQ_OK) {
        LOG_ERR("samples refused: %d", (int)result);
    }
}

static void detect(void *a, void *b, void *c)
{
    eq_piece piece;
    ARG_UNUSED(a);
    ARG_UNUSED(b);
    ARG_UNUSED(c);
    if (eq_moon_selftest(&station) != 0) {
        LOG_ERR("the network gives other results than at export");
        return;
    }
    eq_moon_init(&station, 1);
    while (k_msgq_get(&eq_samples, &piece, K_FOREVER) == 0) {
        take_piece(&piece);
    }
}

K_THREAD_DEFINE(eq_thread, EQ_STACK_BYTES, detect, NULL, NULL, NULL, EQ_PRIORITY, 0, 0);
