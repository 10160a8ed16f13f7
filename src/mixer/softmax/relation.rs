//! What distances do to softmax attention.
//!
//! With positions i of the query and j of the key, δ = i − j:
//!
//! - `rotary` (Su et al. 2021, <https://arxiv.org/abs/2104.09864>, eq. 34): queries and keys are turned, pair of features by pair, by the angle p · base^(−2 l / w) of their
//!   position p ([`Rotary`]), so that their product depends on δ alone. Keys are remembered turned. `rotary_style` "half" pairs feature l with l + w/2, "interleaved" 2 l with 2 l + 1.
//! - `shaw` (Shaw et al. 2018, <https://arxiv.org/abs/1803.02155>, eq. 3 and 4): q_i · (k_j + a^K(c)) / √d_k and Σ_j p (v_j + a^V(c)) with c = j − i held between −k and k.
//!   Tensors `relative_k.weight`, `relative_v.weight` (2 k + 1, w), which all heads share; row c + k.
//! - `music` (Music Transformer, Huang et al. 2018, <https://arxiv.org/abs/1809.04281>, eq. 3): (q_i · k_j + q_i · E_h(L − 1 − δ)) / √d_k, causal only. Tensor
//!   `relative.weight` (h, L, w). Keys farther than the table goes take its first row; the paper's table is as long as its longest text.
//!
//!
//! T5 (Raffel et al. 2020, <https://arxiv.org/abs/1910.10683>, section 2.1) adds a number a head and bucket of distances to the score; it has no entry here,
//! models of that kind bring the numbers ([`Relation::Biases`]).
//!
//! | here | papers |
//! |---|---|
//! | `max_distance` | k, clipping distance of Shaw et al.; L, rows of E^r of Music Transformer |

use crate::block::{Heads, Rotary, RotaryStyle};
use crate::error::{Error, Result};
use crate::kernel::attention::{Biases, Distances, Relative};
use crate::mixer::Place;
use serde::Deserialize;
use std::sync::Arc;

/// `relative` of config.json.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Rotary,
    Shaw,
    Music,
}

/// What the entry `mixer` says about distances.
#[derive(Deserialize, Debug, Clone, Copy)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    relative: Option<Kind>,
    max_distance: Option<usize>,
    rotary_base: Option<f64>,
    rotary_style: Option<RotaryStyle>,
}

/// How distances count.
#[derive(Debug, Clone)]
pub enum Relation {
    /// Queries and keys are turned.
    Turned(Rotary),
    /// A table has a row a distance.
    Table(Table),
    /// Each head has a number for a distance: T5's relative position bias.
    Biases(Arc<Biases>),
}

/// Rows for distances, and which of them is a query's own position.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Arc<Distances>,
    own: usize,
    numbers: usize,
}

/// Distances beyond this are typing errors.
const MOST: usize = 1 << 24;

/// What the options name. Fails where they do not fit together.
pub(super) fn load(o: Options, place: &Place, causal: bool) -> Result<Option<Relation>> {
    let Some(kind) = o.relative else {
        return match (o.max_distance, o.rotary_base, o.rotary_style) {
            (None, None, None) => Ok(None),
            _ => Err(Error::new("config.json: `max_distance`, `rotary_base` or `rotary_style` without `relative`")
                .hint("say which: \"rotary\", \"shaw\" or \"music\", or leave them out")),
        };
    };
    if kind == Kind::Rotary {
        if o.max_distance.is_some() {
            return Err(
                Error::new("config.json: `max_distance` with `relative` \"rotary\", which knows no greatest distance").hint("leave it out")
            );
        }
        let rotary = Rotary::new(place.heads.width, o.rotary_base.unwrap_or(10_000.0), o.rotary_style.unwrap_or_default())?;
        return Ok(Some(Relation::Turned(rotary)));
    }
    if o.rotary_base.is_some() || o.rotary_style.is_some() {
        return Err(Error::new("config.json: `rotary_base` or `rotary_style` without `relative` \"rotary\"").hint("leave them out"));
    }
    let n = match o.max_distance {
        None => {
            return Err(Error::new("config.json: `relative` needs `max_distance`")
                .hint("shaw: the distance that is clipped to; music: rows of the table"));
        }
        Some(n) if n == 0 || n > MOST => {
            return Err(Error::new(format!("config.json: `max_distance` is {n}, not between 1 and {MOST}")));
        }
        Some(n) => n,
    };
    let table = match kind {
        Kind::Music if !causal => {
            return Err(Error::new("config.json: `relative` \"music\" knows no later positions, it cannot read with `\"causal\": false`")
                .hint("\"shaw\" and \"rotary\" know both directions"));
        }
        Kind::Music => music(place, n)?,
        _ => shaw(place, n)?,
    };
    Ok(Some(Relation::Table(table)))
}

fn shaw(place: &Place, k: usize) -> Result<Table> {
    let (n, width) = (2 * k + 1, place.heads.width);
    let table = |name: &str| place.w.pp(name).get("weight", &[n, width]);
    let (keys, values) = (table("relative_k")?, table("relative_v")?);
    Ok(Table { rows: Arc::new(Distances::new((1, width), &keys, Some(&values))), own: k, numbers: 2 * n * width })
}

fn music(place: &Place, n: usize) -> Result<Table> {
    let Heads { count, width, .. } = place.heads;
    let stored = place.w.pp("relative").get("weight", &[count, n, width])?;
    // (h, L, w) -> (L, h w); a blueprint has no numbers
    let mut rows = vec![0.0; stored.len()];
    for (at, row) in stored.chunks_exact(width).enumerate() {
        let (head, distance) = (at / n, at % n);
        rows[(distance * count + head) * width..][..width].copy_from_slice(row);
    }
    Ok(Table { rows: Arc::new(Distances::new((count, width), &rows, None)), own: n - 1, numbers: count * n * width })
}

impl Table {
    /// For these queries, (t, h w).
    pub(super) fn of<'a>(&'a self, q: &'a [f32]) -> Relative<'a> {
        Relative { q, table: &self.rows, own: self.own }
    }
}

impl Relation {
    /// The table, if it is one.
    pub(super) fn table(&self) -> Option<&Table> {
        match self {
            Relation::Table(table) => Some(table),
            Relation::Turned(_) | Relation::Biases(_) => None,
        }
    }

    /// The numbers, if it is they.
    pub(super) fn biases(&self) -> Option<&Biases> {
        match self {
            Relation::Biases(numbers) => Some(numbers),
            Relation::Turned(_) | Relation::Table(_) => None,
        }
    }

    /// Turns queries or keys, (positions, h w), where that is the kind.
    pub(super) fn turn(&self, x: &mut [f32], heads: usize, positions: impl Iterator<Item = usize>) {
        if let Relation::Turned(rotary) = self {
            rotary.apply(x, heads, positions);
        }
    }

    /// Bytes of the table or the numbers.
    pub(super) fn bytes(&self) -> usize {
        self.table().map_or(0, |t| t.numbers * size_of::<f32>()) + self.biases().map_or(0, Biases::bytes)
    }
}

#[cfg(test)]
mod tests;
