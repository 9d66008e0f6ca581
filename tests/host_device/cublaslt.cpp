// cublasLt.h's functions: descriptors as bags of attributes, one multiply as one piece of a stream's work.
#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include <cublasLt.h>
#include <fmt/core.h>

#include "tests/host_device/machine.h"
#include "tests/host_device/matmul_loops.h"

using namespace host_device;

namespace {

// Attributes as they were set; absent ones have the vendor's default.
struct Attributes {
    std::map<int, std::vector<std::byte>> values;

    template <class T>
    T get(int attribute, T otherwise) const {
        const auto found = values.find(attribute);
        if (found == values.end()) return otherwise;
        T value;
        std::memcpy(&value, found->second.data(), sizeof value);
        return value;
    }
    void set(int attribute, const void* value, std::size_t size) {
        const auto* bytes = static_cast<const std::byte*>(value);
        values[attribute].assign(bytes, bytes + size);
    }
};

}  // namespace

struct cublasLtContext {};
struct cublasLtMatmulDescOpaque_t : Attributes {
    cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
    cudaDataType_t scale = CUDA_R_32F;
};
struct cublasLtMatrixLayoutOpaque_t : Attributes {
    MatrixShape shape;
};
struct cublasLtMatmulPreferenceOpaque_t : Attributes {};

namespace {

// Workspaces that the made-up algorithms want. They sum alike.
constexpr std::size_t kWorkspaces[] = {0, std::size_t{64} << 10, std::size_t{1} << 20};

template <class Attribute>
struct AttributeSize {
    Attribute attribute;
    std::size_t size;
};
constexpr AttributeSize<cublasLtMatmulDescAttributes_t> kDescAttributes[] = {
    {CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, 4},
    {CUBLASLT_MATMUL_DESC_SCALE_TYPE, 4},
    {CUBLASLT_MATMUL_DESC_POINTER_MODE, 4},
    {CUBLASLT_MATMUL_DESC_TRANSA, 4},
    {CUBLASLT_MATMUL_DESC_TRANSB, 4},
    {CUBLASLT_MATMUL_DESC_EPILOGUE, 4},
    {CUBLASLT_MATMUL_DESC_BIAS_POINTER, 8},
    {CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, 8},
    {CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, 8},
    {CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, 8},
    {CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, 8},
    {CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, 4},
    {CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, 4},
    {CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, 4},
};
constexpr AttributeSize<cublasLtMatrixLayoutAttribute_t> kLayoutAttributes[] = {
    {CUBLASLT_MATRIX_LAYOUT_TYPE, 4},
    {CUBLASLT_MATRIX_LAYOUT_ORDER, 4},
    {CUBLASLT_MATRIX_LAYOUT_ROWS, 8},
    {CUBLASLT_MATRIX_LAYOUT_COLS, 8},
    {CUBLASLT_MATRIX_LAYOUT_LD, 8},
    {CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 4},
    {CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 8},
};
constexpr AttributeSize<cublasLtMatmulPreferenceAttributes_t> kPreferenceAttributes[] = {
    {CUBLASLT_MATMUL_PREF_SEARCH_MODE, 4},
    {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 8},
    {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 4},
    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 4},
    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 4},
    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 4},
    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 4},
};

