# -DDD_SANITIZE=address,undefined or thread; failures end the process.
if(DD_SANITIZE)
    add_compile_options(-fsanitize=${DD_SANITIZE} -fno-sanitize-recover=all
                        -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${DD_SANITIZE})
endif()
if(DD_COVERAGE)
    add_compile_options(--coverage)
    add_link_options(--coverage)
endif()
if(DD_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
