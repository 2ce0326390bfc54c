# The tests, for CTest. Every tests/test_*.c is a program of its own (exit status 0: passed); scripts are added by
# name below. They run in the source folder with TENON (the program), TENON_BUILD and TENON_CC in the environment.
set(test_environment "TENON_BUILD=${CMAKE_BINARY_DIR}" "TENON_CC=${CMAKE_C_COMPILER}"
                     "TENON_SANITIZE=${TENON_SANITIZE}")
if(TARGET tenon)
  list(APPEND test_environment "TENON=$<TARGET_FILE:tenon>")
endif()

function(add_script_test name)
  add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "${test_environment}" TIMEOUT 900)
endfunction()

if(NOT TENON_FUZZ)
  file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/test_*.c)
  foreach(path ${tests})
    get_filename_component(name ${path} NAME_WE)
    string(REPLACE "test_" "" short ${name})
    add_executable(${name} ${path})
    set_source_files_properties(${path} PROPERTIES COMPILE_OPTIONS "${warnings}")
    target_include_directories(${name} PRIVATE ${generated})
    target_link_libraries(${name} PRIVATE ${layers} tenon_runtime)
    add_script_test(${short} ${name})
  endforeach()
  add_script_test(layers ${CMAKE_SOURCE_DIR}/tests/layers)
  file(GLOB golden CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/language/*.tn)
  add_script_test(language python3 ${CMAKE_SOURCE_DIR}/tests/golden.py ${golden})
  file(GLOB golden CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/expand/*.tn)
  add_script_test(expand python3 ${CMAKE_SOURCE_DIR}/tests/golden.py ${golden})
  file(GLOB golden CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/schedule/*.tn)
  add_script_test(schedule_text python3 ${CMAKE_SOURCE_DIR}/tests/golden.py ${golden})
  file(GLOB golden CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/plan/*.tn)
  add_script_test(plan_text python3 ${CMAKE_SOURCE_DIR}/tests/golden.py ${golden})

  add_script_test(malformed python3 ${CMAKE_SOURCE_DIR}/tests/test_malformed.py)

  # ONNX backend cases against the recorded outcomes; through C and LLVM only with `ctest -C long -L long`.
  add_script_test(onnx_cases python3 ${CMAKE_SOURCE_DIR}/tests/onnx/cases.py)
  set_tests_properties(onnx_cases PROPERTIES SKIP_RETURN_CODE 77)
  foreach(target c llvm)
    add_test(NAME onnx_cases_${target} COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/onnx/cases.py --target=${target}
             CONFIGURATIONS long WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(onnx_cases_${target} PROPERTIES ENVIRONMENT "${test_environment}" TIMEOUT 7200 LABELS long
                         SKIP_RETURN_CODE 77)
  endforeach()

  # All 2^32 inputs of the f32 functions: half an hour, so only `ctest -C long -L long` runs it.
  add_executable(math_exhaustive ${CMAKE_SOURCE_DIR}/tests/math_exhaustive.c)
  set_source_files_properties(${CMAKE_SOURCE_DIR}/tests/math_exhaustive.c PROPERTIES COMPILE_OPTIONS "${warnings}")
  target_link_libraries(math_exhaustive PRIVATE ${layers})
  foreach(target x86-64 x86-64-v3)
    add_test(NAME math_exhaustive_${target} COMMAND math_exhaustive --cpu=${target} CONFIGURATIONS long)
    set_tests_properties(math_exhaustive_${target} PROPERTIES ENVIRONMENT "${test_environment}" TIMEOUT 14400 LABELS long)
  endforeach()
endif()

if(TENON_FUZZ)
  file(GLOB fuzzers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz_*.c)
  foreach(path ${fuzzers})
    get_filename_component(name ${path} NAME_WE)
    add_executable(${name} ${path})
    target_link_libraries(${name} PRIVATE ${layers})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  endforeach()
endif()
