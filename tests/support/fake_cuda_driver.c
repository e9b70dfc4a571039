/* NVIDIA's driver library as far as the device's code and pycuda call it, on plain host memory.

   Handles are checked: a stream, graph or address that was cut to 32 bits, freed before or never
   made is refused, and so is what needs a current context in a thread that has none. Copies and
   launches on a capturing stream are recorded and done by cuGraphLaunch. */

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, INVALID_HANDLE = 400 };
enum { LOG = 1 << 16, THINGS = 1024, STEPS = 64, DEPTH = 16 };

typedef void (*Work)(long);
typedef struct { void *to; const void *from; size_t bytes; Work work; long which; } Step;
typedef struct { char kind; void *at; size_t bytes; } Thing;
typedef struct { unsigned flags; int is_capturing, mode; Step steps[STEPS]; int count; } Stream;
typedef struct { Step steps[STEPS]; int count; } Graph;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[LOG], failing[64];
static size_t log_end;
static int fail_code;
static Thing things[THINGS];
static size_t used_bytes;
static __thread int depth;

static int enter(const char *name, const char *format, ...)
{
    va_list more;
    pthread_mutex_lock(&lock);
    if (log_end < LOG - 200) {
        log_end += sprintf(log_text + log_end, "%s ", name);
        va_start(more, format);
        log_end += vsnprintf(log_text + log_end, 100, format, more);
        va_end(more);
        log_end += sprintf(log_text + log_end, "\n");
    }
    int code = OK;
    if (strcmp(failing, name) == 0) { code = fail_code; failing[0] = 0; }
    pthread_mutex_unlock(&lock);
    return code;
}

static void *keep(char kind, void *at, size_t bytes)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < THINGS; ++i)
        if (!things[i].kind) {
            things[i] = (Thing){kind, at, bytes};
            used_bytes += bytes;
            break;
        }
    pthread_mutex_unlock(&lock);
    return at;
}

static int is_kept(char kind, const void *at, size_t bytes)
{
    for (int i = 0; i < THINGS; ++i)
        if (things[i].kind == kind && (char *)at >= (char *)things[i].at
            && (char *)at + bytes <= (char *)things[i].at + (things[i].bytes ? things[i].bytes : 1))
            return 1;
    return 0;
}

static int drop(char kind, void *at)
{
    for (int i = 0; i < THINGS; ++i)
        if (things[i].kind == kind && things[i].at == at) {
            used_bytes -= things[i].bytes;
            things[i].kind = 0;
            free(at);
            return OK;
        }
    return INVALID_HANDLE;
}

/* What tests ask. */
const char *fake_calls(void) { return log_text; }
void fake_reset(void) { log_end = 0; log_text[0] = failing[0] = 0; depth = 0; }
void fake_fail(const char *name, int code) { strcpy(failing, name); fail_code = code; }
int fake_live(void) { int n = 0; for (int i = 0; i < THINGS; ++i) n += things[i].kind != 0; return n; }
int fake_depth(void) { return depth; }
static int is_discrete;
void fake_be_discrete(int yes) { is_discrete = yes; }

#define START(name, ...) { int code = enter(name, __VA_ARGS__); if (code) return code; }
#define NEEDS_CONTEXT if (!depth) return INVALID_CONTEXT;

int cuInit(unsigned flags) { START("cuInit", "%u", flags) return OK; }
int cuDriverGetVersion(int *version) { *version = 13000; return OK; }
int cuDeviceGetCount(int *count) { *count = 1; return OK; }
int cuDeviceGet(int *device, int ordinal)
{
    START("cuDeviceGet", "%d", ordinal)
    *device = 0;
    return ordinal ? 101 : OK;
}
int cuDeviceGetName(char *name, int length, int device)
{
    START("cuDeviceGetName", "%d", device)
    snprintf(name, length, "Orin (stand-in)");
    return OK;
}
int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    START("cuDeviceGetAttribute", "%d %d", attribute, device)
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : attribute == 18 ? !is_discrete : 0;
    return OK;
}
int cuDeviceComputeCapability(int *major, int *minor, int device)
{
    *major = 8; *minor = 7;
    return device ? INVALID_VALUE : OK;
}
int cuGetErrorName(int code, const char **name)
{
    *name = code == 900 ? "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED" : "CUDA_ERROR_OF_THE_STAND_IN";
    return OK;
}
int cuGetErrorString(int code, const char **text)
{
    *text = code == OUT_OF_MEMORY ? "out of memory" : "an error of the stand-in";
    return OK;
}

