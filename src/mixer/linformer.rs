//! Linformer: keys and values projected along the length of the text (Wang et al. 2020, <https://arxiv.org/abs/2006.04768>, section 4, eq. 7).
//!
//! head = softmax( Q W_q (E K W_k)ᵀ / √d_k ) · F V W_v, E and F of k rows and N columns: n queries look at k rows instead of n keys.
//!
//! | here | paper |
//! |---|---|
//! | `squeeze.0`, `squeeze.1` | E_i, F_i; one for all heads or one a head |
//! | rows, columns of [`Lengthwise`](crate::kernel::lengthwise::Lengthwise) | k, n (the longest text) |
//! | `heads.width`, `heads.scale` | d_k, 1/√d_k |
//!
//! Every projected row is a sum over all positions, so no mask of scores hides the future: the attention reads whole texts and does not decode.
//! [`super::LinformerBlockwise`] is what stands in a causal stack.
//!
//! Loads: `effattn_lm`, and the self-attention of `linformer_lm`, `linformer_tatp22_lm` and `linformer_roberta`, which differ in three ways: E and F project the
//! keys and values (the paper, [`When::Keys`]) or what k_proj and v_proj read ([`When::Inputs`], fairseq: with biases W(E x) + b is not E(W x + b)); how many
//! E and F there are; and what a convolution or nothing may stand in their place (tatp22's package).
//!
//! A text shorter than N takes the leading columns; a longer one is an error, as E has nothing for it. Where fairseq pads a batch, the padding goes through E as any
//! position does and moves the outputs of the text (by up to 11 in logits of deviation 3.4 in a batch of three texts of 32 tokens and fewer); here nothing is padded.

use super::{Documents, Growth, Place, Reader, Spec, options};
use crate::block::{Dense, Heads};
use crate::error::{Error, Result};
use crate::kernel::attention::{Job, Span, Visible, attend};
use crate::kernel::keys::Keys;
use crate::kernel::precision::Precision;
use crate::kernel::{slice, tensor};
use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;
use squeeze::{one_a_head, whole};
use std::sync::Arc;

mod squeeze;

pub use squeeze::Squeeze;
pub(crate) use squeeze::columns;

pub(super) const SPEC: Spec = Spec {
    name: "linformer",
    paper: "Linformer: Self-Attention with Linear Complexity, arXiv 2006.04768",
    state: Growth::None,
    causal: false,
    bidirectional: true,
    mixer: None,
    reader: Some(|entry, place| Ok(Box::new(load(entry, place)?))),
    tiny: &[
        r#"{"name": "linformer", "length": 70, "k": 7}"#,
        r#"{"name": "linformer", "length": 66, "k": 16, "share": "none"}"#,
        r#"{"name": "linformer", "length": 300, "k": 5, "share": "key_value", "project": "inputs"}"#,
        r#"{"name": "linformer", "length": 70, "k": 33, "share": "layerwise"}"#,
        r#"{"name": "linformer", "length": 70, "k": 4, "share": "none", "project": "inputs"}"#,
    ],
};

/// Why it cannot stand in a causal stack, and what can.
pub(crate) const NOT_CAUSAL: (&str, &str) = (
    "its E and F mix all positions into every row that a query sees, so no mask can hide the future",
    "`linformer_blockwise` projects completed blocks of the past alone; or say `\"causal\": false`: then the model reads whole texts",
);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    length: usize,
    k: usize,
    #[serde(default)]
    share: Share,
    #[serde(default)]
    project: When,
}

/// Which E and F are the same.
#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Share {
    /// Each head has its own.
    None,
    /// One of each for all heads.
    #[default]
    Headwise,
    /// One for all heads, keys and values.
    KeyValue,
    /// One for all layers too.
    Layerwise,
}

/// What E and F are applied to.
#[derive(Debug, Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Keys and values.
    #[default]
    Keys,
    /// What keys and values are made of.
    Inputs,
}

/// Columns of all heads' E together beyond which a configuration is a typing error.
const MOST: usize = 1 << 28;

