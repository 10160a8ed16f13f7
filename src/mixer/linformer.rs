//! Linformer: keys and values projected along the length of the text (Wang et al. 2020, <https://arxiv.org/abs/2006.04768>, section 4, eq. 7).
//!
//! head = softmax( Q W_q (E K W_k)ᵀ / √d_k ) · F V W_v, E and F of k rows and N columns: n queries look at k rows instead of n keys.
//!
//! | here | paper |
//! |---|---|
//! | `squeeze.0`, `squeeze.1` | E_i, F_i; one for all heads or one a head |
//! | rows, columns of [`Lengthwise`] | k, n (the longest text) |
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
use crate::block::{Dense, Heads, Linear};
use crate::error::{Error, Result};
use crate::kernel::attention::{Job, Span, Visible, attend};
use crate::kernel::keys::Keys;
use crate::kernel::lengthwise::Lengthwise;
use crate::kernel::linear::Layout;
use crate::kernel::precision::Precision;
use crate::kernel::{slice, tensor};
use crate::weights::Weights;
use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

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

/// `weight` (h, k, N) below `w`: a matrix for each head.
fn one_a_head(w: &Weights, heads: usize, (k, n): (usize, usize)) -> Result<Vec<Arc<Squeeze>>> {
    let numbers = w.numbers("weight", &[heads, k, n])?;
    let one = |h: usize| {
        let part = numbers.get(h * k * n..(h + 1) * k * n).unwrap_or_default();
        Arc::new(Squeeze::Matrix(columns(w, part, (k, n), Layout::OutIn, None)))
    };
    Ok((0..heads).map(one).collect())
}

/// `weight` (k, N) below `w`.
fn whole(w: &Weights, sizes: (usize, usize)) -> Result<Lengthwise> {
    Ok(columns(w, &w.numbers("weight", &[sizes.0, sizes.1])?, sizes, Layout::OutIn, None))
}

/// E (k, N) of numbers that lie so or, [`Layout::InOut`], as (N, k); none in a blueprint.
pub(crate) fn columns(w: &Weights, numbers: &[f32], (k, n): (usize, usize), layout: Layout, bias: Option<Vec<f32>>) -> Lengthwise {
    Lengthwise::new((k, n), bias, |range| {
        let (first, wide) = (range.start, range.len());
        let at = |i: usize| match layout {
            Layout::OutIn => i / wide * n + first + i % wide,
            Layout::InOut => (first + i % wide) * k + i / wide,
        };
        let part = if numbers.is_empty() { Vec::new() } else { (0..k * wide).map(|i| numbers[at(i)]).collect() };
        w.made(part, (k, wide))
    })
}

/// What makes few rows of the many of a text: (n, w) -> (k, w).
#[derive(Debug)]
pub enum Squeeze {
    /// E x + b.
    Matrix(Lengthwise),
    /// A convolution over windows side by side: each gives a row, positions behind the last whole one count for nothing. Input s w + f is feature f of the window's
    /// position s.
    Windows(Linear),
    /// All rows as they are: full attention.
    Whole,
}

