/* A stand-in for NVIDIA's libnvidia-ml.so.1 with two GPUs, for tests without one.

   Signatures and structures are those of the NVML API reference,
   https://docs.nvidia.com/deploy/nvml-api/ (version 12). NVML_FAILS_AFTER is the number of looks at
   utilisation after which GPU 1 is lost; GPU 1 does not know its power, as some laptops' do not.
   NVML_PID is a process with memory on GPU 0. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int nvmlReturn_t;
enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };

typedef struct { int index; const char *name, *uuid; } device;
typedef device *nvmlDevice_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct {
    unsigned int pid;
    unsigned long long usedGpuMemory;
    unsigned int gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_v3_t;

static device devices[] = {{0, "Test GPU A", "GPU-aaaaaaaa-0000"}, {1, "Test GPU B", "GPU-bbbbbbbb-0000"}};
static int looks = 0;

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) { return SUCCESS; }
nvmlReturn_t nvmlShutdown(void) { return SUCCESS; }
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return SUCCESS; }

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *handle) {
    if (index > 1) return INVALID_ARGUMENT;
    *handle = &devices[index];
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t handle, char *name, unsigned int length) {
    snprintf(name, length, "%s", handle->name);
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t handle, char *uuid, unsigned int length) {
    snprintf(uuid, length, "%s", handle->uuid);
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t handle, nvmlMemory_t *memory) {
    memory->total = 16000000000ULL;
    memory->used = 4000000000ULL + 1000000000ULL * handle->index;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t handle, nvmlUtilization_t *rates) {
    const char *limit = getenv("NVML_FAILS_AFTER");
    if (handle->index == 1 && limit && ++looks > atoi(limit)) return GPU_IS_LOST;
    rates->gpu = 80;
    rates->memory = 10;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t handle, unsigned int *milliwatts) {
    if (handle->index == 1) return NOT_SUPPORTED;
    *milliwatts = 150000;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t handle, int sensor, unsigned int *degrees) {
    *degrees = 61;
    return sensor == 0 ? SUCCESS : INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t handle, int clock, unsigned int *mhz) {
    *mhz = 1800;
    return clock == 1 ? SUCCESS : INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(
        nvmlDevice_t handle, unsigned int *count, nvmlProcessInfo_v3_t *infos) {
    const char *pid = getenv("NVML_PID");
    if (handle->index == 1 || !pid) { *count = 0; return SUCCESS; }
    if (*count < 1 || !infos) { *count = 1; return INSUFFICIENT_SIZE; }
    memset(infos, 0, sizeof *infos);
    infos[0].pid = (unsigned int)atoi(pid);
    infos[0].usedGpuMemory = 1234000000ULL;
    *count = 1;
    return SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t code) { return code == GPU_IS_LOST ? "GPU is lost" : "Error"; }
