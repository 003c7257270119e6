# Targets that read the sources instead of building them; CI calls the same scripts.
add_custom_target(format
    COMMAND bash ${CMAKE_SOURCE_DIR}/tests/lint/format.sh fix
    COMMENT "clang-format -i" VERBATIM)
add_custom_target(format-check
    COMMAND bash ${CMAKE_SOURCE_DIR}/tests/lint/format.sh check
    COMMENT "clang-format --dry-run" VERBATIM)
add_custom_target(tidy
    COMMAND bash ${CMAKE_SOURCE_DIR}/tests/lint/tidy.sh ${CMAKE_BINARY_DIR}
    COMMENT "clang-tidy" VERBATIM)
