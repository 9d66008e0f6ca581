#!/usr/bin/env python3
"""Prints what Hugging Face's transformers computes for the tiny models of tests/support/families.cpp.

The table in tests/core/families_test.cpp is this script's output with transformers 4.51.3. It needs
torch and transformers; no test does.
"""

import math

import torch
from transformers import AutoConfig, AutoModelForCausalLM

HIDDEN, VOCAB, FFN, TOKENS = 24, 50, 36, 16
SIZES = dict(
    num_hidden_layers=2,
    hidden_size=HIDDEN,
    num_attention_heads=4,
    intermediate_size=FFN,
    vocab_size=VOCAB,
    max_position_embeddings=TOKENS,
)
GROUPED = dict(SIZES, num_key_value_heads=2)
MODELS = {
    "gpt2": dict(n_layer=2, n_embd=HIDDEN, n_head=4, vocab_size=VOCAB, n_positions=TOKENS),
    "gpt_neox": dict(SIZES, rotary_pct=0.7),
    "opt": dict(SIZES, ffn_dim=FFN, max_position_embeddings=20, word_embed_proj_dim=HIDDEN),
    "llama": dict(
        GROUPED,
        rope_scaling=dict(
            rope_type="llama3",
            factor=4.0,
            low_freq_factor=1.0,
            high_freq_factor=3.0,
            original_max_position_embeddings=8,
        ),
    ),
    "mistral": dict(GROUPED, sliding_window=TOKENS),
    "qwen2": GROUPED,
    "qwen3": dict(GROUPED, head_dim=8, attention_bias=True),
    "gemma": dict(SIZES, head_dim=8, num_key_value_heads=1),
}


def weights(name, *shape):
    """The tensor that is called `name` here: numbers that any program can make."""
    i = torch.arange(math.prod(shape), dtype=torch.float64)
    start = math.fmod(float(sum(name.encode())), 97.0)
    values = 0.3 * torch.sin(start + 0.7 * i + 0.01 * i * torch.sin(i))
    return (values + (1.0 if name.endswith("norm.weight") else 0.0)).reshape(shape)


def put(parameter, values):
    assert parameter.shape == values.shape, (parameter.shape, values.shape)
    parameter.data = values.to(parameter.dtype)


def put_norm(module, name, offset=0.0):
    put(module.weight, weights(name + ".weight", HIDDEN) - offset)
    if getattr(module, "bias", None) is not None:
        put(module.bias, weights(name + ".bias", HIDDEN))


def put_linear(module, name, out, inner, change=lambda values: values):
    put(module.weight, change(weights(name + ".weight", out, inner)))
    if module.bias is not None:
        put(module.bias, change(weights(name + ".bias", out)))


def put_parts(modules, name, rows, inner):
    """Linear layers that are one here."""
    parts = zip(modules, weights(name + ".weight", sum(rows), inner).split(rows))
    for module, values in parts:
        put(module.weight, values)
    if getattr(modules[0], "bias", None) is not None:
        for module, values in zip(modules, weights(name + ".bias", sum(rows)).split(rows)):
            put(module.bias, values)


def fill_gpt2(model):
    body, h = model.transformer, HIDDEN
    put(body.wte.weight, weights("embedding.tokens", VOCAB, h))
    put(body.wpe.weight, weights("embedding.positions", TOKENS, h))

    def turned(values):  # Conv1D stores the transpose
        return values.T.contiguous() if values.dim() == 2 else values

    for i, block in enumerate(body.h):
        put_norm(block.ln_1, f"blocks.{i}.attention_norm")
        put_norm(block.ln_2, f"blocks.{i}.mlp_norm")
        put_linear(block.attn.c_attn, f"blocks.{i}.attention.qkv", 3 * h, h, turned)
        put_linear(block.attn.c_proj, f"blocks.{i}.attention.projection", h, h, turned)
        put_linear(block.mlp.c_fc, f"blocks.{i}.mlp.up", 4 * h, h, turned)
        put_linear(block.mlp.c_proj, f"blocks.{i}.mlp.down", h, 4 * h, turned)
    put_norm(body.ln_f, "head.norm")


