//! What distances add to softmax attention.
//!
//! With positions i of the query and j of the key, δ = i − j:
//!
//! - `shaw` (Shaw et al. 2018, <https://arxiv.org/abs/1803.02155>, eq. 3 and 4): q_i · (k_j + a^K(c)) / √d_k and Σ_j p (v_j + a^V(c)) with c = j − i held between −k and k.
//!   Tensors `relative_k.weight`, `relative_v.weight` (2 k + 1, w), which all heads share; row c + k.
//! - `music` (Music Transformer, Huang et al. 2018, <https://arxiv.org/abs/1809.04281>, eq. 3): (q_i · k_j + q_i · E_h(L − 1 − δ)) / √d_k, causal only. Tensor
//!   `relative.weight` (h, L, w). Keys farther than the table goes take its first row; the paper's table is as long as its longest text.
//!
//! | here | papers |
//! |---|---|
//! | `max_distance` | k, clipping distance of Shaw et al.; L, rows of E^r of Music Transformer |

use crate::block::Heads;
use crate::error::{Error, Result};
use crate::kernel::attention::{Distances, Relative};
use crate::mixer::Place;
use serde::Deserialize;
use std::sync::Arc;

/// `relative` of config.json.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Shaw,
    Music,
}

/// Rows for distances, and which of them is a query's own position.
#[derive(Debug, Clone)]
pub struct Relation {
    table: Arc<Distances>,
    own: usize,
    numbers: usize,
}

/// Distances beyond this are typing errors.
const MOST: usize = 1 << 24;

/// What the options name. Fails where they do not fit together.
pub(super) fn load(kind: Option<Kind>, max_distance: Option<usize>, place: &Place, causal: bool) -> Result<Option<Relation>> {
    let n = match (kind, max_distance) {
        (None, None) => return Ok(None),
        (None, Some(_)) => {
            return Err(Error::new("config.json: `max_distance` without `relative`").hint("say which: \"shaw\" or \"music\", or leave it out"));
        }
        (Some(_), None) => {
            return Err(Error::new("config.json: `relative` needs `max_distance`").hint("shaw: the distance that is clipped to; music: rows of the table"));
        }
        (Some(_), Some(n)) if n == 0 || n > MOST => {
            return Err(Error::new(format!("config.json: `max_distance` is {n}, not between 1 and {MOST}")));
        }
        (Some(_), Some(n)) => n,
    };
    match kind {
        Some(Kind::Music) if !causal => Err(Error::new("config.json: `relative` \"music\" knows no distances to later positions, it cannot read with `\"causal\": false`")
            .hint("\"shaw\" knows both directions")),
        Some(Kind::Music) => music(place, n).map(Some),
        _ => shaw(place, n).map(Some),
    }
}

fn shaw(place: &Place, k: usize) -> Result<Relation> {
    let (n, width) = (2 * k + 1, place.heads.width);
    let table = |name: &str| place.w.pp(name).get("weight", &[n, width]);
    let (keys, values) = (table("relative_k")?, table("relative_v")?);
    Ok(Relation { table: Arc::new(Distances::new((1, width), &keys, Some(&values))), own: k, numbers: 2 * n * width })
}

fn music(place: &Place, n: usize) -> Result<Relation> {
    let Heads { count, width, .. } = place.heads;
    let stored = place.w.pp("relative").get("weight", &[count, n, width])?;
    // (h, L, w) -> (L, h w); a blueprint has no numbers
    let mut rows = vec![0.0; stored.len()];
    for (at, row) in stored.chunks_exact(width).enumerate() {
        let (head, distance) = (at / n, at % n);
        rows[(distance * count + head) * width..][..width].copy_from_slice(row);
    }
    Ok(Relation { table: Arc::new(Distances::new((count, width), &rows, None)), own: n - 1, numbers: count * n * width })
}

impl Relation {
    /// For these queries, (t, h w).
    pub(super) fn of<'a>(&'a self, q: &'a [f32]) -> Relative<'a> {
        Relative { q, table: &self.table, own: self.own }
    }

    /// Bytes of the table.
    pub(super) fn bytes(&self) -> usize {
        self.numbers * size_of::<f32>()
    }
}
