/* The release, from CMake's project version. */
#pragma once

#ifndef DD_VERSION
#define DD_VERSION "0.1.0"
#endif
