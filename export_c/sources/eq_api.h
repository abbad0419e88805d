/* The detector of one station: samples in, events out. Equal to edgequake.edge.detection.detector to the bit.

   Included through the header of a model (eq_NAME.h), which sets the prefix of the names and the sizes. All memory is
   in the caller's eq_t, which holds no pointer; nothing is allocated, no function is recursive, no time is read.

   A piece is a run of samples of one channel at consecutive times. Pieces are pushed in order of start time, over all
   channels. One call does at most one frame of work: while it returns EQ_MORE, call it again with what is left. */
#include <stdint.h>

#ifndef EQ_RESULTS
#define EQ_RESULTS
typedef enum {
    EQ_OK = 0,      /* the piece is taken */
    EQ_MORE = 1,    /* work is left: call again with the samples that were not taken (perhaps none) */
    EQ_FULL = 2,    /* the queue of events is full: poll, then call again as after EQ_MORE */
    EQ_LEAD = 3,    /* the channel is ahead of the others by more than the rows that fit: push theirs, then call again */
    EQ_RATE = 4,    /* the sampling rate is not one that was exported, or changes within a channel */
    EQ_CHANNEL = 5, /* no such channel */
    EQ_TIME = 6,    /* a start time before 1824 or after 2115 */
    EQ_CLOCK = 7,   /* the channel's clock has drifted off the grid by half a sample: resample ahead of this code */
    EQ_STATE = 8,   /* n is not what was left of the piece, or a saved state is damaged or another model's */
    EQ_SIZE = 9     /* the buffer is too small */
} eq_result;
#endif

#define EQ_QUEUE 8 /* events that wait to be polled */

typedef struct {
    int64_t onset_ns;   /* nanoseconds since 1970-01-01 UTC, as all times here; refined from the samples if exported so */
    int64_t stop_ns;    /* the catalogue has the later of this and onset_ns */
    int64_t trigger_ns; /* the trigger's onset: a segment begins with the pre-roll before it */
    float peak_probability; /* largest onset probability */
    int32_t sigma_ms;       /* uncertainty of onset_ns; 0: onsets are not refined */
    int16_t class_index;    /* -1: this export names no classes */
    int16_t reserved;
} eq_event;

/* Gaps and unusable samples of a channel so far. */
typedef struct {
    uint32_t bridged_samples, bridged_gaps, restarts, fill_samples, not_finite_samples, overlap_samples;
} eq_counts;

/* Pieces that follow each other exactly at their sampling rate. */
typedef struct {
    int64_t position; /* of the first sample, on the channel's grid */
    int64_t start_ns;
    double rate_hz;
    double late; /* samples by which it starts later than the grid says */
} eq_chain;

/* Which position on the channel's grid a piece has; edge/features/channel_clock.py states the rule. */
typedef struct {
    int64_t next;      /* position after the newest sample */
    int64_t disproved; /* the longest chain, in samples, whose rate a later piece has shown to be wrong */
    int64_t old_n;     /* samples of `old` */
    double late;       /* samples by which pieces start later than the grid says, on average */
    double drift;      /* of the newest complete chain: samples late per sample */
    eq_chain chain, old;
    int32_t n_agreeing; /* chains in succession that told of the same drift */
    uint8_t has_chain, has_old, has_drift;
} eq_clock;

/* Windows of one grid of samples, and the background that their band powers are measured against. */
typedef struct {
    double values[EQ_MOST_WINDOW];
    double first[EQ_MOST_BANDS][EQ_N_START]; /* levels of the first frames, sorted: their median is the background */
    double level[EQ_MOST_BANDS];             /* background, log10 of power density */
    double share_above[EQ_MOST_BANDS];       /* of the recent frames, those above the background */
    double floor;                            /* power density of rounding */
    int64_t next_block;                      /* index of the next window to be completed */
    int32_t n_valid;                         /* valid frames since the restart */
    int32_t n_flat;                          /* windows in succession without any change */
    int32_t n_values;                        /* samples of the next window that are there */
    int32_t n_skip;                          /* samples to drop before the first window */
    uint8_t valid[EQ_MOST_WINDOW];
    uint8_t fresh; /* the next window does not continue the one before */
} eq_grid;

