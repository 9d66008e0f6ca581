#include "core/lowering/tensor_split.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/error.h"

namespace shardscope {
namespace {

using Section = TensorSplit::Section;

[[noreturn]] void refuse_tensor_split(const std::string& message, const std::string& fix) {
    throw Error("tensor-parallel", message, fix);
}

class Splitter {
public:
    Splitter(const Model& model, int tp, int ep, int etp) : tp_(tp), ep_(ep), etp_(etp) {
        local_.model = model;
        local_.splits.resize(model.parameters.size());
    }

    LocalModel run() {
        auto& layers = local_.model.layers;
        if (tp_ > 1) {
            for (std::size_t l = 0; l < layers.size(); ++l)
                std::visit([&](auto& kind) { split(layers[l].name, kind); }, layers[l].kind);
            for (std::size_t l = 0; l < layers.size(); ++l) pair_linear(l);
        }
        for (Layer& layer : layers)
            if (auto* block = std::get_if<BlockLayer>(&layer.kind);
                block != nullptr && block->has_experts())
                split_experts(layer.name, block->experts);
        return std::move(local_);
    }

private:
    std::int64_t share(const std::string& layer, const char* what, std::int64_t n) const {
        return share(layer, what, n, "tp", tp_);
    }
    static std::int64_t share(const std::string& layer, const char* what, std::int64_t n,
                              const char* degree, int ranks) {
        if (n % ranks != 0)
            refuse_tensor_split(
                fmt::format("{}: {} {} does not divide over {} {}", layer, what, n, degree, ranks),
                fmt::format("use a {} that divides {}", degree, n));
        return n / ranks;
    }

    void rows(ParameterId p, std::vector<Section> sections) {
        if (!p.valid()) return;
        TensorSplit& split = local_.splits[p.index()];
        if (split.kind != TensorSplit::Kind::whole) return;  // a tied parameter, split already
        auto& shape = local_.model.parameters[p.index()].shape;
        shape[0] = 0;
        for (const Section& s : sections) shape[0] += s.local();
        split = {TensorSplit::Kind::rows, 0, std::move(sections)};
    }

    void columns(ParameterId p) {
        auto& shape = local_.model.parameters[p.index()].shape;
        const Section section{0, shape[1], tp_};
        shape[1] = section.local();
        local_.splits[p.index()] = {TensorSplit::Kind::columns, 0, {section}};
    }

    void column_parallel(LinearParameters& p, const std::vector<Section>& sections) {
        rows(p.weight, sections);
        rows(p.bias, sections);
        p.out = 0;
        for (const Section& s : sections) p.out += s.local();
        p.parallel = TensorParallel::column;
    }

    void row_parallel(LinearParameters& p) {
        columns(p.weight);
        p.in /= tp_;
        p.parallel = TensorParallel::row;
    }

    void split(const std::string&, EmbeddingLayer& e) {
        const Section vocabulary{0, e.vocab, tp_};
        rows(e.table, {vocabulary});
        e.vocab = vocabulary.local();
        e.vocabulary_parallel = true;
    }

    void split(const std::string& name, BlockLayer& b) {
        if (b.is_latent()) {
            split_latent(name, b);
        } else {
            split_attention(name, b);
        }
        row_parallel(b.projection);
        if (b.ffn > 0) split_mlp(name, b);
    }

    void split_latent(const std::string& name, BlockLayer& b) {
        LatentParameters& l = b.latent;
        b.heads = b.kv_heads = share(name, "heads", b.heads);
        column_parallel(l.query_up, {{0, l.query_up.out, tp_}});
        column_parallel(l.kv_up, {{0, l.kv_up.out, tp_}});
    }

    void split_attention(const std::string& name, BlockLayer& b) {
        const std::int64_t q = b.heads * b.head_dim, kv = b.kv_heads * b.head_dim;
        if (b.kv_heads % tp_ != 0 && tp_ % b.kv_heads != 0)
            refuse_tensor_split(
                fmt::format("{}: {} key-value heads neither divide over tp {} nor tp over them",
                            name, b.kv_heads, tp_),
                fmt::format("use a tp that divides {0} or is a multiple of {0}", b.kv_heads));
        const int kv_parts = static_cast<int>(std::min<std::int64_t>(tp_, b.kv_heads));
        b.heads = share(name, "heads", b.heads);
        b.kv_heads /= kv_parts;
        column_parallel(b.qkv, {{0, q, tp_}, {q, kv, kv_parts}, {q + kv, kv, kv_parts}});
    }

    void split_mlp(const std::string& name, BlockLayer& b) {
        const std::int64_t ffn = b.ffn;
        b.ffn = share(name, "ffn", ffn);
        std::vector<Section> up{{0, ffn, tp_}};
        if (is_gated(b.mlp)) up.push_back({ffn, ffn, tp_});
        column_parallel(b.up, up);
        row_parallel(b.down);
    }

