//! Positional encodings.

use super::leaves::Leaves;
use crate::convert::gin::{Gin, Literal, Params, Reference};
use crate::error::Result;
use serde_json::{Map, Value, json};

/// Bases of the digits of `fixed-base`.
const BASES: [usize; 4] = [11, 13, 14, 15];
/// Digits in each.
const DIGITS: usize = 8;

/// A positional encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Positions {
    /// A table that is learned.
    Table,
    /// One that has no weights, by its name.
    Fixed(String),
    /// Digits of the position in several bases.
    FixedBase,
    /// The position within bins of this length.
    TimeBin(usize),
    /// A table an axis: lengths and widths.
    Axial(Vec<usize>, Vec<usize>),
}

/// Reads it; `default` is the model's `pos_type`.
pub fn read(gin: &Gin, params: &Params, default: Option<&str>, d: usize) -> Result<Positions> {
    let kind = params.text("pos_type", default)?.unwrap_or_default();
    let sides = |name: &str| -> Result<Vec<usize>> {
        match params.get(name)? {
            None | Some(Literal::None) => Ok(Vec::new()),
            Some(value) => value.items().unwrap_or_default().iter().map(|v| params.whole(name, v)).collect(),
        }
    };
    let (shape, widths) = (sides("pos_axial_shape")?, sides("pos_d_axial_embs")?);
    match kind.as_str() {
        "" => Ok(Positions::Table),
        "sin-cos" | "no" => Ok(Positions::Fixed(kind)),
        "fixed-base" if d.is_multiple_of(DIGITS) => Ok(Positions::FixedBase),
        "fixed-base" => Err(params.error("pos_type", format!("is 'fixed-base', which needs a d_model that {DIGITS} divides"))),
        "infinite" | "infinite-affine" => {
            Err(params.error("pos_type", format!("is '{kind}', which depends on jax's random numbers and is not supported")))
        }
        "time-bin" => {
            let bins = gin.params(&Reference { scopes: Vec::new(), name: "TimeBinPositionalEncoding".into() });
            bins.ignore(&["mode"]);
            let length = bins.size("time_bin_length", None)?;
            bins.finish()?;
            Ok(Positions::TimeBin(length))
        }
        // trax takes every other word for this
        _ if !shape.is_empty() && shape.len() == widths.len() && widths.iter().sum::<usize>() == d => Ok(Positions::Axial(shape, widths)),
        _ => Err(params.error("pos_type", format!("is '{kind}', so that `pos_axial_shape` and `pos_d_axial_embs` need as many numbers, the latter with the sum d_model = {d}"))
            .hint("known are None, 'fixed-base', 'sin-cos', 'time-bin', 'no' and 'axial'")),
    }
}

impl Positions {
    /// Its words in config.json; a learned table has none.
    pub fn json(&self, out: &mut Map<String, Value>) {
        let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
        match self {
            Positions::Table => None,
            Positions::Fixed(kind) => put("pos_type", json!(kind)),
            Positions::FixedBase => put("pos_type", json!("fixed-base")),
            Positions::TimeBin(length) => {
                put("pos_type", json!("time-bin"));
                put("time_bin_length", json!(length))
            }
            Positions::Axial(shape, widths) => {
                put("pos_type", json!("axial"));
                put("pos_axial_shape", json!(shape));
                put("pos_d_axial_embs", json!(widths))
            }
        };
    }

    /// Its weights below `path`.
    pub fn leaves(&self, out: &mut Leaves, path: &str, max_len: usize, d: usize) {
        match self {
            Positions::Table => out.add(&format!("{path}.weight"), [max_len, d]),
            Positions::Fixed(_) | Positions::TimeBin(_) => (),
            Positions::FixedBase => {
                for base in BASES {
                    (0..DIGITS).for_each(|i| out.add(&format!("{path}.base.{base}.{i}"), [1, d / DIGITS]));
                }
                out.add(&format!("{path}.start"), [1, 1, d]);
            }
            Positions::Axial(shape, widths) => {
                for (j, (&n, &width)) in shape.iter().zip(widths).enumerate() {
                    let mut stored = vec![1; shape.len() + 2];
                    (stored[j + 1], stored[shape.len() + 1]) = (n, width);
                    out.add_as(&format!("{path}.axis.{j}"), [n, width], stored);
                }
            }
        }
    }
}
