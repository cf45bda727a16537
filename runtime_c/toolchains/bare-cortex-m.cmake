# ARMv7-M without FPU, SIMD or unaligned access, and no operating system: any Cortex-M3 or better.
# For more, say -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard and the like in a copy.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR armv7-m)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_C_FLAGS_INIT "-mcpu=cortex-m3 -mthumb -mno-unaligned-access -ffreestanding")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-nostdlib")
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(DMT_OPTIMIZE "-Os") # in place of cflags.txt's -O3
set(DMT_PREFER size)   # of kernels that do the same: the short ones
set(DMT_BARE cortex-m)
