// Every kernel of the CUDA backend on a GPU, beside the CPU's in fp64; or their speed.
//
//   shardscope-kernel-check [--seed N] [--device N] [--cudnn] [--timed] [--json]
//
// Prints a line per case; with --json each is an object. Exit code 0 when all results are within what
// their type allows, 1 when one is not, or no GPU can be used.

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <random>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "backends/cpu/kernels/dispatch.h"
#include "backends/cuda_module.h"
#include "cli/cuda_libraries.h"
#include "core/error.h"

namespace {

using namespace shardscope;

struct Options {
    cuda::CheckOptions check;
    bool json = false;
};

[[noreturn]] void fail_usage(const std::string& word) {
    throw Error("usage", fmt::format("unexpected argument \"{}\"", word),
                "use --seed N, --device N, --cudnn, --timed, --json", ErrorKind::io);
}

Options parse(int argc, char** argv) {
    Options options;
    options.check.seed = std::random_device()();
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const auto number = [&]() -> unsigned long long {
            char* end = nullptr;
            const unsigned long long value = i + 1 < argc ? std::strtoull(argv[++i], &end, 10) : 0;
            if (end == nullptr || *end != '\0') fail_usage(word);
            return value;
        };
        if (word == "--seed")
            options.check.seed = number();
        else if (word == "--device")
            options.check.device = static_cast<int>(number());
        else if (word == "--cudnn")
            options.check.cudnn = true;
        else if (word == "--timed")
            options.check.timed = true;
        else if (word == "--json")
            options.json = true;
        else
            fail_usage(word);
    }
    return options;
}

CudaPlaces places() {
    std::map<std::string, std::string> variables;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text = *entry;
        variables.emplace(text.substr(0, text.find('=')), text.substr(text.find('=') + 1));
    }
    const auto program = std::filesystem::read_symlink("/proc/self/exe");
    return {program.parent_path().parent_path() / "lib/shardscope",
            cuda_library_folders(variables)};
}

std::string to_json(const cuda::CheckResult& result) {
    nlohmann::ordered_json out{{"kernel", result.kernel},
                               {"shape", result.shape},
                               {"dtype", name_of(result.dtype)},
                               {"gradient", name_of(result.gradient)}};
    if (result.time) {
        out["us"] = result.time->value * 1e6;
        out["gb_per_s"] = result.moved.value / kGB;
        out["tflop_per_s"] = result.computed.value / 1e12;
    } else {
        out["operand"] = result.operand;
        out["error"] = result.error;
        out["tolerance"] = result.tolerance;
        out["complaint"] = result.complaint;
        out["passed"] = result.passed();
    }
    return out.dump();
}

void reference(const Compute& compute, const Addresses& operands, const StepContext& context) {
    cpu::Team alone;
    cpu::execute(compute, operands, context, alone);
}

int run(const Options& options) {
    const CudaModule& module = require_gpu(places());
    int cases = 0, failures = 0;
    module.check_kernels(reference, options.check, [&](const cuda::CheckResult& result) {
        ++cases;
        failures += result.passed() ? 0 : 1;
        const std::string text = options.json ? to_json(result)
                                              : module.describe(result, options.check.seed) +
                                                    (result.passed() ? "" : "  FAILED");
        std::cout << text << std::endl;
    });
    std::cerr << fmt::format("{} cases, {} failed, seed {}\n", cases, failures, options.check.seed);
    return failures == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(parse(argc, argv));
    } catch (const Error& error) {
        std::cerr << "shardscope-kernel-check: " << error.what() << '\n';
        return error.exit_code();
    } catch (const std::exception& error) {
        std::cerr << "shardscope-kernel-check: " << error.what() << '\n';
        return 1;
    }
}
