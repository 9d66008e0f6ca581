#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/data/read_file.h"
#include "core/data/sources.h"

namespace shardscope {
namespace {

// Files of the MNIST family: big-endian 32-bit words, first the magic 0x08 (unsigned bytes) and the
// number of dimensions, then each dimension, then the bytes (LeCun et al., THE MNIST DATABASE).
constexpr std::uint32_t kImagesMagic = 0x00000803, kLabelsMagic = 0x00000801;

std::uint32_t big_endian(const std::uint8_t* b) {
    return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | b[3];
}

[[noreturn]] void fail_idx(const std::string& path, const std::string& message, std::string fix) {
    throw data_error("idx-format", path, message, std::move(fix));
}

struct IdxFile {
    std::vector<std::uint8_t> bytes;
    std::size_t count = 0, width = 1;  // items, and bytes per item
    std::size_t header = 0;            // bytes before the first item

    const std::uint8_t* item(std::size_t i) const { return bytes.data() + header + i * width; }
};

void check_idx_header(const std::string& path, const std::vector<std::uint8_t>& bytes,
                      std::uint32_t magic, std::size_t header) {
    if (bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b)
        fail_idx(path, "is compressed with gzip", "unpack it with gunzip");
    const std::uint32_t found = bytes.size() < 4 ? 0 : big_endian(bytes.data());
    if (found != magic)
        fail_idx(path, fmt::format("starts with {:#010x}, not the magic {:#010x}", found, magic),
                 "name idx files, images first: {idx: [images, labels]}");
    if (bytes.size() < header)
        fail_idx(path, fmt::format("has {} bytes, less than the header's {}", bytes.size(), header),
                 "name an idx file such as train-images-idx3-ubyte");
}

IdxFile read_idx(const std::string& path, std::uint32_t magic) {
    const std::size_t dimensions = magic & 0xff;
    IdxFile file;
    file.bytes = read_file(path);
    file.header = 4 * (1 + dimensions);
    check_idx_header(path, file.bytes, magic, file.header);
    file.count = big_endian(file.bytes.data() + 4);
    // Three dimensions below 2³² can exceed 64 bits: divide instead of multiplying.
    const std::size_t body = file.bytes.size() - file.header;
    std::size_t items = body;
    bool whole = true;
    for (std::size_t d = 1; d < dimensions; ++d) {
        const std::size_t extent = big_endian(file.bytes.data() + 4 * (1 + d));
        if (extent == 0) fail_idx(path, "has images of no pixels", "name another file");
        whole = whole && items % extent == 0;
        items /= extent;
        file.width *= extent;
    }
    if (file.count == 0) fail_idx(path, "holds no items", "name a file with samples");
    if (!whole || items != file.count)
        fail_idx(path,
                 fmt::format("has {} bytes after its header, not {} items of {} bytes", body,
                             file.count, file.width),
                 "write or copy the file again");
    return file;
}

class IdxImages final : public FeatureSource {
public:
    IdxImages(IdxFile images, IdxFile labels, std::uint64_t seed)
        : images_(std::move(images)), labels_(std::move(labels)), seed_(seed) {}

    void features(std::uint64_t index, std::span<float> values,
                  std::int32_t& label) const override {
        expect_sample_size("features", values.size(), images_.width);
        const auto i = static_cast<std::size_t>(draw_below(images_.count, seed_, index));
        const std::uint8_t* pixels = images_.item(i);
        for (std::size_t j = 0; j < images_.width; ++j)
            values[j] = static_cast<float>(pixels[j]) / 255.0F;
        label = *labels_.item(i);
    }

private:
    IdxFile images_, labels_;
    std::uint64_t seed_;
};

void check_against_model(const IdxData& data, const IdxFile& images, const IdxFile& labels,
                         const Model& model) {
    if (images.width != static_cast<std::size_t>(model.input_width))
        throw data_error("idx-size", data.images,
                         fmt::format("has images of {} pixels, but the model takes {}",
                                     images.width, model.input_width),
                         fmt::format("make the first layer's input width {}", images.width));
    if (images.count != labels.count)
        throw data_error("idx-size", data.labels,
                         fmt::format("has {} labels for {} images", labels.count, images.count),
                         "use files that belong together");
    for (std::size_t i = 0; i < labels.count; ++i)
        if (*labels.item(i) >= model.classes)
            throw data_error(
                "label-range", data.labels,
                fmt::format("label {} at position {} is not below the model's {} classes",
                            *labels.item(i), i, model.classes),
                "make the last layer wider");
}

}  // namespace

std::unique_ptr<DataSource> open_idx(const IdxData& data, const Model& model, std::uint64_t seed) {
    IdxFile images = read_idx(data.images, kImagesMagic);
    IdxFile labels = read_idx(data.labels, kLabelsMagic);
    check_against_model(data, images, labels, model);
    return std::make_unique<IdxImages>(std::move(images), std::move(labels), seed);
}

}  // namespace shardscope
