# Script mode: writes what the shell needs to know of the commands, as the program itself prints it.
#
#   cmake -D PROGRAM=… -D OUTPUT=DIR [-D GZIP=…] -P shell_files.cmake
#
# Debian's packages hold compressed manual pages; `man` reads both.

function(print_to file)
    execute_process(COMMAND ${PROGRAM} ${ARGN} OUTPUT_FILE ${file} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(MAKE_DIRECTORY ${OUTPUT})
print_to(${OUTPUT}/shardscope completion bash)
print_to(${OUTPUT}/_shardscope completion zsh)
print_to(${OUTPUT}/shardscope.1 manual)
if(GZIP)
    execute_process(COMMAND ${GZIP} -9 -n -f ${OUTPUT}/shardscope.1 COMMAND_ERROR_IS_FATAL ANY)
endif()