int cuDevicePrimaryCtxRetain(void **context, int device)
{
    START("cuDevicePrimaryCtxRetain", "%d", device)
    *context = (void *)0x7f00deadbee0;
    return OK;
}
int cuDevicePrimaryCtxRelease_v2(int device)
{
    START("cuDevicePrimaryCtxRelease", "%d", device)
    return OK;
}
int cuCtxPushCurrent_v2(void *context)
{
    if (context != (void *)0x7f00deadbee0) return INVALID_CONTEXT;
    if (depth >= DEPTH) abort();
    ++depth;
    return OK;
}
int cuCtxPopCurrent_v2(void **context)
{
    NEEDS_CONTEXT
    --depth;
    *context = (void *)0x7f00deadbee0;
    return OK;
}
int cuCtxGetDevice(int *device) { NEEDS_CONTEXT *device = 0; return OK; }
int cuCtxSynchronize(void) { START("cuCtxSynchronize", "%s", "") NEEDS_CONTEXT return OK; }

int cuMemAlloc_v2(void **at, size_t bytes)
{
    START("cuMemAlloc", "%zu", bytes)
    NEEDS_CONTEXT
    *at = keep('d', calloc(1, bytes), bytes);
    return OK;
}
int cuMemFree_v2(void *at) { START("cuMemFree", "%s", "") NEEDS_CONTEXT return drop('d', at); }
int cuMemHostAlloc(void **at, size_t bytes, unsigned flags)
{
    START("cuMemHostAlloc", "%zu %u", bytes, flags)
    NEEDS_CONTEXT
    *at = keep('h', calloc(1, bytes), bytes);
    return OK;
}
int cuMemFreeHost(void *at) { START("cuMemFreeHost", "%s", "") NEEDS_CONTEXT return drop('h', at); }
int cuMemHostGetDevicePointer_v2(void **device, void *host, unsigned flags)
{
    START("cuMemHostGetDevicePointer", "%u", flags)
    NEEDS_CONTEXT
    *device = host;
    return is_kept('h', host, 1) && !flags ? OK : INVALID_VALUE;
}
int cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes)
{
    NEEDS_CONTEXT
    *total_bytes = (size_t)8 << 30;
    *free_bytes = *total_bytes - used_bytes;
    return OK;
}

int cuStreamCreate(void **stream, unsigned flags)
{
    START("cuStreamCreate", "%u", flags)
    NEEDS_CONTEXT
    Stream *made = calloc(1, sizeof *made);
    made->flags = flags;
    *stream = keep('s', made, 0);
    return OK;
}
int cuStreamDestroy_v2(void *stream)
{
    START("cuStreamDestroy", "%s", "")
    NEEDS_CONTEXT
    return drop('s', stream);
}
int cuStreamSynchronize(void *stream)
{
    START("cuStreamSynchronize", "%s", "")
    NEEDS_CONTEXT
    if (!is_kept('s', stream, 1)) return INVALID_HANDLE;
    return ((Stream *)stream)->is_capturing ? 900 : OK;
}

static void take(Step step)
{
    if (step.work) step.work(step.which);
    else memmove(step.to, step.from, step.bytes);
}
static int queue(Step step, void *stream)
{
    NEEDS_CONTEXT
    if (!is_kept('s', stream, 1)) return INVALID_HANDLE;
    Stream *on = stream;
    if (!on->is_capturing) { take(step); return OK; }
    if (on->count == STEPS) abort();
    on->steps[on->count++] = step;
    return OK;
}
static int copy(void *to, const void *from, size_t bytes, void *stream)
{
    return queue((Step){to, from, bytes, NULL, 0}, stream);
}
/* What an engine queues: a function of the test's, done when the stream comes to it. */
int fake_enqueue(void *stream, Work work, long which)
{
    return queue((Step){NULL, NULL, 0, work, which}, stream);
}
int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream)
{
    START("cuMemcpyHtoDAsync", "%zu", bytes)
    if (!is_kept('d', to, bytes) || !is_kept('h', from, bytes)) return INVALID_VALUE;
    return copy(to, from, bytes, stream);
}
int cuMemcpyDtoHAsync_v2(void *to, void *from, size_t bytes, void *stream)
{
    START("cuMemcpyDtoHAsync", "%zu", bytes)
    if (!is_kept('h', to, bytes) || !is_kept('d', from, bytes)) return INVALID_VALUE;
    return copy(to, from, bytes, stream);
}
int cuMemcpyDtoDAsync_v2(void *to, void *from, size_t bytes, void *stream)
{
    START("cuMemcpyDtoDAsync", "%zu", bytes)
    return copy(to, from, bytes, stream);
}