fn load(entry: &Value, place: &Place) -> Result<Linformer> {
    let o: Options = options(entry)?;
    let separate = if o.share == Share::None { place.heads.count } else { 1 };
    for (key, n, most) in [("length", o.length, 1 << 24), ("k", o.k, 1 << 16)] {
        if n == 0 || n > most {
            return Err(Error::new(format!("config.json: `mixer` \"linformer\": `{key}` is {n}, not between 1 and {most}"))
                .hint("`length` is the longest text in tokens, `k` the rows that it is projected to"));
        }
    }
    if o.length * separate > MOST {
        return Err(Error::new(format!("config.json: `mixer` \"linformer\": {separate} projections of a `length` of {}", o.length))
            .hint("share them between the heads: `\"share\": \"headwise\"`"));
    }
    let sizes = (o.k, o.length);
    let of = |name: &str| match o.share {
        Share::None => one_a_head(&place.w.pp(name), separate, sizes),
        _ => Ok(vec![Arc::new(Squeeze::Matrix(whole(&place.w.pp(name), sizes)?))]),
    };
    let (e, f) = match o.share {
        Share::None | Share::Headwise => (of("project_k")?, Some(of("project_v")?)),
        Share::KeyValue => (of("project_k")?, None),
        Share::Layerwise => {
            (vec![place.root.shared("project.weight", || Ok(Squeeze::Matrix(whole(&place.root.pp("project"), sizes)?)))?], None)
        }
    };
    let inner = place.heads.count * place.heads.width;
    let one = |name: &str| place.linear(name, (inner, place.d), place.qkv_bias);
    Ok(Linformer {
        heads: place.heads,
        q: one("q_proj")?,
        k: one("k_proj")?,
        v: Some(one("v_proj")?),
        out: place.linear("out_proj", (place.d, inner), place.out_bias)?,
        squeeze: (e, f),
        when: o.project,
        visible: Visible::All,
    })
}

/// The attention.
pub struct Linformer {
    /// Sizes.
    pub heads: Heads,
    /// Queries, (h w, d).
    pub q: Dense,
    /// Keys, (h w, d), or (w, d) where the heads share them.
    pub k: Dense,
    /// Values as keys; none where the keys are the values.
    pub v: Option<Dense>,
    /// (d, h w).
    pub out: Dense,
    /// E and F, one or one a head; no F where E is both.
    pub squeeze: (Vec<Arc<Squeeze>>, Option<Vec<Arc<Squeeze>>>),
    /// What they are applied to.
    pub when: When,
    /// Which rows a query sees: all, but for the quirk of a reference.
    pub visible: Visible,
}

/// Features `h` w to (`h` + 1) w of rows of `d`.
fn head_of(x: &[f32], d: usize, w: usize, h: usize) -> Vec<f32> {
    x.chunks_exact(d).flat_map(|row| &row[h * w..(h + 1) * w]).copied().collect()
}

/// What `of` gives for each head, (k, w) each, side by side.
fn beside(heads: usize, w: usize, of: impl Fn(usize) -> Vec<f32>) -> Vec<f32> {
    let mut out = Vec::new();
    for h in 0..heads {
        let part = of(h);
        out.resize(part.len() * heads, 0.0);
        for (to, from) in out.chunks_exact_mut(heads * w).zip(part.chunks_exact(w)) {
            to[h * w..(h + 1) * w].copy_from_slice(from);
        }
    }
    out
}

impl Linformer {
    /// Rows that the queries of a text see, (k, h w): `x` are its inputs, `y` what `dense` made of them where that comes first.
    fn rows(&self, squeeze: &[Arc<Squeeze>], dense: &Dense, x: &[f32], y: &[f32]) -> Vec<f32> {
        let (h, w, wide) = (self.heads.count, self.heads.width, dense.shape().0);
        let (d, own) = (dense.shape().1, wide / w);
        // a convolution mixes the features of a head, and is one for each
        let apart = squeeze.len() > 1 || matches!(*squeeze[0], Squeeze::Windows(_));
        let of = |h: usize| &squeeze[h % squeeze.len()];
        let rows = match (self.when, apart) {
            (When::Keys, false) => of(0).apply(y, wide),
            (When::Keys, true) => beside(own, w, |h| of(h).apply(&head_of(y, wide, w, h), w)),
            (When::Inputs, false) => dense.apply(&of(0).apply(x, d)),
            (When::Inputs, true) => beside(own, w, |h| head_of(&dense.apply(&of(h).apply(x, d)), wide, w, h)),
        };
        if own == h { rows } else { beside(h, w, |_| rows.clone()) }
    }

