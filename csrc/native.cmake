# What the packages' builds share: pybind11, the extension `_native`, CUDA where it is asked for,
# kernels for several instruction sets.

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
    if(VIDGAP_NVCC AND VIDGAP_CUDA STREQUAL "AUTO")
      # One that does not work (half a toolkit, a host compiler that it refuses) costs no CPU kernel.
      set(ENV{CUDACXX} "${VIDGAP_NVCC}")
      include(CheckLanguage)
      check_language(CUDA)
      if(NOT CMAKE_CUDA_COMPILER)
        message(WARNING "${VIDGAP_NVCC} does not work here; VIDGAP_CUDA=1 shows why")
        set(VIDGAP_NVCC VIDGAP_NVCC-NOTFOUND)
      endif()
    endif()
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
# The extension says at run time which GPUs it is for, so they must be numbers.
function(vidgap_choose_architectures)
  if(DEFINED CMAKE_CUDA_ARCHITECTURES)
    foreach(architecture ${CMAKE_CUDA_ARCHITECTURES})
      if(NOT architecture MATCHES "^[0-9]+[af]?(-real|-virtual)?$")
        message(FATAL_ERROR "CMAKE_CUDA_ARCHITECTURES must be like 90-real, got ${architecture}")
      endif()
    endforeach()
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
    list(APPEND chosen 90-virtual)
  elseif(known MATCHES "compute_80\n")
    list(APPEND chosen 80-virtual)
  else()
    message(FATAL_ERROR "${VIDGAP_NVCC} knows neither compute_80 nor compute_90")
  endif()
  set(CMAKE_CUDA_ARCHITECTURES "${chosen}" PARENT_SCOPE)
endfunction()

# Appends KERNELS to the list of that name, compiled once for every instruction set; CHOOSER, which
# is in the list already, picks one when it runs (csrc/common/cpu_levels.h).
function(vidgap_add_cpu_levels list_name kernels chooser)
  set(levels kKernelsBaseline)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND levels kKernelsV3 kKernelsV4)
    set(options_kKernelsV3 -march=x86-64-v3)
    set(options_kKernelsV4 -march=x86-64-v4 -mprefer-vector-width=512)
    set_source_files_properties("${chooser}" PROPERTIES COMPILE_DEFINITIONS VIDGAP_X86_LEVELS)
  endif()
  foreach(level ${levels})
    add_library(${level} OBJECT "${kernels}")
    target_include_directories(${level} PRIVATE "${VIDGAP_CSRC}")
    target_compile_definitions(${level} PRIVATE VIDGAP_KERNELS=${level})
    # Without these two promises no loop with a rounding or a comparison becomes vector code.
    target_compile_options(${level} PRIVATE -Wall -Wextra -Wno-psabi -fno-math-errno
                           -fno-trapping-math ${options_${level}})
    list(APPEND ${list_name} $<TARGET_OBJECTS:${level}>)
  endforeach()
  set(${list_name} "${${list_name}}" PARENT_SCOPE)
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
      $<$<COMPILE_LANGUAGE:CUDA>:--threads=2>)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
      target_compile_options(_native PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--compress-mode=size>)
    endif()
  endif()
  if(NOT CMAKE_CROSSCOMPILING)  # what cannot be loaded fails the build, not the user's first call
    add_custom_command(TARGET _native POST_BUILD COMMAND "${CMAKE_COMMAND}" -E env
      "PYTHONPATH=$<TARGET_FILE_DIR:_native>" "LD_BIND_NOW=1" "${Python_EXECUTABLE}" -c "import _native")
  endif()
  install(TARGETS _native DESTINATION "${package}")
endfunction()