/* The spike filter: the newest samples. */
typedef struct {
    double values[5];
    uint8_t valid[5];
    uint8_t n; /* of a run: at most 6, when samples have come out before */
} eq_spikes;

typedef struct {
    eq_clock clock;
    eq_grid grids[EQ_N_GRIDS];
    eq_spikes spikes;
    double last_value;      /* last true sample */
    double from_value;      /* the true sample before it, from which a gap is interpolated */
    double last_certain;    /* last sample that is no fill value */
    double taps[EQ_TAPS];   /* decimation: ring of the newest samples */
    int64_t last_position, from_position;
    int64_t next_position;  /* of the next sample to leave the gap rule; beyond last_position: none */
    int64_t piece_position; /* of the next sample of the piece in progress */
    eq_counts counts;
    uint32_t piece_left; /* samples of the piece in progress that were not taken yet */
    int32_t n_ring;      /* samples of this run in the ring, at most as many as there are taps */
    int32_t longest_bridge; /* samples of the longest gap that is interpolated */
    int32_t i_ring;      /* where the next one goes */
    uint8_t taps_valid[EQ_TAPS];
    uint8_t rate; /* index among the exported rates, plus 1; 0: no sample yet */
    uint8_t has_last, has_certain, fresh, ring_fresh, in_piece, is_integer, is_vertical;
#if EQ_N_GRIDS > 1
    int64_t waiting_block;                        /* of the first of the frames of high bands that wait */
    int16_t waiting[EQ_WAITING][EQ_HIGH_BANDS];   /* steps of a decade above the background */
    int32_t n_waiting;
#endif
#if EQ_HAS_ONSET
    int64_t kept_position; /* of the newest sample that has left the gap rule */
    int32_t kept[EQ_KEPT]; /* ring of the newest samples as they came; floats by their bits; INT32_MIN: missing */
    int32_t i_kept;        /* where the newest is */
    int32_t n_kept;
#endif
} eq_channel;

/* Sums over the channels of one block, in steps of a decade: exact in any order. */
typedef struct {
    int16_t sums[EQ_HAS_CONTRAST + 1][EQ_N_BANDS + EQ_HIGH_BANDS]; /* [1]: vertical components, where they count */
    uint8_t n_own[EQ_HAS_CONTRAST + 1], n_high[EQ_HAS_CONTRAST + 1]; /* valid channels */
    uint8_t n_queued;                                              /* channels, valid or not; 0: no such row */
} eq_row;

typedef struct {
    int16_t c[EQ_UNITS];
    int8_t h[EQ_UNITS];
    int8_t contexts[EQ_CONTEXT_VALUES]; /* of each convolution: the rows that its kernel covers, the newest last */
} eq_network;

typedef struct {
    double threshold;
    double peak, rise_peak;
    int64_t rise_ns, rise_onset_ns, beginning_ns, open_rise_ns, open_onset_ns, active_until_ns, course_ns, sure_ns;
    uint32_t n_short_rises;
    uint8_t is_armed, has_rise, has_beginning, is_open, has_course, has_sure, is_told;
} eq_trigger;

#if EQ_HAS_ONSET
/* The onset of the event that was opened last. */
typedef struct {
    int64_t rise_ns;  /* of its probability */
    int64_t onset_ns; /* refined */
    int32_t sigma_ms;
    int32_t stage, channel; /* of the examination, which is not saved: it begins again */
    uint8_t is_waiting;     /* for samples, or for the end of the examination */
    uint8_t is_queued;      /* the event is the newest in the queue */
} eq_onset;

/* Scratch of an examination; positions are counted from the rise. */
typedef struct {
    double gain[EQ_ONSET_FRAMES];     /* nats by which a rise at the end of each frame is likelier than none */
#if EQ_N_CHANNELS > 1
    double recorded[EQ_ONSET_FRAMES]; /* share of each frame that any channel has */
#endif
    double power[EQ_ONSET_FRAMES];    /* of the channel examined: sum of squares, then amplitude */
    double line[EQ_ONSET_TAPS];       /* its newest samples, before the band-pass; the newest last */
    eq_spikes spikes;
    double smallest;               /* change between its samples */
    double last_value, from_value; /* the newest true samples, between which gaps are interpolated */
    double n_before, sum_before, n_all, sum_all;
    double most, total; /* of the gains; sum of the edges' probabilities */
    int64_t rise; /* position on the channel's grid */
    int32_t at, next, last, from, n_line, edge, n_frames, first, frame, width;
    uint16_t counts[EQ_ONSET_FRAMES]; /* samples of each frame */
    uint8_t line_valid[EQ_ONSET_TAPS];
    uint8_t is_second;
} eq_refinement;
#endif