    // Of [count, out, in] a rank holds count/ep matrices; up's rows and down's columns divide over etp.
    void split_experts(const std::string& name, ExpertsParameters& e) {
        if (e.count % ep_ != 0)
            throw Error("expert-parallel",
                        fmt::format("{}: {} experts do not divide over ep {}", name, e.count, ep_),
                        fmt::format("use an ep that divides {}", e.count));
        const std::int64_t ffn = e.ffn;
        e.ffn = share(name, "experts.ffn", ffn, etp_ == tp_ ? "tp" : "etp", etp_);
        e.local = e.count / ep_;
        stacked(e.up, {TensorSplit::Kind::rows, e.count, {{0, ffn, etp_}, {ffn, ffn, etp_}}});
        stacked(e.down, {TensorSplit::Kind::columns, e.count, {{0, ffn, etp_}}});
        e.up.out = 2 * e.ffn;
        e.down.in = e.ffn;
    }

    void stacked(const LinearParameters& p, TensorSplit split) {
        auto& shape = local_.model.parameters[p.weight.index()].shape;
        shape[0] = split.experts / ep_;
        (split.kind == TensorSplit::Kind::rows ? shape[1] : shape[2]) /= etp_;
        local_.splits[p.weight.index()] = std::move(split);
    }

    void split(const std::string&, HeadLayer& head) {
        head.vocab = Section{0, head.vocab, tp_}.local();
        column_parallel(head.classifier, {{0, head.classifier.out, tp_}});
    }

    void split(const std::string&, LinearLayer&) {}  // pairs are split together
    void split(const std::string&, ActivationLayer&) {}
    void split(const std::string&, NormLayer&) {}
    void split(const std::string&, LossLayer&) {}

    // Splits layer `first` by outputs and the linear layer that follows it by inputs, if there is one.
    void pair_linear(std::size_t first) {
        auto& layers = local_.model.layers;
        auto* column = std::get_if<LinearLayer>(&layers[first].kind);
        if (column == nullptr || column->linear.parallel != TensorParallel::none) return;
        std::size_t second = first + 1;
        while (second < layers.size() &&
               std::holds_alternative<ActivationLayer>(layers[second].kind))
            ++second;
        auto* row =
            second < layers.size() ? std::get_if<LinearLayer>(&layers[second].kind) : nullptr;
        if (row == nullptr) return;
        const std::int64_t width = column->linear.out;
        const std::int64_t local = share(layers[first].name, "width", width);
        column_parallel(column->linear, {{0, width, tp_}});
        for (std::size_t l = first + 1; l < second; ++l)
            std::get<ActivationLayer>(layers[l].kind).width = local;
        row_parallel(row->linear);
    }

    int tp_, ep_, etp_;
    LocalModel local_;
};

std::vector<ElementRun> runs_of_matrix(const TensorSplit& split,
                                       const std::vector<std::int64_t>& shape, int tp, int index) {
    std::int64_t row = 1;  // elements of a row
    for (std::size_t d = 1; d < shape.size(); ++d) row *= shape[d];
    if (split.kind == TensorSplit::Kind::whole) return {{0, 0, shape[0] * row}};
    std::vector<ElementRun> runs;
    const auto part = [&](const Section& s) {  // first and count of the rank's block
        const std::int64_t first =
            std::min<std::int64_t>(s.count, index * s.parts / tp * s.local());
        return std::pair{s.first + first, std::min(s.local(), s.count - first)};
    };
    if (split.kind == TensorSplit::Kind::columns) {
        const auto [first, count] = part(split.sections[0]);
        const std::int64_t local = split.sections[0].local();
        for (std::int64_t r = 0; r < shape[0] && count > 0; ++r)
            runs.push_back({r * row + first, r * local, count});
        return runs;
    }
    std::int64_t local = 0;
    for (const Section& s : split.sections) {
        const auto [first, count] = part(s);
        if (count > 0) runs.push_back({first * row, local * row, count * row});
        local += s.local();
    }
    return runs;
}

}  // namespace

std::vector<ElementRun> runs_of(const TensorSplit& split, const std::vector<std::int64_t>& shape,
                                const SplitPlace& place) {
    if (split.experts == 0) return runs_of_matrix(split, shape, place.tp, place.tensor_index);
    const std::vector<std::int64_t> matrix(shape.begin() + 1, shape.end());
    const std::int64_t elements = matrix[0] * matrix[1], local = split.experts / place.ep;
    const std::vector<ElementRun> runs =
        runs_of_matrix(split, matrix, place.etp, place.expert_tensor_index);
    std::vector<ElementRun> all;
    for (std::int64_t e = 0; e < local; ++e)
        for (const ElementRun& run : runs)
            all.push_back({(place.expert_index * local + e) * elements + run.global_first,
                           e * elements / place.etp + run.local_first, run.count});
    return all;
}

LocalModel split_model(const Model& model, int tp, int ep, int etp) {
    if (tp == 1 && ep == 1) return {model, std::vector<TensorSplit>(model.parameters.size())};
    return Splitter(model, tp, ep, etp).run();
}

}  // namespace shardscope
