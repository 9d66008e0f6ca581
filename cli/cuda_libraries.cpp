#include "cli/cuda_libraries.h"

#include <algorithm>
#include <filesystem>

namespace shardscope {
namespace {

namespace fs = std::filesystem;
using Folders = std::vector<std::string>;

std::string variable(const std::map<std::string, std::string>& variables, const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? "" : found->second;
}

Folders split_at_colons(const std::string& text) {
    Folders parts;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find(':', at), text.size());
        if (end > at) parts.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return parts;
}

void add(Folders& folders, const fs::path& folder) {
    std::error_code unreadable;
    if (!fs::is_directory(folder, unreadable)) return;
    if (std::ranges::find(folders, folder.string()) == folders.end())
        folders.push_back(folder.string());
}

// What a folder has, sorted, so that the order does not depend on the file system.
std::vector<fs::path> entries(const fs::path& folder) {
    std::vector<fs::path> found;
    std::error_code unreadable;
    for (const auto& entry : fs::directory_iterator(folder, unreadable)) found.push_back(entry);
    std::ranges::sort(found);
    return found;
}

// Of every Python installed under `root`.
void add_wheels(Folders& folders, const fs::path& root) {
    for (const fs::path& python : entries(root / "lib")) {
        if (!python.filename().string().starts_with("python3")) continue;
        for (const char* packages : {"site-packages", "dist-packages"})
            for (const fs::path& package : entries(python / packages / "nvidia"))
                add(folders, package / "lib");
    }
}

// bin/python3 of a virtual environment is a link to the system's: its folder is what counts.
void add_wheels_of_python(Folders& folders, const std::string& path) {
    for (const std::string& folder : split_at_colons(path)) {
        std::error_code unreadable;
        if (fs::exists(fs::path(folder) / "python3", unreadable))
            add_wheels(folders, fs::path(folder).parent_path());
    }
}

}  // namespace

Folders cuda_library_folders(const std::map<std::string, std::string>& variables) {
    Folders folders;
    for (const std::string& folder :
         split_at_colons(variable(variables, "SHARDSCOPE_CUDA_LIBRARIES")))
        add(folders, folder);
    for (const char* name : {"NCCL_ROOT", "CUDA_HOME", "CUDA_PATH"})
        if (const std::string root = variable(variables, name); !root.empty())
            for (const char* below : {"lib64", "lib"}) add(folders, fs::path(root) / below);
    for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"})
        if (const std::string root = variable(variables, name); !root.empty())
            add_wheels(folders, root);
    add_wheels_of_python(folders, variable(variables, "PATH"));
    if (const std::string home = variable(variables, "HOME"); !home.empty())
        add_wheels(folders, fs::path(home) / ".local");
    add_wheels(folders, "/usr/local");
    add_wheels(folders, "/usr");
    add(folders, "/usr/local/cuda/lib64");
    return folders;
}

CudaPlaces cuda_places(const Environment& environment) {
    return {environment.module_folder, cuda_library_folders(environment.variables)};
}

}  // namespace shardscope