typedef struct {
    union { /* scratch of a frame, or of an onset: never saved */
        double spectrum[EQ_MOST_WINDOW];
#if EQ_HAS_ONSET
        eq_refinement refinement;
#endif
    } scratch;
    int16_t gates[4 * EQ_UNITS];     /* scratch of a network step */
    int64_t t0_ns;                   /* start of the first piece, where the grid begins */
    int64_t watermark_ns;            /* no later piece starts before it */
    int64_t next_block;              /* of the rows */
    int64_t decided_until_ns;
    uint32_t restarts, n_rows, n_let_go; /* n_let_go: blocks that came after their row */
    int32_t queue_first, queue_length;
    eq_event queue[EQ_QUEUE];
    eq_trigger trigger;
#if EQ_HAS_ONSET
    eq_onset onset;
#endif
    eq_network network;
    eq_row rows[EQ_RING]; /* block b at b mod EQ_RING */
    eq_channel channels[EQ_N_CHANNELS];
    uint8_t has_begun, is_started, has_decided;
} eq_t;

/* Starts anew; `sensitivity` is 0 low, 1 normal or 2 high. */
void eq_init(eq_t *s, int sensitivity);

/* Sets the onset probability that declares an event. */
void eq_set_threshold(eq_t *s, double probability);

/* Says whether a channel is the vertical component; by default channel 0 is. Counts only for models with contrasts. */
eq_result eq_set_vertical(eq_t *s, int channel, int is_vertical);

/* Takes the n samples of a piece that starts at start_ns, or the rest of the piece in progress, whose start and rate
   are then not looked at. *taken: how many samples were taken in this call. An error leaves the state as it was. */
eq_result eq_push_i32(eq_t *s, int channel, int64_t start_ns, double rate_hz, const int32_t *x, uint32_t n,
                      uint32_t *taken);
eq_result eq_push_f32(eq_t *s, int channel, int64_t start_ns, double rate_hz, const float *x, uint32_t n,
                      uint32_t *taken);
eq_result eq_push_f64(eq_t *s, int channel, int64_t start_ns, double rate_hz, const double *x, uint32_t n,
                      uint32_t *taken);

/* Says that no later piece starts before now_ns, so that rows need not wait for a channel that is silent; EQ_MORE and
   EQ_FULL as for a push. A push says the same of its start. */
eq_result eq_advance(eq_t *s, int64_t now_ns);

/* Ends the record: EQ_MORE and EQ_FULL as for a push; EQ_LEAD: push the rest of the pieces in progress first.
   Pieces can still be pushed afterwards. */
eq_result eq_finish(eq_t *s);

/* Takes the oldest event out of the queue; returns 1, or 0 where there is none. */
int eq_poll(eq_t *s, eq_event *event);

/* Earliest possible onset of an event that is still to come: raw samples older than the pre-roll before it are wanted
   no more. INT64_MIN before the first sample. */
int64_t eq_horizon_ns(const eq_t *s);

eq_counts eq_channel_counts(const eq_t *s, int channel);

/* Writes the state, for any machine to read; *n_bytes is set to its length, also where EQ_SIZE says it does not fit. */
eq_result eq_save(eq_t *s, uint8_t *bytes, uint32_t size, uint32_t *n_bytes);

/* Reads a state that eq_save wrote for the same export. EQ_STATE: it is damaged or another model's; *s is untouched. */
eq_result eq_restore(eq_t *s, const uint8_t *bytes, uint32_t n_bytes);

/* Runs the network on 256 fixed rows; returns a check value of its outputs and its last state. eq_NAME_selftest.c
   compares it with the runner's. The scratch is overwritten: eq_init it afterwards. */
uint32_t eq_network_check(eq_t *scratch);

/* In eq_NAME_selftest.c: returns 0 where the network gives the runner's bits. Overwrites the scratch, as above. */
int eq_selftest(eq_t *scratch);
