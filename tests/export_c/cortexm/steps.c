/* Steps of the network from made-up states and rows, each counted on its own. Included after eq_NAME.c by record.h. */
#include "harness.h"
#include "record.h"

static eq_t station;
static uint32_t noise = 1;

/* Bytes without pattern; or, in the first steps, the ends of the range. */
static void fill(void *memory, uint32_t n, int step)
{
    uint8_t *bytes = memory;
    uint32_t i;
    for (i = 0; i < n; i++) {
        noise = noise * 1664525u + 1013904223u;
        bytes[i] = step == 0 ? 0x00 : step == 1 ? 0x7F : step == 2 ? 0x80 : (uint8_t)(noise >> 24);
    }
}

int main(void)
{
    int8_t row[EQ_N_FEATURES], probabilities[EQ_N_OUTPUTS];
    int step;
    for (step = 0; step < 64; step++) {
        fill(&station.network, sizeof station.network, step);
        fill(row, sizeof row, step);
        roi_mark_begin();
        step_network(&station.network, row, station.gates, probabilities);
        roi_mark_end();
    }
    return 0;
}
