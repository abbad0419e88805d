/* Runs a recorded piece list through the detector on the emulated board; saves the events for the host to compare.

   record.h holds the pieces, and the names of the model's functions as plain ones. */
#include "harness.h"
#include "record.h"
#include <string.h>

static eq_t station;
static eq_event events[64];
static uint8_t saved[sizeof(eq_t) + 4096];

static uint32_t n_events;

static uint8_t examined[1 << 12]; /* of each call: 1 where it examined an onset, 2 where the examination began */
static uint32_t n_calls;
static int32_t stage_before;

static void begin_call(void)
{
    stage_before = station.onset.stage;
    roi_mark_begin();
}

static void end_call(void)
{
    roi_mark_end();
    if (n_calls < sizeof examined) {
        if (stage_before != 0) {
            examined[n_calls] = 1;
        } else if (station.onset.stage != 0) {
            examined[n_calls] = 2;
        }
    }
    n_calls++;
}

static void poll_events(void)
{
    while (n_events < sizeof events / sizeof events[0] && eq_poll(&station, &events[n_events])) {
        n_events++;
    }
}

static int push_piece(const piece *p)
{
    eq_result result = EQ_MORE;
    uint32_t done = 0;
    while (result == EQ_MORE || result == EQ_FULL) {
        uint32_t taken;
        begin_call();
        result = eq_push_i32(&station, p->channel, p->start_ns, p->rate_hz, p->samples + done, p->n - done, &taken);
        end_call();
        done += taken;
        poll_events();
    }
    return result == EQ_OK ? 0 : 1;
}

int main(void)
{
    eq_result result = EQ_MORE;
    uint32_t i, n_bytes = 0;
    int bad;
    roi_mark_begin();
    bad = eq_network_check(&station) != EXPECTED_CHECK; /* the first region: 256 steps of the network */
    roi_mark_end();
    eq_init(&station, SENSITIVITY);
    stack_repaint();
    for (i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        bad |= push_piece(&pieces[i]);
    }
    bad |= eq_save(&station, saved, sizeof saved, &n_bytes) != EQ_OK;
    while (result == EQ_MORE || result == EQ_FULL) {
        begin_call();
        result = eq_finish(&station);
        end_call();
        poll_events();
    }
    put("stack "); put_u32(stack_used()); put("\n");
    put("state "); put_u32(sizeof(eq_t)); put("\n");
    put("rows "); put_u32(station.n_rows); put("\n");
    bad |= n_calls > sizeof examined || save("examined.bin", examined, n_calls) != 0;
    return bad | save("events.bin", events, n_events * sizeof events[0]) | save("state.bin", saved, n_bytes);
}
