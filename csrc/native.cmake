# What the packages' builds share: pybind11, the extension `_native`, CUDA where it is asked for.

set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# VIDGAP_CUDA, as option or environment variable: AUTO (where nvcc is), 1 (nvcc must be there), 0.
if(NOT DEFINED VIDGAP_CUDA)
  set(VIDGAP_CUDA "$ENV{VIDGAP_CUDA}")
  if(VIDGAP_CUDA STREQUAL "")
    set(VIDGAP_CUDA AUTO)
  endif()
endif()

# A macro: enable_language must run in the scope of the project's top.
macro(vidgap_find_cuda)
  set(VIDGAP_HAS_CUDA OFF)
  if(VIDGAP_CUDA)
    find_program(VIDGAP_NVCC nvcc HINTS ENV CUDA_HOME PATH_SUFFIXES bin)
    if(VIDGAP_NVCC)
      vidgap_choose_architectures()
      set(CMAKE_CUDA_COMPILER "${VIDGAP_NVCC}")
      enable_language(CUDA)
      set(VIDGAP_HAS_CUDA ON)
    elseif(NOT VIDGAP_CUDA STREQUAL "AUTO")
      message(FATAL_ERROR "VIDGAP_CUDA=${VIDGAP_CUDA}, but nvcc is neither on PATH nor in CUDA_HOME/bin")
    endif()
  endif()
endmacro()

# Machine code for those of sm_80, 90, 100, 120 that this nvcc knows, and PTX for what comes later.
function(vidgap_choose_architectures)
  if(DEFINED CMAKE_CUDA_ARCHITECTURES)
    return()
  endif()
  execute_process(COMMAND "${VIDGAP_NVCC}" --list-gpu-arch OUTPUT_VARIABLE known)
  set(chosen "")
  foreach(architecture 80 90 100 120)
    if(known MATCHES "compute_${architecture}\n")
      list(APPEND chosen "${architecture}-real")
    endif()
  endforeach()
  if(known MATCHES "compute_90\n")
    list(APPEND chosen "90-virtual")
  endif()
  set(CMAKE_CUDA_ARCHITECTURES "${chosen}" PARENT_SCOPE)
endfunction()

# Adds the extension module `_native` of PACKAGE.
function(vidgap_add_extension package)
  set(PYBIND11_FINDPYTHON ON)
  find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
  # Without build isolation CMake does not see an environment's site-packages by itself.
  execute_process(COMMAND "${Python_EXECUTABLE}" -m pybind11 --cmakedir
                  OUTPUT_VARIABLE hint OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  find_package(pybind11 CONFIG REQUIRED HINTS "${hint}")
  # Without its extras: optimising over files would mix code for different processors.
  pybind11_add_module(_native NO_EXTRAS ${ARGN})
  target_link_options(_native PRIVATE $<$<AND:$<CONFIG:Release>,$<PLATFORM_ID:Linux>>:-Wl,-s>)
  target_include_directories(_native PRIVATE "${VIDGAP_CSRC}")
  target_compile_options(_native PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-psabi>)
  if(VIDGAP_HAS_CUDA)
    string(REPLACE ";" " " architectures "${CMAKE_CUDA_ARCHITECTURES}")
    target_compile_definitions(_native PRIVATE VIDGAP_CUDA_ARCHITECTURES="${architectures}")
    target_include_directories(_native PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
    set_target_properties(_native PROPERTIES CUDA_RUNTIME_LIBRARY Static)
    target_compile_options(_native PRIVATE
      $<$<COMPILE_LANGUAGE:CUDA>:--threads=2 --compress-mode=size>)
  endif()
  if(NOT CMAKE_CROSSCOMPILING)  # what cannot be loaded fails the build, not the user's first call
    add_custom_command(TARGET _native POST_BUILD COMMAND "${CMAKE_COMMAND}" -E env
      "PYTHONPATH=$<TARGET_FILE_DIR:_native>" "LD_BIND_NOW=1" "${Python_EXECUTABLE}" -c "import _native")
  endif()
  install(TARGETS _native DESTINATION "${package}")
endfunction()