template <class Attribute, std::size_t n>
cublasStatus_t set(Attributes* target, const AttributeSize<Attribute> (&table)[n],
                   Attribute attribute, const void* value, std::size_t size) {
    const auto* row = std::find_if(table, table + n,
                                   [&](const auto& known) { return known.attribute == attribute; });
    if (target == nullptr || value == nullptr || row == table + n || row->size != size) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    target->set(attribute, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

MatrixShape shape_of(const cublasLtMatrixLayoutOpaque_t& layout) {
    MatrixShape shape = layout.shape;
    shape.type = layout.get(CUBLASLT_MATRIX_LAYOUT_TYPE, shape.type);
    shape.rows = layout.get(CUBLASLT_MATRIX_LAYOUT_ROWS, shape.rows);
    shape.cols = layout.get(CUBLASLT_MATRIX_LAYOUT_COLS, shape.cols);
    shape.ld = layout.get(CUBLASLT_MATRIX_LAYOUT_LD, shape.ld);
    shape.batch_stride = layout.get(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, std::int64_t{0});
    return shape;
}

struct Layouts {
    cublasLtMatrixLayout_t a, b, c, d;
    bool complete() const { return a != nullptr && b != nullptr && c != nullptr && d != nullptr; }
};

MatmulProblem problem_of(const cublasLtMatmulDescOpaque_t& desc, const Layouts& of) {
    MatmulProblem p;
    p.a = shape_of(*of.a);
    p.b = shape_of(*of.b);
    p.c = shape_of(*of.c);
    p.d = shape_of(*of.d);
    p.batches = of.d->get(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, std::int32_t{1});
    p.transpose_a = desc.get(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_N) != CUBLAS_OP_N;
    p.transpose_b = desc.get(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N) != CUBLAS_OP_N;
    const auto compute = desc.get(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, desc.compute);
    p.tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32 && p.a.type == CUDA_R_32F;
    p.epilogue = desc.get(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_DEFAULT);
    p.bias_type = desc.get(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, p.d.type);
    p.aux_type = desc.get(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, p.d.type);
    p.bias_stride = desc.get(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, std::int64_t{0});
    p.aux_ld = desc.get(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, std::int64_t{0});
    p.aux_stride = desc.get(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, std::int64_t{0});
    return p;
}

bool supported(const cublasLtMatmulDescOpaque_t& desc, const Layouts& of) {
    const auto mode = desc.get(CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_HOST);
    const auto row_major = [](const cublasLtMatrixLayoutOpaque_t* layout) {
        return layout->get(CUBLASLT_MATRIX_LAYOUT_ORDER, CUBLASLT_ORDER_COL) != CUBLASLT_ORDER_COL;
    };
    const auto batches = [](const cublasLtMatrixLayoutOpaque_t* layout) {
        return layout->get(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, std::int32_t{1});
    };
    const std::int32_t n = batches(of.d);
    return mode == CUBLASLT_POINTER_MODE_HOST && desc.scale == CUDA_R_32F && !row_major(of.a) &&
           !row_major(of.b) && !row_major(of.c) && !row_major(of.d) && batches(of.a) == n &&
           batches(of.b) == n && batches(of.c) == n;
}

MatmulPointers epilogue_pointers(const cublasLtMatmulDescOpaque_t& desc) {
    MatmulPointers at;
    at.bias = desc.get(CUBLASLT_MATMUL_DESC_BIAS_POINTER, at.bias);
    at.aux = desc.get(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, at.aux);
    return at;
}

// An algorithm is for the problem it was asked for; another one's is an error that a real library may or
// may not find.
std::uint64_t fingerprint(const MatmulProblem& p) {
    std::uint64_t hash = 14695981039346656037u;
    const auto add = [&](std::int64_t value) {
        hash = (hash ^ static_cast<std::uint64_t>(value)) * 1099511628211u;
    };
    for (const MatrixShape& s : {p.a, p.b, p.c, p.d}) {
        add(s.type);
        add(s.rows);
        add(s.cols);
        add(s.ld);
        add(s.batch_stride);
    }
    add(p.batches);
    add(p.transpose_a);
    add(p.transpose_b);
    add(p.tf32);
    add(p.epilogue);
    add(p.aux_ld);
    return hash;
}

cublasStatus_t check_algorithm(const cublasLtMatmulAlgo_t& algo, const MatmulProblem& problem,
                               std::size_t workspace_bytes) {
    const std::uint64_t number = algo.data[0];
    if (number < 1 || number > std::size(kWorkspaces)) return CUBLAS_STATUS_INVALID_VALUE;
    if (algo.data[1] != fingerprint(problem)) return CUBLAS_STATUS_NOT_SUPPORTED;
    return kWorkspaces[number - 1] <= workspace_bytes ? CUBLAS_STATUS_SUCCESS
                                                      : CUBLAS_STATUS_INVALID_VALUE;
}

struct Operand {
    const char* name;
    const std::byte* at;
    std::size_t bytes;
};

// The first operand that lies in no allocation; empty: all do.
std::string stray_operand(const Machine& machine, const MatmulProblem& p, const MatmulPointers& at,
                          bool reads_c) {
    const std::size_t bias = static_cast<std::size_t>(p.bias_length()) * p.d.element();
    MatrixShape aux = p.d;
    aux.ld = p.aux_ld;
    aux.batch_stride = p.aux_stride;
    const Operand operands[] = {
        {"A", at.a, p.a.bytes(p.batches)},
        {"B", at.b, p.b.bytes(p.batches)},
        {"C", reads_c ? at.c : nullptr, p.c.bytes(p.batches)},
        {"D", at.d, p.d.bytes(p.batches)},
        {"bias", p.uses_bias() ? at.bias : nullptr, bias},
        {"aux", p.uses_aux() ? at.aux : nullptr, aux.bytes(p.batches)},
    };
    for (const Operand& operand : operands) {
        if (operand.at == nullptr || operand.bytes == 0) continue;
        if (machine.allocation_of(operand.at, operand.bytes) == nullptr) return operand.name;
    }
    return {};
}

struct MatmulRun {
    MatmulProblem problem;
    MatmulPointers at;
    float alpha = 1, beta = 0;
    std::byte* workspace = nullptr;
    std::size_t workspace_bytes = 0;

    void operator()() const {
        if (workspace != nullptr) std::memset(workspace, 0xFF, workspace_bytes);
        multiply(problem, alpha, beta, at);
    }
};

cublasStatus_t submit(const MatmulRun& run, cudaStream_t stream) {
    Locked locked;
    Machine& machine = locked.machine;
    const QueuePointer queue = machine.find(stream);
    if (!queue || machine.devices[static_cast<std::size_t>(queue->device)].error != cudaSuccess) {
        return CUBLAS_STATUS_EXECUTION_FAILED;
    }
    const std::string stray = stray_operand(machine, run.problem, run.at, run.beta != 0);
    machine.issue(queue, [run, stray] {
        const auto work = [run, stray] {
            if (!stray.empty()) {
                throw DeviceError(cudaErrorIllegalAddress,
                                  "cublasLtMatmul: operand " + stray + " lies in no allocation");
            }
            run();
        };
        return Task{work, {}, {}, "a matrix multiply"};
    });
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t planned(const char* function) {
    return static_cast<cublasStatus_t>(Locked().machine.planned_failure(function));
}

template <class T>
cublasStatus_t destroy(T* object) {
    delete object;
    return object == nullptr ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS;
}

}  // namespace

const char* cublasLtGetStatusName(cublasStatus_t status) {
    switch (status) {
        case CUBLAS_STATUS_SUCCESS:
            return "CUBLAS_STATUS_SUCCESS";
        case CUBLAS_STATUS_NOT_INITIALIZED:
            return "CUBLAS_STATUS_NOT_INITIALIZED";
        case CUBLAS_STATUS_ALLOC_FAILED:
            return "CUBLAS_STATUS_ALLOC_FAILED";
        case CUBLAS_STATUS_INVALID_VALUE:
            return "CUBLAS_STATUS_INVALID_VALUE";
        case CUBLAS_STATUS_ARCH_MISMATCH:
            return "CUBLAS_STATUS_ARCH_MISMATCH";
        case CUBLAS_STATUS_MAPPING_ERROR:
            return "CUBLAS_STATUS_MAPPING_ERROR";
        case CUBLAS_STATUS_EXECUTION_FAILED:
            return "CUBLAS_STATUS_EXECUTION_FAILED";
        case CUBLAS_STATUS_INTERNAL_ERROR:
            return "CUBLAS_STATUS_INTERNAL_ERROR";
        case CUBLAS_STATUS_NOT_SUPPORTED:
            return "CUBLAS_STATUS_NOT_SUPPORTED";
    }
    return "<unknown>";
}

const char* cublasLtGetStatusString(cublasStatus_t status) {
    return status == CUBLAS_STATUS_NOT_SUPPORTED ? "the functionality is not supported"
                                                 : cublasLtGetStatusName(status);
}

std::size_t cublasLtGetVersion() { return CUBLAS_VERSION; }
std::size_t cublasLtGetCudartVersion() { return CUDART_VERSION; }

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
    {
        const Locked locked;
        const Settings& settings = locked.machine.settings;
        if (!settings.driver || settings.devices == 0) return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    const cublasStatus_t status = planned("cublasLtCreate");
    if (status == CUBLAS_STATUS_SUCCESS) *handle = new cublasLtContext;
    return status;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return destroy(handle); }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
    *desc = new cublasLtMatmulDescOpaque_t;
    (*desc)->compute = compute;
    (*desc)->scale = scale;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) { return destroy(desc); }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t size) {
    return set(desc, kDescAttributes, attribute, value, size);
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          std::uint64_t rows, std::uint64_t cols, std::int64_t ld) {
    *layout = new cublasLtMatrixLayoutOpaque_t;
    (*layout)->shape = {type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(cols), ld,
                        0};
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    return destroy(layout);
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void* value, std::size_t size) {
    return set(layout, kLayoutAttributes, attribute, value, size);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
    *preference = new cublasLtMatmulPreferenceOpaque_t;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    return destroy(preference);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t size) {
    return set(preference, kPreferenceAttributes, attribute, value, size);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* returned) {
    const Layouts of{a, b, c, d};
    if (handle == nullptr || desc == nullptr || preference == nullptr || requested < 1 ||
        !of.complete()) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    *returned = 0;
    const cublasStatus_t failure = planned("cublasLtMatmulAlgoGetHeuristic");
    if (failure != CUBLAS_STATUS_SUCCESS) return failure;
    const MatmulProblem problem = problem_of(*desc, of);
    if (!supported(*desc, of) || why_unsupported(problem, epilogue_pointers(*desc)) != nullptr) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    const std::uint64_t most =
        preference->get(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{0});
    // The ones with most workspace come first, as the fast ones tend to.
    for (std::size_t i = std::size(kWorkspaces); i-- > 0 && *returned < requested;) {
        if (kWorkspaces[i] > most) continue;
        cublasLtMatmulHeuristicResult_t result{};
        result.algo.data[0] = i + 1;
        result.algo.data[1] = fingerprint(problem);
        result.workspaceSize = kWorkspaces[i];
        result.wavesCount = 1.0f;
        results[(*returned)++] = result;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
    const Layouts of{a_layout, b_layout, c_layout, d_layout};
    if (handle == nullptr || desc == nullptr || !of.complete() || alpha == nullptr ||
        beta == nullptr) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    cublasStatus_t status = planned("cublasLtMatmul");
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    MatmulRun run;
    run.problem = problem_of(*desc, of);
    run.at = epilogue_pointers(*desc);
    run.at.a = static_cast<const std::byte*>(a);
    run.at.b = static_cast<const std::byte*>(b);
    run.at.c = static_cast<const std::byte*>(c);
    run.at.d = static_cast<std::byte*>(d);
    std::memcpy(&run.alpha, alpha, sizeof run.alpha);
    std::memcpy(&run.beta, beta, sizeof run.beta);
    const bool in_place = c == d;
    if (!supported(*desc, of) || why_unsupported(run.problem, run.at) != nullptr) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (in_place && run.problem.c.ld != run.problem.d.ld) return CUBLAS_STATUS_INVALID_VALUE;
    if (run.beta != 0 && c == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    if (algo != nullptr) {
        status = check_algorithm(*algo, run.problem, workspace_bytes);
        if (status != CUBLAS_STATUS_SUCCESS) return status;
        run.workspace_bytes = kWorkspaces[algo->data[0] - 1];
        if (run.workspace_bytes > 0) run.workspace = static_cast<std::byte*>(workspace);
    }
    return submit(run, stream);
}
