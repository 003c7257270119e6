# Warnings that gcc 12 and clang 14 both know.
set(DD_WARNINGS
    -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -Wformat=2 -Wundef -Wcast-align -Wimplicit-fallthrough -Wpointer-arith)
if(DD_WERROR)
    list(APPEND DD_WARNINGS -Werror)
endif()

# Release builds are hardened; assertions stay on in all of them.
set(DD_HARDENING -fstack-protector-strong -fPIE)
if(NOT DD_SANITIZE AND CMAKE_BUILD_TYPE MATCHES "Rel")
    list(APPEND DD_HARDENING -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2")
add_link_options(-pie -Wl,-z,relro,-z,now)
