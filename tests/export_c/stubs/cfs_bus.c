/* A processor with one application: packets are read on the standard input, telemetry is printed, the critical data
   store is a file of the working folder, which a second run finds. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cfe.h"
#include "eq_moon.h"
#include "pieces.h"

#define MOST 64

static struct {
    CFE_MSG_TelemetryHeader_t header;
    int64_t start_ns;
    double rate_hz;
    uint32_t n;
    int32_t samples[MOST];
} packet;
static struct {
    CFE_MSG_TelemetryHeader_t header;
    eq_moon_event event;
} telemetry;
static uint32 subscribed, published;
static size_t store_bytes;
static int is_over;

void EQ_APP_Main(void);

CFE_Status_t CFE_EVS_Register(const void *filters, uint16 n_filters, uint16 scheme)
{
    return filters == NULL && n_filters == 0 && scheme == CFE_EVS_EventFilter_BINARY ? CFE_SUCCESS : -1;
}

CFE_Status_t CFE_EVS_SendEvent(uint16 id, uint16 type, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(stderr, "event %u of type %u: ", (unsigned)id, (unsigned)type);
    vfprintf(stderr, format, values);
    va_end(values);
    return CFE_SUCCESS;
}

CFE_Status_t CFE_SB_CreatePipe(CFE_SB_PipeId_t *pipe, uint16 depth, const char *name)
{
    *pipe = 7;
    return depth > 0 && name != NULL ? CFE_SUCCESS : -1;
}

CFE_Status_t CFE_SB_Subscribe(CFE_SB_MsgId_t id, CFE_SB_PipeId_t pipe)
{
    subscribed = id.Value;
    return pipe == 7 ? CFE_SUCCESS : -1;
}

CFE_Status_t CFE_SB_ReceiveBuffer(CFE_SB_Buffer_t **buffer, CFE_SB_PipeId_t pipe, int32 timeout)
{
    packet.n = next_piece(&packet.start_ns, &packet.rate_hz, packet.samples, MOST);
    is_over = packet.n == 0;
    *buffer = (CFE_SB_Buffer_t *)(void *)&packet;
    return is_over == 0 && subscribed != 0 && pipe == 7 && timeout == CFE_SB_PEND_FOREVER ? CFE_SUCCESS : -1;
}

CFE_Status_t CFE_MSG_GetSize(const CFE_MSG_Message_t *message, CFE_MSG_Size_t *size)
{
    *size = sizeof packet;
    return message != NULL ? CFE_SUCCESS : -1;
}

CFE_Status_t CFE_MSG_Init(CFE_MSG_Message_t *message, CFE_SB_MsgId_t id, CFE_MSG_Size_t size)
{
    published = id.Value;
    memset(message, 0, size);
    return size == sizeof telemetry ? CFE_SUCCESS : -1;
}

void CFE_SB_TimeStampMsg(CFE_MSG_Message_t *message)
{
    message->Byte[0] = 1;
}

CFE_Status_t CFE_SB_TransmitMsg(const CFE_MSG_Message_t *message, bool is_origination)
{
    memcpy(&telemetry, message, sizeof telemetry);
    if (published == 0 || !is_origination || message->Byte[0] != 1) {
        return -1;
    }
    PRINT_EVENT(telemetry.event);
    return CFE_SUCCESS;
}

CFE_Status_t CFE_ES_RegisterCDS(CFE_ES_CDSHandle_t *handle, size_t size, const char *name)
{
    FILE *file = fopen("store.bin", "rb");
    *handle = 3;
    store_bytes = size;
    if (file == NULL) {
        return name != NULL ? CFE_SUCCESS : -1;
    }
    fclose(file);
    return CFE_ES_CDS_ALREADY_EXISTS;
}

CFE_Status_t CFE_ES_CopyToCDS(CFE_ES_CDSHandle_t handle, const void *data)
{
    FILE *file = fopen("store.bin", "wb");
    const size_t n = file != NULL ? fwrite(data, 1, store_bytes, file) : 0;
    return file != NULL && fclose(file) == 0 && n == store_bytes && handle == 3 ? CFE_SUCCESS : -1;
}

CFE_Status_t CFE_ES_RestoreFromCDS(void *data, CFE_ES_CDSHandle_t handle)
{
    FILE *file = fopen("store.bin", "rb");
    const size_t n = file != NULL ? fread(data, 1, store_bytes, file) : 0;
    return file != NULL && fclose(file) == 0 && n == store_bytes && handle == 3 ? CFE_SUCCESS : -1;
}

bool CFE_ES_RunLoop(uint32 *run_status)
{
    return *run_status == CFE_ES_RunStatus_APP_RUN && is_over == 0;
}

void CFE_ES_ExitApp(uint32 run_status)
{
    exit(run_status == CFE_ES_RunStatus_APP_RUN ? 0 : 1);
}

int main(void)
{
    EQ_APP_Main();
    return 2; /* an application must leave by CFE_ES_ExitApp */
}
