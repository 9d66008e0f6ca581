#include "backends/loadable_module.h"

#include <filesystem>

#include <dlfcn.h>

#include "core/error.h"

namespace shardscope {
namespace {

[[noreturn]] void missing(const std::string& message, std::string_view fix) {
    throw Error("module-missing", message, std::string(fix), ErrorKind::run_failed);
}

}  // namespace

void* open_module(const LoadableModule& module, const std::string& folder) {
    const std::string name(module.name);
    const std::string path = folder + "/" + std::string(module.file);
    std::error_code unreadable;
    if (!std::filesystem::exists(path, unreadable))
        missing("the " + name + " module is not there: " + path, module.build);
    void* const library =
        dlopen(path.c_str(), RTLD_NOW | (module.global ? RTLD_GLOBAL : RTLD_LOCAL));
    if (library == nullptr)
        missing("the " + name + " module cannot be loaded: " + std::string(dlerror()),
                module.libraries);
    void* const symbol = dlsym(library, std::string(module.symbol).c_str());
    if (symbol == nullptr)
        missing(path + " is no " + name + " module of Shardscope", "install it anew");
    return symbol;
}

}  // namespace shardscope
