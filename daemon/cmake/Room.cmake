# dd_room(name SOURCES ... [DEPENDS room...] [LIBS target...] [EXTENSIONS])
#
# A room is the static library dd_<name>. Without EXTENSIONS it is plain C17, so
# that an accidental <uv.h> does not even compile.
function(dd_room name)
    cmake_parse_arguments(ROOM "EXTENSIONS" "" "SOURCES;DEPENDS;LIBS" ${ARGN})
    add_library(dd_${name} STATIC ${ROOM_SOURCES})
    target_include_directories(dd_${name} PUBLIC ${CMAKE_SOURCE_DIR}/daemon)
    target_compile_features(dd_${name} PUBLIC c_std_17)
    target_compile_options(dd_${name} PRIVATE ${DD_WARNINGS} ${DD_HARDENING})
    set_target_properties(dd_${name} PROPERTIES C_VISIBILITY_PRESET hidden)
    if(ROOM_EXTENSIONS)
        set_target_properties(dd_${name} PROPERTIES C_EXTENSIONS ON)
    else()
        set_target_properties(dd_${name} PROPERTIES C_EXTENSIONS OFF)
    endif()
    foreach(dependency ${ROOM_DEPENDS})
        target_link_libraries(dd_${name} PUBLIC dd_${dependency})
    endforeach()
    target_link_libraries(dd_${name} PUBLIC ${ROOM_LIBS})
endfunction()

# dd_unit_test(name SOURCES ... [DEPENDS room...] [LIBS target...] [LABEL unit])
#
# The program test_<name>, run by ctest as <name>. Names are those of the files they
# test, so one that two rooms share begins with its room. A test that expects a failing
# dd_assert() uses tests/lib/abort.h.
function(dd_unit_test name)
    cmake_parse_arguments(TEST "" "LABEL" "SOURCES;DEPENDS;LIBS" ${ARGN})
    if(NOT TEST_LABEL)
        set(TEST_LABEL unit)
    endif()
    add_executable(test_${name} ${TEST_SOURCES})
    target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR})
    target_compile_options(test_${name} PRIVATE ${DD_WARNINGS})
    foreach(dependency ${TEST_DEPENDS})
        target_link_libraries(test_${name} PRIVATE dd_${dependency})
    endforeach()
    target_link_libraries(test_${name} PRIVATE ${TEST_LIBS} dd_test_abort PkgConfig::cmocka)
    add_test(NAME ${name} COMMAND test_${name})
    set_tests_properties(${name} PROPERTIES LABELS ${TEST_LABEL} TIMEOUT 300)
endfunction()
