#include "core/yaml_tree.h"

#include <algorithm>
#include <sstream>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "core/error.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

// Builds the tree while yaml-cpp reports events. A node becomes visible to aliases as soon as it is
// opened, so that an alias to one that is still open is recognised as containing itself.
class TreeBuilder : public YAML::EventHandler {
public:
    explicit TreeBuilder(const std::string& file) : file_(file) {}

    YamlNodePtr root() const { return root_; }

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (documents_++ > 0) {
            fail(mark, "yaml", "a second document starts here", "keep one document per file");
        }
    }
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        add(make(YamlNode::Kind::null, mark, anchor));
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        const auto known = anchors_.find(anchor);
        if (known == anchors_.end()) fail(mark, "yaml", "unknown alias", "define the anchor first");
        for (const Open& open : open_) {
            if (open.node != known->second) continue;
            fail(mark, "alias-loop", "an alias to the value that contains it",
                 "write the value out instead of the alias");
        }
        add(known->second);
    }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        auto node = make(YamlNode::Kind::scalar, mark, anchor);
        refuse_tag(mark, tag);
        node->quoted = tag == "!";  // yaml-cpp's mark of a scalar in quotes or a block scalar
        node->text = value;
        add(node);
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(YamlNode::Kind::sequence, mark, tag, anchor);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(YamlNode::Kind::map, mark, tag, anchor);
    }
    void OnMapEnd() override { close(); }

private:
    struct Open {
        std::shared_ptr<YamlNode> node;
        std::shared_ptr<YamlNode> key;               // map: read, its value not yet
        std::unordered_map<std::string, int> lines;  // map: keys so far
    };

    [[noreturn]] void fail(int line, int column, const char* rule, const std::string& message,
                           const std::string& fix) const {
        throw Error(rule, fmt::format("{}:{}:{}: {}", file_, line, column, message), fix);
    }
    [[noreturn]] void fail(const YAML::Mark& mark, const char* rule, const std::string& message,
                           const std::string& fix) const {
        fail(std::max(mark.line, 0) + 1, std::max(mark.column, 0) + 1, rule, message, fix);
    }

    void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
        if (tag.empty() || tag == "?" || tag == "!") return;
        fail(mark, "yaml", fmt::format("tag {} has no meaning here", tag), "remove the tag");
    }

    std::shared_ptr<YamlNode> make(YamlNode::Kind kind, const YAML::Mark& mark,
                                   YAML::anchor_t anchor) {
        auto node = std::make_shared<YamlNode>();
        node->kind = kind;
        node->line = std::max(mark.line, 0) + 1;
        node->column = std::max(mark.column, 0) + 1;
        if (anchor != 0) anchors_[anchor] = node;
        return node;
    }

    void open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag,
              YAML::anchor_t anchor) {
        refuse_tag(mark, tag);
        if (open_.size() >= kYamlMaxDepth) {
            fail(mark, "too-large", fmt::format("nested deeper than {} levels", kYamlMaxDepth),
                 "a scenario needs fewer than ten levels");
        }
        open_.push_back({make(kind, mark, anchor), nullptr, {}});
    }

    void close() {
        auto node = open_.back().node;
        open_.pop_back();
        add(node);
    }

    // Hangs a finished node into the innermost open one.
    void add(const std::shared_ptr<YamlNode>& node) {
        if (open_.empty()) {
            root_ = node;
            return;
        }
        Open& parent = open_.back();
        parent.node->weight += node->weight;
        if (parent.node->weight > kYamlMaxNodes) {
            fail(node->line, node->column, "too-large",
                 fmt::format("more than {} values, aliases expanded", kYamlMaxNodes),
                 "write fewer values");
        }
        if (parent.node->kind == YamlNode::Kind::sequence) {
            parent.node->items.push_back(node);
        } else if (parent.key == nullptr) {
            add_key(parent, node);
        } else {
            parent.node->entries.push_back({std::move(parent.key), node});
            parent.key = nullptr;
        }
    }

    void add_key(Open& parent, const std::shared_ptr<YamlNode>& key) {
        if (key->kind != YamlNode::Kind::scalar) {
            fail(key->line, key->column, "yaml", "a key that is not a plain word",
                 "use a name as key");
        }
        const auto [earlier, fresh] = parent.lines.emplace(key->text, key->line);
        if (!fresh) {
            fail(key->line, key->column, "duplicate-key",
                 fmt::format("key \"{}\" was already given in line {}", printable(key->text),
                             earlier->second),
                 "keep one of the two");
        }
        parent.key = key;
    }

    const std::string& file_;
    int documents_ = 0;
    YamlNodePtr root_;
    std::vector<Open> open_;
    std::unordered_map<YAML::anchor_t, std::shared_ptr<YamlNode>> anchors_;
};

}  // namespace

YamlNodePtr parse_yaml(const std::string& text, const std::string& file) {
    check_text(text, file);
    std::istringstream stream(text);
    TreeBuilder builder(file);
    try {
        YAML::Parser parser(stream);
        while (parser.HandleNextDocument(builder)) {
        }
    } catch (const YAML::Exception& e) {
        throw Error("yaml",
                    fmt::format("{}:{}:{}: {}", file, std::max(e.mark.line, 0) + 1,
                                std::max(e.mark.column, 0) + 1, e.msg),
                    "check indentation, brackets and quotes around this place");
    }
    YamlNodePtr root = builder.root();
    if (root == nullptr || root->kind == YamlNode::Kind::null) {
        throw Error("empty-file", fmt::format("{}:1:1: the file holds no value", file),
                    "start from a file in scenarios/");
    }
    return root;
}

}  // namespace shardscope
