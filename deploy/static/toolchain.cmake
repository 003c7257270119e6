# A CMake toolchain for what libraries.sh installs; included by x86_64.cmake and arm64.cmake,
# which set DD_STATIC_ARCH and CMAKE_SYSTEM_PROCESSOR.
set(CMAKE_SYSTEM_NAME Linux)
get_filename_component(DD_STATIC "${CMAKE_CURRENT_LIST_DIR}/../../build/static/${DD_STATIC_ARCH}"
                       ABSOLUTE)
set(CMAKE_C_COMPILER ${DD_STATIC}/bin/cc)
set(CMAKE_AR ${DD_STATIC}/bin/ar CACHE FILEPATH "")
set(CMAKE_RANLIB ${DD_STATIC}/bin/ranlib CACHE FILEPATH "")
# Nothing of the machine that builds: programs yes, libraries and headers no.
set(CMAKE_FIND_ROOT_PATH ${DD_STATIC})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