def fill_gpt_neox(model):
    body, h = model.gpt_neox, HIDDEN
    put(body.embed_in.weight, weights("embedding.tokens", VOCAB, h))

    def by_head(values):  # q, k and v of a head lie together
        parts = values.reshape(3, 4, h // 4, *values.shape[1:])
        return parts.transpose(0, 1).reshape(values.shape)

    for i, block in enumerate(body.layers):
        put_norm(block.input_layernorm, f"blocks.{i}.attention_norm")
        put_norm(block.post_attention_layernorm, f"blocks.{i}.mlp_norm")
        qkv = block.attention.query_key_value
        put_linear(qkv, f"blocks.{i}.attention.qkv", 3 * h, h, by_head)
        put_linear(block.attention.dense, f"blocks.{i}.attention.projection", h, h)
        put_linear(block.mlp.dense_h_to_4h, f"blocks.{i}.mlp.up", FFN, h)
        put_linear(block.mlp.dense_4h_to_h, f"blocks.{i}.mlp.down", h, FFN)
    put_norm(body.final_layer_norm, "head.norm")
    put(model.embed_out.weight, weights("head.classifier.weight", VOCAB, h))


def fill_opt(model):
    body, h = model.model.decoder, HIDDEN
    put(body.embed_tokens.weight, weights("embedding.tokens", VOCAB, h))
    put(body.embed_positions.weight, weights("embedding.positions", 22, h))
    for i, block in enumerate(body.layers):
        put_norm(block.self_attn_layer_norm, f"blocks.{i}.attention_norm")
        put_norm(block.final_layer_norm, f"blocks.{i}.mlp_norm")
        a = block.self_attn
        put_parts([a.q_proj, a.k_proj, a.v_proj], f"blocks.{i}.attention.qkv", [h] * 3, h)
        put_linear(a.out_proj, f"blocks.{i}.attention.projection", h, h)
        put_linear(block.fc1, f"blocks.{i}.mlp.up", FFN, h)
        put_linear(block.fc2, f"blocks.{i}.mlp.down", h, FFN)
    put_norm(body.final_layer_norm, "head.norm")


def fill_llama_like(model):
    body, h, config = model.model, HIDDEN, model.config
    gemma = 1.0 if config.model_type == "gemma" else 0.0  # its norms multiply by 1 + w
    head = getattr(config, "head_dim", None) or h // 4
    query, key = 4 * head, config.num_key_value_heads * head
    put(body.embed_tokens.weight, weights("embedding.tokens", VOCAB, h))
    for i, block in enumerate(body.layers):
        put_norm(block.input_layernorm, f"blocks.{i}.attention_norm", gemma)
        put_norm(block.post_attention_layernorm, f"blocks.{i}.mlp_norm", gemma)
        a, mlp = block.self_attn, block.mlp
        qkv = [a.q_proj, a.k_proj, a.v_proj]
        put_parts(qkv, f"blocks.{i}.attention.qkv", [query, key, key], h)
        put_linear(a.o_proj, f"blocks.{i}.attention.projection", h, query)
        if hasattr(a, "q_norm"):
            put(a.q_norm.weight, weights(f"blocks.{i}.attention.query_norm.weight", head))
            put(a.k_norm.weight, weights(f"blocks.{i}.attention.key_norm.weight", head))
        put_parts([mlp.gate_proj, mlp.up_proj], f"blocks.{i}.mlp.up", [FFN, FFN], h)
        put_linear(mlp.down_proj, f"blocks.{i}.mlp.down", h, FFN)
    put_norm(body.norm, "head.norm", gemma)
    if not config.tie_word_embeddings:
        put(model.lm_head.weight, weights("head.classifier.weight", VOCAB, h))


FILL = {"gpt2": fill_gpt2, "gpt_neox": fill_gpt_neox, "opt": fill_opt}


def main():
    tokens = [3]
    while len(tokens) <= TOKENS:
        tokens.append((5 * tokens[-1] + 7) % VOCAB)
    for name, sizes in MODELS.items():
        config = AutoConfig.for_model(name, **sizes)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
        model = model.double().eval()
        FILL.get(name, fill_llama_like)(model)
        with torch.no_grad():
            logits = model(torch.tensor([tokens[:-1]])).logits[0].double()
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(tokens[1:]))
        count = sum(p.numel() for p in model.parameters())
        print(f'{{"{name}", {loss.item():.9f}, {count}}},')


if __name__ == "__main__":
    main()
