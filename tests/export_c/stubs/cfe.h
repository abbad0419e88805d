/* What the example application uses of cFE 7, as its headers declare it; cfs_bus.c behaves like a processor with it. */
#ifndef CFE_H
#define CFE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint16_t uint16;
typedef uint32_t uint32;
typedef int32_t int32;
typedef int32_t CFE_Status_t;
typedef size_t CFE_MSG_Size_t;
typedef uint32 CFE_SB_PipeId_t;
typedef uint32 CFE_ES_CDSHandle_t;
typedef struct {
    uint32 Value;
} CFE_SB_MsgId_t;
typedef struct {
    uint8_t Byte[6];
} CFE_MSG_Message_t;
typedef struct {
    CFE_MSG_Message_t Msg;
    uint8_t Time[6];
    uint8_t Spare[4];
} CFE_MSG_TelemetryHeader_t;
typedef union {
    CFE_MSG_Message_t Msg;
    long long int LongInt;
    long double LongDouble;
} CFE_SB_Buffer_t;

#define CFE_SUCCESS ((CFE_Status_t)0)
#define CFE_ES_CDS_ALREADY_EXISTS ((CFE_Status_t)0x4400000d)
#define CFE_STATUS_EXTERNAL_RESOURCE_FAIL ((CFE_Status_t)0xc8000005)
#define CFE_SB_PEND_FOREVER (-1)
#define CFE_MSG_PTR(header) (&((header).Msg))

enum { CFE_EVS_EventFilter_BINARY = 0 };
enum { CFE_EVS_EventType_ERROR = 3, CFE_EVS_EventType_CRITICAL = 4 };
enum { CFE_ES_RunStatus_APP_RUN = 1, CFE_ES_RunStatus_APP_EXIT = 2, CFE_ES_RunStatus_APP_ERROR = 3 };

static inline CFE_SB_MsgId_t CFE_SB_ValueToMsgId(uint32 value)
{
    const CFE_SB_MsgId_t id = {value};
    return id;
}

CFE_Status_t CFE_EVS_Register(const void *filters, uint16 n_filters, uint16 scheme);
CFE_Status_t CFE_EVS_SendEvent(uint16 id, uint16 type, const char *format, ...);
CFE_Status_t CFE_SB_CreatePipe(CFE_SB_PipeId_t *pipe, uint16 depth, const char *name);
CFE_Status_t CFE_SB_Subscribe(CFE_SB_MsgId_t id, CFE_SB_PipeId_t pipe);
CFE_Status_t CFE_SB_ReceiveBuffer(CFE_SB_Buffer_t **buffer, CFE_SB_PipeId_t pipe, int32 timeout);
CFE_Status_t CFE_SB_TransmitMsg(const CFE_MSG_Message_t *message, bool is_origination);
void CFE_SB_TimeStampMsg(CFE_MSG_Message_t *message);
CFE_Status_t CFE_MSG_Init(CFE_MSG_Message_t *message, CFE_SB_MsgId_t id, CFE_MSG_Size_t size);
CFE_Status_t CFE_MSG_GetSize(const CFE_MSG_Message_t *message, CFE_MSG_Size_t *size);
CFE_Status_t CFE_ES_RegisterCDS(CFE_ES_CDSHandle_t *handle, size_t size, const char *name);
CFE_Status_t CFE_ES_CopyToCDS(CFE_ES_CDSHandle_t handle, const void *data);
CFE_Status_t CFE_ES_RestoreFromCDS(void *data, CFE_ES_CDSHandle_t handle);
bool CFE_ES_RunLoop(uint32 *run_status);
void CFE_ES_ExitApp(uint32 run_status);
#endif
