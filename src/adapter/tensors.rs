//! Names in adapter_model.safetensors: which module, and what of it.

/// What a tensor is to the module before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// `lora_A`, (r, in).
    A,
    /// `lora_B`, (out, r).
    B,
    /// The bias beside `lora_B`, (out).
    Bias,
    /// `lora_embedding_A`, (r, V).
    TableA,
    /// `lora_embedding_B`, (d, r).
    TableB,
    /// `lora_magnitude_vector` of DoRA, (out), of a table (d).
    Magnitude,
    /// Rows of a table, (tokens, d).
    Tokens,
    /// A parameter of the module below the adapter, as the adapter's training had it.
    Base(String),
    /// A parameter of a module that was trained whole.
    Whole(String),
    /// The same once more: PEFT stores biases of such a module under two names where it stores all biases.
    Again(String),
    /// What such a module was before, which nobody computes with.
    Before(String),
}

/// What stands before every name.
const ROOT: &str = "base_model.model.";

/// The module that a tensor belongs to and what it is there; none if no adapter of LoRA has such a tensor.
///
/// An adapter's own name may follow (`lora_A.default.weight`): files that PEFT has not written itself have it.
pub fn parse(name: &str) -> Option<(String, Part)> {
    let words: Vec<&str> = name.strip_prefix(ROOT).unwrap_or(name).split('.').collect();
    let own = |w: &&str| w.starts_with("lora_") || ["token_adapter", "base_layer", "modules_to_save", "original_module"].contains(w);
    let Some(at) = words.iter().position(own) else {
        let (last, module) = words.split_last().filter(|(_, module)| !module.is_empty())?;
        return Some((module.join("."), Part::Whole((*last).to_owned())));
    };
    let part = match (words[at], &words[at + 1..]) {
        ("lora_A", ["weight"] | [_, "weight"]) => Part::A,
        ("lora_B", ["weight"] | [_, "weight"]) => Part::B,
        ("lora_B", ["bias"] | [_, "bias"]) => Part::Bias,
        ("lora_embedding_A", [] | [_]) => Part::TableA,
        ("lora_embedding_B", [] | [_]) => Part::TableB,
        ("lora_magnitude_vector", [] | [_] | [_, "weight"]) => Part::Magnitude,
        ("token_adapter", ["trainable_tokens_delta"] | ["trainable_tokens_delta", _]) => Part::Tokens,
        ("base_layer", [parameter]) => Part::Base((*parameter).to_owned()),
        ("original_module", [parameter]) => Part::Before((*parameter).to_owned()),
        ("modules_to_save", [parameter]) => Part::Again((*parameter).to_owned()),
        ("modules_to_save", [_, inner @ .., parameter]) => {
            let module = [&words[..at], inner].concat().join(".");
            return Some((module, Part::Whole((*parameter).to_owned()))).filter(|_| at > 0);
        }
        _ => return None,
    };
    (at > 0).then(|| (words[..at].join("."), part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_module_and_part() {
        let whole = |s: &str| Part::Whole(s.to_owned());
        for (name, module, part) in [
            ("base_model.model.h.0.attn.c_attn.lora_A.weight", "h.0.attn.c_attn", Part::A),
            ("base_model.model.a.lora_B.default.weight", "a", Part::B),
            ("a.b.lora_B.bias", "a.b", Part::Bias),
            ("base_model.model.wte.lora_embedding_A", "wte", Part::TableA),
            ("base_model.model.wte.lora_embedding_B.default", "wte", Part::TableB),
            ("base_model.model.a.lora_magnitude_vector", "a", Part::Magnitude),
            ("base_model.model.a.lora_magnitude_vector.default.weight", "a", Part::Magnitude),
            ("base_model.model.wte.token_adapter.trainable_tokens_delta", "wte", Part::Tokens),
            ("base_model.model.a.base_layer.bias", "a", Part::Base("bias".into())),
            ("base_model.model.lm_head.weight", "lm_head", whole("weight")),
            ("base_model.model.lm_head.modules_to_save.default.weight", "lm_head", whole("weight")),
            ("base_model.model.norm.modules_to_save.bias", "norm", Part::Again("bias".into())),
            ("base_model.model.norm.original_module.bias", "norm", Part::Before("bias".into())),
            ("base_model.model.attn.modules_to_save.default.q.weight", "attn.q", whole("weight")),
        ] {
            assert_eq!(parse(name), Some((module.to_owned(), part)), "{name}");
        }
        for name in ["lora_A.weight", "weight", "base_model.model.a.lora_A", "a.lora_diag.x", "a.lora_A.x.y.weight", "a.lora_B.default", ""]
        {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
