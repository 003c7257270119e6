# Warnings that gcc 12 and clang 14 both know.
set(DD_WARNINGS
    -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -Wformat=2 -Wundef -Wcast-align -Wimplicit-fallthrough -Wpointer-arith)
if(DD_WERROR)
    list(APPEND DD_WARNINGS -Werror)
endif()

# Release builds are hardened; assertions stay on in all of them.
set(DD_HARDENING -fstack-protector-strong)
if(NOT DD_SANITIZE AND CMAKE_BUILD_TYPE MATCHES "Rel")
    list(APPEND DD_HARDENING -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
# CMake's own flags for these define NDEBUG.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2")
set(CMAKE_C_FLAGS_MINSIZEREL "-Os")
# -pie for executables only: on a shared library the linker refuses it.
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_link_options(-Wl,-z,relro,-z,now)