int cuStreamBeginCapture_v2(void *stream, int mode)
{
    START("cuStreamBeginCapture", "%d", mode)
    if (!is_kept('s', stream, 1)) return INVALID_HANDLE;
    Stream *on = stream;
    if (on->is_capturing) return 901;
    on->is_capturing = 1, on->mode = mode, on->count = 0;
    return OK;
}
int cuStreamEndCapture(void *stream, void **graph)
{
    *graph = NULL;
    if (!is_kept('s', stream, 1)) return INVALID_HANDLE;
    Stream *on = stream;
    if (!on->is_capturing) return 901;
    on->is_capturing = 0;
    START("cuStreamEndCapture", "%d", on->count)
    Graph *made = calloc(1, sizeof *made);
    memcpy(made->steps, on->steps, sizeof made->steps);
    made->count = on->count;
    *graph = keep('g', made, 0);
    return OK;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags)
{
    START("cuGraphInstantiateWithFlags", "%llu", flags)
    if (!is_kept('g', graph, 1)) return INVALID_HANDLE;
    Graph *made = malloc(sizeof *made);
    *made = *(Graph *)graph;
    *executable = keep('x', made, 0);
    return OK;
}
int cuGraphLaunch(void *executable, void *stream)
{
    START("cuGraphLaunch", "%s", "")
    if (!is_kept('x', executable, 1) || !is_kept('s', stream, 1)) return INVALID_HANDLE;
    Graph *graph = executable;
    for (int i = 0; i < graph->count; ++i) take(graph->steps[i]);
    return OK;
}
int cuGraphExecDestroy(void *executable)
{
    START("cuGraphExecDestroy", "%s", "")
    return drop('x', executable);
}
int cuGraphDestroy(void *graph) { START("cuGraphDestroy", "%s", "") return drop('g', graph); }

/* A kernel is a name here; what a launch does is up to the test. */
typedef void (*Launch)(const char *name, const void *arguments, size_t bytes);
static Launch on_launch;
void fake_on_launch(Launch launch) { on_launch = launch; }

int cuModuleLoadDataEx(void **module, const void *image, unsigned count, int *options, void **values)
{
    START("cuModuleLoadDataEx", "%u", count)
    (void)options, (void)values;
    NEEDS_CONTEXT
    *module = keep('m', calloc(1, 1), 0);
    return image ? OK : INVALID_VALUE;
}
int cuModuleUnload(void *module)
{
    START("cuModuleUnload", "%s", "")
    NEEDS_CONTEXT
    return drop('m', module);
}
int cuModuleGetFunction(const char **function, void *module, const char *name)
{
    START("cuModuleGetFunction", "%s", name)
    if (!is_kept('m', module, 1)) return INVALID_HANDLE;
    *function = strcmp(name, "letterbox") ? "upright_crops" : "letterbox";
    return OK;
}
int cuFuncSetBlockShape(const char *function, int x, int y, int z)
{
    START("cuFuncSetBlockShape", "%s %d,%d,%d", function, x, y, z)
    return OK;
}
int cuLaunchKernel(const char *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                   unsigned by, unsigned bz, unsigned shared, void *stream, void **by_pointer,
                   void **buffer)
{
    START("cuLaunchKernel", "%s %u,%u,%u %u,%u,%u %u", function, gx, gy, gz, bx, by, bz, shared)
    NEEDS_CONTEXT
    if (!is_kept('s', stream, 1)) return INVALID_HANDLE;
    if (by_pointer || buffer[0] != (void *)1 || buffer[2] != (void *)2 || buffer[4])
        return INVALID_VALUE;
    if (on_launch) on_launch(function, buffer[1], *(size_t *)buffer[3]);
    return OK;
}
