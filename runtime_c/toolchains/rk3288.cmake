# Rockchip RK3288: four Cortex-A17, hard-float Linux, static programs. Same flags as `make rk3288`.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7)
set(CMAKE_C_COMPILER arm-linux-gnueabihf-gcc)
set(CMAKE_C_FLAGS_INIT "-mcpu=cortex-a17 -mfpu=neon-vfpv4 -mfloat-abi=hard -Werror")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(DMT_THREADS 4) # what `demitasse embed` and `pack` size the arena for