impl Squeeze {
    fn apply(&self, x: &[f32], width: usize) -> Vec<f32> {
        match self {
            Self::Matrix(e) => e.apply(x, width),
            Self::Windows(conv) => {
                let (_, inputs) = conv.shape();
                conv.apply(&x[..x.len() / inputs * inputs])
            }
            Self::Whole => x.to_vec(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Matrix(e) => e.bytes(),
            Self::Windows(conv) => conv.bytes(),
            Self::Whole => 0,
        }
    }

    /// The longest text.
    fn limit(&self) -> Option<usize> {
        match self {
            Self::Matrix(e) => Some(e.shape().1),
            Self::Windows(_) | Self::Whole => None,
        }
    }
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
mod tests {
    use super::*;
    use crate::kernel::linear::Packed;
    use crate::kernel::testing::noise;

    const D: usize = 10;
    const K: usize = 5;
    const N: usize = 12;

    fn dense(outputs: usize, seed: u64) -> (Vec<f32>, Vec<f32>, Dense) {
        let (w, b) = (noise(outputs * D, seed), noise(outputs, seed + 50));
        let packed = Packed::new(&w, (outputs, D), Layout::OutIn, Some(b.clone()));
        (w, b, Linear::from_packed(Arc::new(packed)).into())
    }

    fn identity(n: usize) -> Dense {
        let one: Vec<f32> = (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
        Linear::from_packed(Arc::new(Packed::new(&one, (n, n), Layout::OutIn, None))).into()
    }

    fn matrix(seed: u64) -> (Vec<f32>, Arc<Squeeze>) {
        let e = noise(K * N, seed);
        let pack = |range: std::ops::Range<usize>| {
            let part: Vec<f32> = e.chunks_exact(N).flat_map(|row| &row[range.clone()]).copied().collect();
            Packed::new(&part, (K, range.len()), Layout::OutIn, None)
        };
        let packed = Lengthwise::new((K, N), None, pack);
        (e, Arc::new(Squeeze::Matrix(packed)))
    }

    /// Eq. 7 in f64, head by head: softmax(q (E k)ᵀ / √w) F v with q, k, v = W x + b, or k = W E x + b.
    #[test]
    fn is_its_definition_with_every_way_of_sharing() {
        let wide = |x: &f32| f64::from(*x);
        for (heads, w, shared_keys) in [(2, 5, false), (2, 5, true), (1, 10, false), (5, 2, false)] {
            for (each, both) in [(false, false), (true, false), (false, true)] {
                for when in [When::Keys, When::Inputs] {
                    let (inner, kept) = (heads * w, if shared_keys { w } else { heads * w });
                    let [(wq, bq, q), (wk, bk, k), (wv, bv, v)] = [dense(inner, 1), dense(kept, 2), dense(kept, 3)];
                    let count = if each && !shared_keys { heads } else { 1 };
                    let e: Vec<_> = (0..count).map(|h| matrix(10 + h as u64)).collect();
                    let f: Vec<_> = (0..count).map(|h| matrix(if both { 10 } else { 20 } + h as u64)).collect();
                    let only = |all: &[(Vec<f32>, Arc<Squeeze>)]| all.iter().map(|m| m.1.clone()).collect::<Vec<_>>();
                    let reader = Linformer {
                        heads: Heads { count: heads, width: w, scale: (w as f32).powf(-0.5) },
                        q,
                        k,
                        v: Some(v),
                        out: identity(inner),
                        squeeze: (only(&e), (!both).then(|| only(&f))),
                        when,
                        visible: Visible::All,
                    };
                    for n in [1, 7, N] {
                        let x = noise(n * D, 30 + n as u64);
                        let documents = Documents::new(vec![n], vec![]).unwrap();
                        let got = reader.read(&tensor(x.clone(), (n, D)).unwrap(), &documents).unwrap().to_vec2::<f32>().unwrap();
                        // feature o of W x(p) + b, or of W Σ_p m(i, p) x(p) + b
                        let of = |wt: &[f32], b: f64, o: usize, x: &dyn Fn(usize) -> f64| {
                            (0..D).map(|c| wide(&wt[o * D + c]) * x(c)).sum::<f64>() + b
                        };
                        let row = |m: &[f32], wt: &[f32], b: &[f32], i: usize, o: usize| -> f64 {
                            let sum = |term: &dyn Fn(usize) -> f64| (0..n).map(|p| wide(&m[i * N + p]) * term(p)).sum::<f64>();
                            match when {
                                When::Keys => sum(&|p| of(wt, wide(&b[o]), o, &|c| wide(&x[p * D + c]))),
                                When::Inputs => of(wt, wide(&b[o]), o, &|c| sum(&|p| wide(&x[p * D + c]))),
                            }
                        };
                        for (p, h) in (0..n).flat_map(|p| (0..heads).map(move |h| (p, h))) {
                            let (own, at) = (h % count, if shared_keys { 0 } else { h * w });
                            let q = |c: usize| of(&wq, wide(&bq[h * w + c]), h * w + c, &|i| wide(&x[p * D + i]));
                            let score =
                                |i: usize| (0..w).map(|c| q(c) * row(&e[own].0, &wk, &bk, i, at + c)).sum::<f64>() / (w as f64).sqrt();
                            let weights: Vec<f64> = (0..K).map(|i| score(i).exp()).collect();
                            for c in 0..w {
                                let value = |i: usize| row(&f[own].0, &wv, &bv, i, at + c);
                                let want = (0..K).map(|i| weights[i] * value(i)).sum::<f64>() / weights.iter().sum::<f64>();
                                let got = f64::from(got[p][h * w + c]);
                                assert!((got - want).abs() < 2e-4, "{heads} {each} {both} {when:?} {n}: {got} and not {want}");
                            }
                        }
                    }
                }
            }
        }
    }

    /// A window's row is the convolution's output there; what fills no window counts for nothing.
    #[test]
    fn windows_are_a_convolution() {
        let (w, window) = (3, 4);
        let weight = noise(w * w * window, 1); // (out, position, in)
        let conv = Linear::from_packed(Arc::new(Packed::new(&weight, (w, w * window), Layout::OutIn, None)));
        let x = noise(11 * w, 2);
        let got = Squeeze::Windows(conv).apply(&x, w);
        assert_eq!(got.len(), 2 * w);
        for (t, o) in (0..2).flat_map(|t| (0..w).map(move |o| (t, o))) {
            let want: f32 = (0..window * w).map(|i| weight[o * window * w + i] * x[t * window * w + i]).sum();
            assert!((got[t * w + o] - want).abs() < 1e-5);
        }
    }
}
