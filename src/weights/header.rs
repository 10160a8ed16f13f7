//! The header of a safetensors file, believed only as far as the file's length goes.

use crate::error::{Error, Result};
use safetensors::SafeTensors;
use std::ops::Range;

/// What a tensor's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    Bf16,
    /// 64-bit integers.
    I64,
    /// Something that no model here reads; its safetensors name.
    Other(&'static str),
}

impl Dtype {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::I64 => "i64",
            Dtype::Other(name) => name,
        }
    }
}

/// One tensor of a file.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Kind of its numbers.
    pub dtype: Dtype,
    /// Its sizes, slowest first.
    pub shape: Vec<usize>,
    /// Its bytes, counted from the start of the file.
    pub range: Range<usize>,
}

/// The tensors of a file, by name.
pub fn parse(bytes: &[u8]) -> Result<Vec<(String, Entry)>> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| Error::new(format!("not a readable safetensors file ({e})")))?;
    let start = bytes.as_ptr() as usize;
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        let from = view.data().as_ptr() as usize - start;
        let dtype = match view.dtype() {
            safetensors::Dtype::F32 => Dtype::F32,
            safetensors::Dtype::F16 => Dtype::F16,
            safetensors::Dtype::BF16 => Dtype::Bf16,
            safetensors::Dtype::I64 => Dtype::I64,
            safetensors::Dtype::F64 => Dtype::Other("f64"),
            safetensors::Dtype::I32 => Dtype::Other("i32"),
            safetensors::Dtype::U8 => Dtype::Other("u8"),
            safetensors::Dtype::BOOL => Dtype::Other("bool"),
            _ => Dtype::Other("a quantised or integer type"),
        };
        (name, Entry { dtype, shape: view.shape().to_vec(), range: from..from + view.data().len() })
    });
    Ok(tensors.collect())
}
