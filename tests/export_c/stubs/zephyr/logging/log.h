/* Messages of the example go to the standard error. */
#include <stdio.h>

#define LOG_MODULE_REGISTER(name) typedef int name##_logs
#define LOG_ERR(...) (void)fprintf(stderr, __VA_ARGS__)
