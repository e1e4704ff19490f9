# Cross-compiling to AArch64 with Debian's g++-aarch64-linux-gnu; tests run under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# Header-only packages of the host serve the target too, but /usr/include as a whole would hide the
# target's own headers: link just these folders into one of our own.
set(QTK_HEADERS ${CMAKE_BINARY_DIR}/host-headers)
file(MAKE_DIRECTORY ${QTK_HEADERS})
foreach(package xsimd catch2 protozero nlohmann CLI)
  if(EXISTS /usr/include/${package} AND NOT EXISTS ${QTK_HEADERS}/${package})
    file(CREATE_LINK /usr/include/${package} ${QTK_HEADERS}/${package} SYMBOLIC)
  endif()
endforeach()
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE NEVER)
set(CMAKE_INCLUDE_PATH ${QTK_HEADERS})
set(CMAKE_FIND_USE_CMAKE_SYSTEM_PATH OFF)
