// A libcuda.so.1 whose driver fails: what the CUDA runtime asks first, with the answers that the test's
// variables give.

#include <cstdlib>

namespace {

int number(const char* name, int otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::atoi(text);
}

}  // namespace

extern "C" {

// CUresult: 999 is CUDA_ERROR_UNKNOWN, as after a crash of the driver.
int cuInit(unsigned) { return number("FAKE_DRIVER_RESULT", 999); }

int cuDriverGetVersion(int* version) {
    *version = number("FAKE_DRIVER_VERSION", 13000);
    return 0;
}
}
