# Included at project() by the static presets, before a language is enabled: the compiler
# and the libraries are made first, and nothing of the machine that builds is found.
execute_process(
    COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/libraries.sh ${DD_STATIC_ARCH}
    COMMAND_ERROR_IS_FATAL ANY)
file(GLOB prefixes ${DD_STATIC}/*/lib/pkgconfig)
list(JOIN prefixes ":" prefixes)
set(ENV{PKG_CONFIG_LIBDIR} "${prefixes}")
set(ENV{PKG_CONFIG_PATH} "")
set(CMAKE_C_LINK_EXECUTABLE "${DD_STATIC}/bin/ld <OBJECTS> -o <TARGET> <LINK_LIBRARIES>")
string(APPEND CMAKE_C_FLAGS_INIT " -ffunction-sections -fdata-sections")
string(APPEND CMAKE_C_FLAGS_INIT " -fno-unwind-tables -fno-asynchronous-unwind-tables")
# For images without a file of authorities, as an empty one.
set(DD_ROOTS ${DD_STATIC}/roots/roots.pem)
