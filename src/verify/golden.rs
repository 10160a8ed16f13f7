//! The file with the reference's inputs and outputs.

use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;

/// An opened golden.
pub struct Golden {
    tensors: BTreeMap<String, Tensor>,
    max_new_tokens: Option<String>,
}

/// Keys that are inputs or compared elsewhere; the rest is reported as not compared.
const KNOWN: &[&str] = &[
    "input_ids",
    "attention_mask",
    "global_attention_mask",
    "decoder_input_ids",
    "logits",
    "logits_by_step",
    "encoder_last_hidden_state",
    "greedy",
    "greedy_step_logits",
    "beam4_lp2_nr3",
    "beam4_score",
    // what a reference drew; what attention makes of it is compared
    "random_blocks",
];

/// How the keys of hidden states begin.
const HIDDEN: [&str; 3] = ["hidden.encoder.", "hidden.encoder_global.", "hidden.decoder."];

const LAYOUT: &str = "a golden is a safetensors file with `input_ids` and a reference's outputs";

impl Golden {
    /// Reads the whole file.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| Error::new(format!("{name}: {e}")).hint(LAYOUT))?;
        let damaged = |e: String| Error::new(format!("{name}: not a readable safetensors file ({e})")).hint(LAYOUT);
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|e| damaged(e.to_string()))?;
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
        let max_new_tokens = header.metadata().as_ref().and_then(|m| m.get("max_new_tokens").cloned());
        Ok(Self { tensors: tensors.into_iter().collect(), max_new_tokens })
    }

    /// A tensor, if there is one.
    pub fn tensor(&self, key: &str) -> Option<&Tensor> {
        self.tensors.get(key)
    }

    /// Keys that nobody compares.
    pub fn other(&self) -> Vec<String> {
        self.tensors.keys().filter(|k| !KNOWN.contains(&k.as_str()) && !HIDDEN.iter().any(|stack| k.starts_with(stack))).cloned().collect()
    }

    /// How far greedy and beam search go.
    pub fn max_new_tokens(&self) -> Result<usize> {
        let text = self.max_new_tokens.as_deref();
        text.and_then(|t| t.parse().ok())
            .ok_or_else(|| Error::new(format!("metadata `max_new_tokens` is {}, not a number", text.unwrap_or("missing"))))
    }

    fn integers(&self, key: &str) -> Result<Option<Vec<Vec<i64>>>> {
        let Some(t) = self.tensors.get(key) else { return Ok(None) };
        let rows = t.to_dtype(DType::I64).and_then(|t| t.to_vec2());
        rows.map(Some).map_err(|e| Error::new(format!("`{key}` is not a matrix of integers ({e})")))
    }

    /// Token ids, one list a row.
    pub fn sequences(&self, key: &str) -> Result<Option<Vec<Vec<u32>>>> {
        let id = |x: i64| u32::try_from(x).map_err(|_| Error::new(format!("`{key}` holds {x}, which is no token id")));
        self.integers(key)?.map(|rows| rows.into_iter().map(|row| row.into_iter().map(id).collect()).collect()).transpose()
    }

    /// `input_ids` without the positions that `attention_mask` leaves out.
    pub fn source(&self) -> Result<Vec<Vec<u32>>> {
        let mut rows = self.sequences("input_ids")?.ok_or_else(|| Error::new("no `input_ids`").hint(LAYOUT))?;
        if let Some(mask) = self.integers("attention_mask")? {
            for (row, mask) in rows.iter_mut().zip(mask) {
                let n = mask.iter().take_while(|m| **m != 0).count();
                if mask[n..].iter().any(|m| *m != 0) || mask.len() != row.len() {
                    return Err(Error::new("`attention_mask` must be ones, then zeros, in every row")
                        .hint("make the golden with padding on the right"));
                }
                row.truncate(n);
            }
        }
        Ok(rows)
    }

    /// Positions of `global_attention_mask` within each of `rows`; none where the key is missing.
    pub fn global(&self, rows: &[Vec<u32>]) -> Result<Vec<Vec<usize>>> {
        let Some(mask) = self.integers("global_attention_mask")? else { return Ok(vec![Vec::new(); rows.len()]) };
        Ok(mask.iter().zip(rows).map(|(mask, row)| (0..row.len()).filter(|&i| mask.get(i).is_some_and(|m| *m != 0)).collect()).collect())
    }

    /// `decoder_input_ids`.
    pub fn target(&self) -> Result<Option<Vec<Vec<u32>>>> {
        self.sequences("decoder_input_ids")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who opened it says where: an error with the path in it would name that twice.
    #[test]
    fn a_golden_without_inputs_says_what_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.safetensors");
        let logits = Tensor::zeros((1, 2), DType::F32, &Device::Cpu).unwrap();
        candle_core::safetensors::save(&std::collections::HashMap::from([("logits", logits)]), &path).unwrap();
        let e = Golden::open(&path).unwrap().source().unwrap_err();
        assert_eq!((e.message(), e.remedy()), ("no `input_ids`", Some(LAYOUT)));
    }
}