    /// One text: its queries, inputs, keys and values -> the rows that the queries see.
    fn keys(&self, x: &[f32], [k, v]: [&[f32]; 2]) -> Keys {
        let (e, f) = (&self.squeeze.0, self.squeeze.1.as_ref().unwrap_or(&self.squeeze.0));
        let k = self.rows(e, &self.k, x, k);
        let mut keys = Keys::new(self.heads.count, self.heads.width, Precision::F32);
        match &self.v {
            Some(dense) => keys.append(&k, &self.rows(f, dense, x, v)),
            None => keys.append(&k, &k),
        }
        keys
    }

    /// Fails if a document is longer than E.
    fn fits(&self, documents: &Documents) -> Result<()> {
        match (Reader::limit(self), documents.lengths().iter().max()) {
            (Some(most), Some(&n)) if n > most => {
                Err(Error::new(format!("a text of {n} tokens, but Linformer's projections have {most} columns, one a position"))
                    .hint("they are learned and do not go on: shorten the text, or take a model of more positions"))
            }
            _ => Ok(()),
        }
    }
}

impl Reader for Linformer {
    /// Queries, keys and values, what comes out of the heads and of the output, and the rows of one text, small beside them.
    fn work_bytes(&self, n: usize) -> usize {
        let wide = |dense: &Dense| dense.shape().0;
        let (q, k, v) = (wide(&self.q), wide(&self.k), self.v.as_ref().map_or(0, wide));
        n * (2 * q + if self.when == When::Keys { k + v } else { 0 } + wide(&self.out)) * size_of::<f32>()
    }

    fn bytes(&self) -> usize {
        let all = self.squeeze.0.iter().chain(self.squeeze.1.iter().flatten());
        let dense: usize = [&self.q, &self.k, &self.out].into_iter().chain(&self.v).map(Dense::bytes).sum();
        dense + all.map(|s| s.bytes()).sum::<usize>()
    }

    fn limit(&self) -> Option<usize> {
        self.squeeze.0.iter().chain(self.squeeze.1.iter().flatten()).filter_map(|s| s.limit()).min()
    }

    fn read(&self, xs: &Tensor, documents: &Documents) -> Result<Tensor> {
        self.fits(documents)?;
        let (h, w) = (self.heads.count, self.heads.width);
        let (inner, d) = self.q.shape();
        let mixed = slice(xs, |x| {
            let [q, k, v] = match (self.when, &self.v) {
                (When::Inputs, _) => [self.q.apply(x), Vec::new(), Vec::new()],
                (When::Keys, Some(v)) => Dense::all([&self.q, &self.k, v], x),
                (When::Keys, None) => [self.q.apply(x), self.k.apply(x), Vec::new()],
            }; // (Σ n, h w)
            let part =
                |y: &'_ [f32], r: &std::ops::Range<usize>, wide: usize| y.get(r.start * wide..r.end * wide).unwrap_or_default().to_vec();
            let wide = self.k.shape().0;
            let of = |r: std::ops::Range<usize>| self.keys(&x[r.start * d..r.end * d], [&part(&k, &r, wide), &part(&v, &r, wide)]);
            let keys: Vec<Keys> = documents.ranges().map(of).collect();
            let job = |(r, keys)| {
                let r: std::ops::Range<usize> = r;
                Job { q: &q[r.start * inner..r.end * inner], spans: vec![Span { keys, visible: self.visible, hidden: &[], bias: None }] }
            };
            let jobs: Vec<Job> = documents.ranges().zip(&keys).map(job).collect();
            self.out.apply(&attend(&jobs, h, w, self.heads.scale))
        })?;
        tensor(mixed, xs.shape())
    }
}

#[cfg(test)]
mod tests;
