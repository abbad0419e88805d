/* What the example uses of Zephyr's kernel; zephyr_board.c runs its thread. */
#ifndef ZEPHYR_KERNEL_H
#define ZEPHYR_KERNEL_H
#include <stddef.h>
#include <stdint.h>

struct k_msgq {
    size_t msg_size;
};
typedef struct {
    int64_t ticks;
} k_timeout_t;

#define K_NO_WAIT ((k_timeout_t){0})
#define K_FOREVER ((k_timeout_t){-1})
#define K_MSGQ_DEFINE(name, size, most, align) struct k_msgq name = {(size)}
#define K_THREAD_DEFINE(name, stack_bytes, entry, a, b, c, priority, options, delay)            \
    typedef char name##_stack_is_large_enough[(stack_bytes) >= 1024 && (priority) >= 0 ? 1 : -1]; \
    void name(void);                                                                            \
    void name(void)                                                                             \
    {                                                                                           \
        entry(a, b, c);                                                                         \
    }                                                                                           \
    typedef int name##_is_defined
#define ARG_UNUSED(x) (void)(x)

int k_msgq_put(struct k_msgq *queue, const void *data, k_timeout_t timeout);
int k_msgq_get(struct k_msgq *queue, void *data, k_timeout_t timeout);
void k_yield(void);
#endif
