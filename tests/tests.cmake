# The tests, for CTest. Every tests/test_*.c is a program of its own (exit status 0: passed); scripts are added by
# name below. They run in the source folder with TENON (the program), TENON_BUILD and TENON_CC in the environment.
set(test_environment "TENON_BUILD=${CMAKE_BINARY_DIR}" "TENON_CC=${CMAKE_C_COMPILER}"
                     "TENON_SANITIZE=${TENON_SANITIZE}" "CC=${CMAKE_C_COMPILER}"
                     "ASAN_OPTIONS=detect_leaks=0" "POCL_CACHE_DIR=${CMAKE_BINARY_DIR}/pocl")
if(TARGET tenon)
  list(APPEND test_environment "TENON=$<TARGET_FILE:tenon>")
endif()

function(add_script_test name)
  add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "${test_environment}" TIMEOUT 900)
endfunction()

if(NOT TENON_FUZZ)
  file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/test_*.c)
  if(NOT TENON_OPENCL)
    list(FILTER tests EXCLUDE REGEX "/test_opencl[a-z_]*\\.c$")
  endif()
  foreach(path ${tests})
    get_filename_component(name ${path} NAME_WE)
    string(REPLACE "test_" "" short ${name})
    add_executable(${name} ${path})
    set_source_files_properties(${path} PROPERTIES COMPILE_OPTIONS "${warnings}")
    target_include_directories(${name} PRIVATE ${generated})
    target_link_libraries(${name} PRIVATE ${layers} tenon_runtime)
    add_script_test(${short} ${name})
  endforeach()
  if(TENON_OPENCL) # 77: no device, with the reason in the log
    add_library(opencl_faults MODULE ${CMAKE_SOURCE_DIR}/tests/opencl_faults.c)
    set_source_files_properties(${CMAKE_SOURCE_DIR}/tests/opencl_faults.c PROPERTIES COMPILE_OPTIONS "${warnings}")
    target_link_libraries(opencl_faults PRIVATE ${CMAKE_DL_LIBS} Threads::Threads)
    add_script_test(opencl_faults test_opencl_runtime $<TARGET_FILE:opencl_faults>)
    set_tests_properties(opencl_runtime opencl_faults PROPERTIES SKIP_RETURN_CODE 77)
    # In a simulator that sees accesses outside of buffers, and races.
    find_library(OCLGRIND oclgrind-rt PATH_SUFFIXES oclgrind)
    if(OCLGRIND AND NOT TENON_SANITIZE)
      add_script_test(opencl_oclgrind test_opencl_runtime)
      set_tests_properties(opencl_oclgrind PROPERTIES
        ENVIRONMENT "TENON_OPENCL=${OCLGRIND};OCLGRIND_DATA_RACES=1"
        FAIL_REGULAR_EXPRESSION "Invalid (read|write);data race")
    endif()
  endif()
  add_script_test(layers ${CMAKE_SOURCE_DIR}/tests/layers)
  # A folder of golden files is one test, of the folder's name.
  foreach(folder cli quantize language expand strips schedule tuning plan place bind group await parallel profile fuse lower simplify
          absorb fixed narrow halves tables layout compose)
    file(GLOB golden CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${folder}/*.tn ${CMAKE_SOURCE_DIR}/tests/${folder}/*.tnp)
    if(golden)
      add_script_test(golden_${folder} python3 ${CMAKE_SOURCE_DIR}/tests/golden.py ${golden})
    endif()
  endforeach()

  # Every example: each stage and both printers against the interpreter; what is emitted.
  file(GLOB examples CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/examples/*.tn)
  foreach(path ${examples})
    get_filename_component(name ${path} NAME_WE)
    add_script_test(example_${name} tenon verify ${path} --zero-weights)
    add_script_test(example_${name}_each tenon check ${path} --zero-weights --verify-each --eval-each=1)
  endforeach()
  add_script_test(docs python3 ${CMAKE_SOURCE_DIR}/tests/docs.py)
  add_script_test(order python3 ${CMAKE_SOURCE_DIR}/tests/order.py)

  # Against what others say is right. 77: skipped, with the reason in the log, where their packages are missing. The
  # gcc build runs all of it; clang's and the sanitizers' a part, so that all three end in their time.
  set(python ${CMAKE_SOURCE_DIR}/tests/python) # build/venv's, when it is there
  if(TENON_SANITIZE)
    add_script_test(onnx_cases ${python} ${CMAKE_SOURCE_DIR}/tests/onnx/cases.py --cases ${CMAKE_SOURCE_DIR}/build/onnx_cases)
    add_script_test(models ${python} ${CMAKE_SOURCE_DIR}/tests/models.py --target=c mlp silero_vad)
  elseif(CMAKE_C_COMPILER_ID MATCHES Clang)
    add_script_test(onnx_cases ${python} ${CMAKE_SOURCE_DIR}/tests/onnx/cases.py --cases ${CMAKE_SOURCE_DIR}/build/onnx_cases)
    add_script_test(models ${python} ${CMAKE_SOURCE_DIR}/tests/models.py --target=c mlp magika lstm_2x128 silero_vad)
  else()
    add_script_test(onnx_cases ${python} ${CMAKE_SOURCE_DIR}/tests/onnx/cases.py --cases ${CMAKE_SOURCE_DIR}/build/onnx_cases --target=all)
    add_script_test(models ${python} ${CMAKE_SOURCE_DIR}/tests/models.py)
    add_script_test(real_pictures ${python} ${CMAKE_SOURCE_DIR}/tests/real.py ppocr_det ppocr_rec ppocr_cls)
    add_script_test(real_voice ${python} ${CMAKE_SOURCE_DIR}/tests/real.py silero_vad)
    add_script_test(quantized_operators ${python} ${CMAKE_SOURCE_DIR}/tests/test_quantized_operators.py)
    add_script_test(quantized_models ${python} ${CMAKE_SOURCE_DIR}/tests/test_quantized_models.py)
    add_script_test(narrow_models ${python} ${CMAKE_SOURCE_DIR}/tests/test_narrow_models.py)
    add_script_test(half_models ${python} ${CMAKE_SOURCE_DIR}/tests/test_half_models.py)
    add_script_test(quantize ${python} ${CMAKE_SOURCE_DIR}/tests/test_quantize.py)
    add_script_test(fashion ${python} ${CMAKE_SOURCE_DIR}/tests/test_fashion.py)
    set_tests_properties(quantized_models PROPERTIES TIMEOUT 2400)
    set_tests_properties(real_pictures real_voice quantized_operators quantized_models narrow_models half_models quantize fashion PROPERTIES SKIP_RETURN_CODE 77)
  endif()
  # Many minutes: by `ctest -C long -L long` only.
  add_test(NAME quantized_accuracy COMMAND ${python} ${CMAKE_SOURCE_DIR}/tests/test_quantized_accuracy.py WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
           CONFIGURATIONS long)
  set_tests_properties(quantized_accuracy PROPERTIES ENVIRONMENT "${test_environment}" TIMEOUT 7200 LABELS long SKIP_RETURN_CODE 77)
  foreach(what models nets)
    add_script_test(tflite_${what} ${python} ${CMAKE_SOURCE_DIR}/tests/test_tflite.py ${what})
    set_tests_properties(tflite_${what} PROPERTIES SKIP_RETURN_CODE 77)
  endforeach()
  add_script_test(bench ${python} ${CMAKE_SOURCE_DIR}/tests/test_bench.py)
  set_tests_properties(bench PROPERTIES SKIP_RETURN_CODE 77)
  add_script_test(convolutions ${python} ${CMAKE_SOURCE_DIR}/tests/test_convolutions.py)
  set_tests_properties(convolutions PROPERTIES SKIP_RETURN_CODE 77)
  set_tests_properties(onnx_cases models PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 2400)

  # Models through OpenCL, where there is a device. On PoCL a kernel takes half a second to build: the whole op table and
  # the ONNX cases, some ten minutes and forty with each schedule, run by `ctest -C long -L long` only.
  set(some "digits;filter")
  set(placed "digits;half")
  if(NOT TENON_SANITIZE AND NOT CMAKE_C_COMPILER_ID MATCHES Clang)
    set(some "")
    set(placed "")
    foreach(device cpu gpu)
      add_script_test(opencl_ops_${device} test_ops --device=${device} add div pow cast gather conv matmul sum top_k)
      set_tests_properties(opencl_ops_${device} PROPERTIES SKIP_RETURN_CODE 77)
      foreach(which ops onnx)
        set(command ${python} ${CMAKE_SOURCE_DIR}/tests/onnx/cases.py --cases ${CMAKE_SOURCE_DIR}/build/onnx_cases --target=opencl
            --device=${device})
        if(which STREQUAL ops)
          set(command test_ops --device=${device})
        endif()
        add_test(NAME opencl_all_${which}_${device} COMMAND ${command} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} CONFIGURATIONS long)
        set_tests_properties(opencl_all_${which}_${device} PROPERTIES ENVIRONMENT "${test_environment}" TIMEOUT 14400 LABELS long
                             SKIP_RETURN_CODE 77)
      endforeach()
    endforeach()
  endif()
  foreach(way examples text oclgrind)
    add_script_test(opencl_model_${way} python3 ${CMAKE_SOURCE_DIR}/tests/test_opencl.py ${way} ${some})
    set_tests_properties(opencl_model_${way} PROPERTIES SKIP_RETURN_CODE 77)
  endforeach()
  add_script_test(places python3 ${CMAKE_SOURCE_DIR}/tests/test_places.py ${placed})
  set_tests_properties(places PROPERTIES SKIP_RETURN_CODE 77)
  add_script_test(report python3 ${CMAKE_SOURCE_DIR}/tests/test_report.py)
  add_script_test(devices python3 ${CMAKE_SOURCE_DIR}/tests/test_devices.py)
  set_tests_properties(devices PROPERTIES SKIP_RETURN_CODE 77)
  add_script_test(malformed python3 ${CMAKE_SOURCE_DIR}/tests/test_malformed.py)

  # Hot loops of LLVM's, gcc's and clang's code, as instructions.
  if(NOT TENON_SANITIZE AND NOT CMAKE_C_COMPILER_ID MATCHES Clang)
    add_script_test(disassembly python3 ${CMAKE_SOURCE_DIR}/tests/test_disassembly.py)
    set_tests_properties(disassembly PROPERTIES SKIP_RETURN_CODE 77)
  endif()

  if(NOT TENON_SANITIZE)
    add_script_test(link python3 ${CMAKE_SOURCE_DIR}/tests/test_link.py)
  endif()

  # Several instruction sets in one artefact, on this machine and on emulated ones; another machine's code.
  if(NOT TENON_SANITIZE AND NOT CMAKE_C_COMPILER_ID MATCHES Clang)
    foreach(way versions emulated aarch64)
      add_script_test(cpus_${way} python3 ${CMAKE_SOURCE_DIR}/tests/test_cpus.py ${way})
      set_tests_properties(cpus_${way} PROPERTIES SKIP_RETURN_CODE 77)
    endforeach()
  endif()

  # C without a library, on microcontrollers under QEMU.
  add_script_test(microcontrollers ${python} ${CMAKE_SOURCE_DIR}/tests/test_microcontrollers.py)
  set_tests_properties(microcontrollers PROPERTIES SKIP_RETURN_CODE 77)

  # Emitted C under warnings, sanitizers, guard pages and valgrind: every example with the gcc build, two with the others.
  if(TENON_SANITIZE OR CMAKE_C_COMPILER_ID MATCHES Clang)
    add_script_test(emitted python3 ${CMAKE_SOURCE_DIR}/tests/test_emitted.py filter dynamic)
  else()
    add_script_test(emitted python3 ${CMAKE_SOURCE_DIR}/tests/test_emitted.py)
  endif()
  set_tests_properties(emitted PROPERTIES TIMEOUT 1800)
  if(NOT TENON_SANITIZE)
    add_script_test(threads python3 ${CMAKE_SOURCE_DIR}/tests/test_threads.py)
    add_script_test(tuned_builds python3 ${CMAKE_SOURCE_DIR}/tests/test_tuning.py)
  endif()

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
