/* A board whose driver reads samples on the standard input and whose receiver prints events. */
#include <string.h>

#include "eq_zephyr.h"
#include "pieces.h"

void eq_thread(void);

int k_msgq_put(struct k_msgq *queue, const void *data, k_timeout_t timeout)
{
    eq_moon_event event;
    if (queue != &eq_events || queue->msg_size != sizeof event || timeout.ticks != 0) {
        return -1;
    }
    memcpy(&event, data, sizeof event);
    PRINT_EVENT(event);
    return 0;
}

int k_msgq_get(struct k_msgq *queue, void *data, k_timeout_t timeout)
{
    eq_piece piece;
    if (queue != &eq_samples || queue->msg_size != sizeof piece || timeout.ticks != -1) {
        return -1;
    }
    piece.n = next_piece(&piece.start_ns, &piece.rate_hz, piece.samples, EQ_PIECE_SAMPLES);
    memcpy(data, &piece, sizeof piece);
    return piece.n > 0 ? 0 : -1;
}

void k_yield(void)
{
}

int main(void)
{
    eq_thread();
    return 0;
}
