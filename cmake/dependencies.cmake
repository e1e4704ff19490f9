# Header-only packages are used by their include directories alone: Debian's xsimd target links a
# library (-lxtl) that Debian does not ship, and protozero has no CMake package.

function(qtk_header_package target header)
  find_path(${target}_INCLUDE ${header})
  mark_as_advanced(${target}_INCLUDE)
  if(${target}_INCLUDE)
    add_library(${target} INTERFACE)
    # Directories that the compiler searches anyway must not be repeated (it would change their order).
    if(NOT ${target}_INCLUDE STREQUAL "/usr/include")
      target_include_directories(${target} SYSTEM INTERFACE ${${target}_INCLUDE})
    endif()
  endif()
endfunction()

qtk_header_package(qtk_xsimd xsimd/xsimd.hpp)
qtk_header_package(qtk_protozero protozero/pbf_reader.hpp)
qtk_header_package(qtk_json nlohmann/json.hpp)
qtk_header_package(qtk_cli11 CLI/CLI.hpp)

# qtk_require(<what for> <target> <Debian package>...): says what to install.
function(qtk_require purpose target)
  if(NOT TARGET ${target})
    list(JOIN ARGN " " packages)
    message(FATAL_ERROR "${purpose} need ${target}: apt-get install ${packages}")
  endif()
endfunction()
