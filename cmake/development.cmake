# Flags of our own tests, benchmarks and examples; never of a consumer.

add_library(qtk_development INTERFACE)
target_compile_options(qtk_development INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef $<$<BOOL:${QTK_WERROR}>:-Werror>)
if(QTK_SANITIZE)
  target_compile_options(qtk_development INTERFACE
    -fsanitize=${QTK_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    # g++ 12 with sanitizers sees uninitialized members of std::function in its own <regex>.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(qtk_development INTERFACE -fsanitize=${QTK_SANITIZE})
  target_compile_definitions(qtk_development INTERFACE _GLIBCXX_ASSERTIONS)
  # Operators of graphs and their tests: with sanitizers -O0 compiles in 40 % of the time of -O1.
  set(qtk_quick_to_compile -O0)
endif()
target_link_libraries(qtk_kernels PRIVATE $<BUILD_INTERFACE:qtk_development>)
target_link_libraries(qtk_graph PRIVATE $<BUILD_INTERFACE:qtk_development>)
target_compile_options(qtk_graph PRIVATE ${qtk_quick_to_compile})
