// Opening loadable modules: parts of the program that need libraries which a machine may lack.
#pragma once

#include <string>
#include <string_view>

namespace shardscope {

struct LoadableModule {
    std::string_view name;       // for people: "MPI"
    std::string_view file;       // in the folder of modules
    std::string_view symbol;     // its one function
    bool global = false;         // whether libraries loaded later may use its symbols
    std::string_view build;      // what helps where the module was not built
    std::string_view libraries;  // what helps where the libraries that it needs are not there
};

// The module's function. Throws Error{run_failed, "module-missing"} that names the module or the library that is not
// there. The module stays loaded; opening it again costs nothing.
void* open_module(const LoadableModule& module, const std::string& folder);

}  // namespace shardscope
