/* The detector of model moon as an application of NASA's core Flight System (cFS 7): samples come in packets over the
   software bus, events leave as telemetry, the state is kept in the critical data store.

   For a mission: its own message identifiers, packets, pipe depth and event numbers. */
#include <string.h>

#include "cfe.h"
#include "eq_moon.h"

#define EQ_APP_SAMPLES_MID 0x1890 /* of the seismometer's packets */
#define EQ_APP_EVENT_MID 0x0890   /* of the telemetry */
#define EQ_APP_PIPE_DEPTH 16
#define EQ_APP_MOST_SAMPLES 64
#define EQ_APP_STATE_BYTES 16384   /* more than eq_moon_save needs: it says EQ_SIZE otherwise */
#define EQ_APP_PACKETS_A_SAVE 1000 /* how often the state goes to the critical data store */
#define EQ_APP_STARTED_EID 1
#define EQ_APP_REFUSED_EID 2
#define EQ_APP_SELF_TEST_EID 3
#define EQ_APP_STATE_EID 4

typedef struct {
    CFE_MSG_TelemetryHeader_t header;
    int64_t start_ns; /* of the first sample, since 1970 */
    double rate_hz;
    uint32_t n;
    int32_t samples[EQ_APP_MOST_SAMPLES];
} eq_app_samples;

typedef struct {
    CFE_MSG_TelemetryHeader_t header;
    eq_moon_event event;
} eq_app_event;

static struct {
    eq_moon_t station;
    eq_app_event telemetry;
    uint8_t state[EQ_APP_STATE_BYTES];
    CFE_ES_CDSHandle_t store;
    CFE_SB_PipeId_t pipe;
    uint32_t n_packets;
} app;

void EQ_APP_Main(void);

static void send_events(void)
{
    while (eq_moon_poll(&app.station, &app.telemetry.event) != 0) {
        CFE_SB_TimeStampMsg(CFE_MSG_PTR(app.telemetry.header));
        (void)CFE_SB_TransmitMsg(CFE_MSG_PTR(app.telemetry.header), true);
    }
}

/* Pushes a packet to its end. Each call of the detector is short: a task of higher priority runs in between. */
static void take_packet(const eq_app_samples *packet)
{
    eq_result result = EQ_MORE;
    uint32_t done = 0;
    if (packet->n > EQ_APP_MOST_SAMPLES) {
        (void)CFE_EVS_SendEvent(EQ_APP_REFUSED_EID, CFE_EVS_EventType_ERROR, "packet of %u samples", (unsigned)packet->n);
        return;
    }
    while (result == EQ_MORE || result == EQ_FULL) {
        uint32_t taken = 0;
        result = eq_moon_push_i32(&app.station, 0, packet->start_ns, packet->rate_hz, packet->samples + done,
                                  packet->n - done, &taken);
        done += taken;
        send_events();
    }
    if (result != EQ_OK) {
        (void)CFE_EVS_SendEvent(EQ_APP_REFUSED_EID, CFE_EVS_EventType_ERROR, "samples refused: %d", (int)result);
    }
}

static void store_state(void)
{
    uint32_t n = 0;
    if (eq_moon_save(&app.station, app.state, sizeof app.state, &n) != EQ_OK
        || CFE_ES_CopyToCDS(app.store, app.state) != CFE_SUCCESS) {
        (void)CFE_EVS_SendEvent(EQ_APP_STATE_EID, CFE_EVS_EventType_ERROR, "state of %u bytes not kept", (unsigned)n);
    }
}

/* Goes on from the state that the application had before it or the processor was started again. */
static void restore_state(void)
{
    const CFE_Status_t status = CFE_ES_RegisterCDS(&app.store, sizeof app.state, "EQ_STATE");
    uint32_t n = 0;
    if (status == CFE_ES_CDS_ALREADY_EXISTS && CFE_ES_RestoreFromCDS(app.state, app.store) == CFE_SUCCESS) {
        (void)eq_moon_save(&app.station, NULL, 0, &n); /* the length is that of every state of this export */
        (void)eq_moon_restore(&app.station, app.state, n); /* a damaged one changes nothing */
    }
}

static CFE_Status_t start(void)
{
    CFE_Status_t status = CFE_EVS_Register(NULL, 0, CFE_EVS_EventFilter_BINARY);
    if (status == CFE_SUCCESS) {
        status = CFE_SB_CreatePipe(&app.pipe, EQ_APP_PIPE_DEPTH, "EQ_PIPE");
    }
    if (status == CFE_SUCCESS) {
        status = CFE_SB_Subscribe(CFE_SB_ValueToMsgId(EQ_APP_SAMPLES_MID), app.pipe);
    }
    if (status == CFE_SUCCESS && eq_moon_selftest(&app.station) != 0) {
        (void)CFE_EVS_SendEvent(EQ_APP_SELF_TEST_EID, CFE_EVS_EventType_CRITICAL, "the network gives other results");
        status = CFE_STATUS_EXTERNAL_RESOURCE_FAIL;
    }
    if (status == CFE_SUCCESS) {
        eq_moon_init(&app.station, 1);
        restore_state();
        status = CFE_MSG_Init(CFE_MSG_PTR(app.telemetry.header), CFE_SB_ValueToMsgId(EQ_APP_EVENT_MID),
                              sizeof app.telemetry);
    }
    return status;
}

static void take_message(const CFE_SB_Buffer_t *buffer)
{
    eq_app_samples packet;
    CFE_MSG_Size_t size = 0;
    (void)CFE_MSG_GetSize(&buffer->Msg, &size);
    if (size != sizeof packet) {
        (void)CFE_EVS_SendEvent(EQ_APP_REFUSED_EID, CFE_EVS_EventType_ERROR, "packet of %u bytes", (unsigned)size);
        return;
    }
    memcpy(&packet, buffer, sizeof packet); /* the bus aligns buffers for its own types only */
    take_packet(&packet);
    app.n_packets++;
    if (app.n_packets % EQ_APP_PACKETS_A_SAVE == 0) {
        store_state();
    }
}

void EQ_APP_Main(void)
{
    uint32 run_status = CFE_ES_RunStatus_APP_RUN;
    CFE_SB_Buffer_t *buffer = NULL;
    if (start() != CFE_SUCCESS) {
        run_status = CFE_ES_RunStatus_APP_ERROR;
    }
    while (CFE_ES_RunLoop(&run_status)) {
        if (CFE_SB_ReceiveBuffer(&buffer, app.pipe, CFE_SB_PEND_FOREVER) == CFE_SUCCESS) {
            take_message(buffer);
        }
    }
    store_state();
    CFE_ES_ExitApp(run_status);
}
