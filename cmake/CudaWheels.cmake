# Where pip has put NVIDIA's wheels, if any: nvidia/<package>/{include,lib}.

# Sets `out` to the folders of the namespace packages named, such as nvidia.nccl and nvidia.cu13, that the Python
# on the path has.
function(shardscope_wheel_folders out)
    set(folders "")
    foreach(package IN LISTS ARGN)
        execute_process(
            COMMAND
                ${Python3_EXECUTABLE} -c
                "import importlib.util as u; s = u.find_spec('${package}'); print(*(s.submodule_search_locations if s else []), sep=';')"
            OUTPUT_VARIABLE found
            OUTPUT_STRIP_TRAILING_WHITESPACE
            ERROR_QUIET)
        list(APPEND folders ${found})
    endforeach()
    set(${out} ${folders} PARENT_SCOPE)
endfunction()
