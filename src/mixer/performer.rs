//! FAVOR+: attention by random features, whose memory does not grow with the text (Choromanski et al. 2020, "Rethinking Attention with Performers",
//! <https://arxiv.org/abs/2009.14794>).
//!
//! In each head, with features φ whose products stand for e^(q · k / √d_k):
//!
//! S_t = S_{t−1} + φ(k_t) v_tᵀ; z_t = z_{t−1} + φ(k_t); out_t = φ(q_t)ᵀ S_t / (φ(q_t) · z_t)
//!
//! Softmax kernel: φ(x) = e^(W x̂ − D(x)) + ε with x̂ = d_k^(−1/4) x, D(x) = ‖x̂‖²/2. ReLU kernel: φ(x) = max(0, W x̂) + ε. An encoder sums over the whole
//! document before it reads.
//!
//! | here | paper |
//! |---|---|
//! | `features.count()`, `heads.width` | m, d_k |
//! | `features.projection` | W, rows orthogonal within blocks of d_k |
//! | sums | S and z, prefix sums of `arXiv 2009.14794`, section 2.2 and appendix B.1 |
//!
//! Loads: layers of `effattn_lm` (tensor `projection` beside the four projections) and of lucidrains' `performer_lm`, whose heads may in part have
//! windows instead ([`Windows`]). References: google-research's fast_attention.py, lucidrains/performer-pytorch.
//!
//! Differs from the references in what a key's exponential is divided by: they take the greatest W k̂ of all keys, later ones too, and add ε = 1e-4 to what
//! is left, and 1e-6 to z, which is not causal: see `performer_lm`, which measures it. Here the maximum runs with the text, ε is 0 unless
//! config.json sets it, and nothing is added to z. No row is ever padded, so there are no masked keys (the references add their φ(k) to z).

use super::{Documents, Growth, Mixer, Place, Reader, Spec, options};
use crate::block::{Dense, Heads, Projections, Rotary, RotaryStyle};
use crate::error::{Error, Result};
use crate::kernel::features::{Features, Kernel};
use crate::kernel::linear::Layout;
use crate::kernel::linear_attention::{Sums, Turn};
use crate::kernel::{slice, tensor};
use crate::memory::Memory;
use crate::weights::Form;
use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

mod windows;
pub use windows::{Window, Windows};

pub(super) const SPEC: Spec = Spec {
    name: "performer",
    paper: "Rethinking Attention with Performers, arXiv 2009.14794",
    state: Growth::Constant,
    causal: true,
    bidirectional: true,
    mixer: Some(|entry, place| Ok(Box::new(load(entry, place)?))),
    reader: Some(|entry, place| Ok(Box::new(load(entry, place)?))),
    tiny: &[
        r#"{"name": "performer", "features": 20}"#,
        r#"{"name": "performer", "features": 7, "kernel": "relu"}"#,
        r#"{"name": "performer", "features": 16, "relative": "rotary", "rotary_style": "interleaved"}"#,
        r#"{"name": "performer", "features": 9, "kernel_epsilon": 0.01, "relative": "rotary"}"#,
    ],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    features: usize,
    #[serde(default)]
    kernel: Name,
    kernel_epsilon: Option<f64>,
    relative: Option<Relative>,
    #[serde(default = "base")]
    rotary_base: f64,
    #[serde(default)]
    rotary_style: RotaryStyle,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Name {
    #[default]
    Softmax,
    Relu,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Relative {
    Rotary,
}

fn base() -> f64 {
    10_000.0
}

/// More features than anybody has use for.
pub(crate) const MOST_FEATURES: usize = 1 << 20;

/// The features of an entry `mixer` with `features`, `kernel` and `kernel_epsilon`; tensor `projection`.
pub(super) fn features(place: &Place, (m, relu, epsilon): (usize, bool, Option<f64>)) -> Result<Features> {
    if m == 0 || m > MOST_FEATURES {
        return Err(Error::new(format!("config.json: `features` is {m}, not between 1 and {MOST_FEATURES}"))
            .hint("a few times the features of a head are usual, 256 for 64"));
    }
    let (kernel, usual) = if relu { (Kernel::Relu, 1e-3) } else { (Kernel::Softmax, 0.0) };
    let epsilon = epsilon.unwrap_or(usual);
    if !(0.0..=1e6).contains(&epsilon) {
        return Err(Error::new(format!("config.json: `kernel_epsilon` is {epsilon}, not between 0 and 1e6")));
    }
    let heads = place.heads;
    let projection = place.w.packed_exact("projection", &Form::whole((m, heads.width), Layout::OutIn))?;
    Ok(Features::new(projection, kernel, epsilon as f32, (heads.count, heads.width)))
}

fn load(entry: &Value, place: &Place) -> Result<Performer> {
    let o: Options = options(entry)?;
    let features = features(place, (o.features, matches!(o.kernel, Name::Relu), o.kernel_epsilon))?;
    let rotary = match o.relative {
        Some(Relative::Rotary) => Some(Arc::new(Rotary::new(place.heads.width, o.rotary_base, o.rotary_style)?)),
        None => None,
    };
    Ok(Performer { features: Some(features), rotary, ..Performer::new(place.heads, place.projections()?) })
}

/// Linear attention of some heads, or all; the others have windows.
pub struct Performer {
    /// All heads.
    pub heads: Heads,
    /// Their projections.
    pub projections: Projections,
    /// Of the first heads, if there are any such.
    pub features: Option<Features>,
    /// Their positions.
    pub rotary: Option<Arc<Rotary>>,
    /// Of the last heads, if there are any such.
    pub windows: Option<Windows>,
    /// Takes the greatest W k̂ of all tokens of a call, as the reference does: later tokens change earlier outputs.
    pub foresee: bool,
    /// Read as a document, a key's features are divided by their sums over the positions, each feature by itself (without projection).
    pub normalised: bool,
}

/// What a [`Performer`] remembers.
#[derive(Debug, Clone)]
pub struct Remembered {
    sums: Sums,
    seen: Vec<usize>,
    windows: Vec<Window>,
}

impl Memory for Remembered {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.sums.select(rows)?;
        self.seen = rows.iter().map(|&r| self.seen[r]).collect();
        if !self.windows.is_empty() {
            self.windows = rows.iter().map(|&r| self.windows[r].clone()).collect();
        }
        Ok(())
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        for other in others {
            self.sums.0.extend(other.sums.0);
            self.seen.extend(other.seen);
            self.windows.extend(other.windows);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.sums.bytes() + self.windows.iter().map(Window::bytes).sum::<usize>()
    }
}

impl Performer {
    /// Without any heads yet.
    pub fn new(heads: Heads, projections: Projections) -> Self {
        Self { heads, projections, features: None, rotary: None, windows: None, foresee: false, normalised: false }
    }

    /// Numbers of a token in the heads with features, and in all.
    fn split(&self) -> (usize, usize) {
        (self.features.as_ref().map_or(0, |f| f.heads * f.width), self.heads.count * self.heads.width)
    }

    /// The heads with features and those with windows apart, each (n, …); the first turned to their positions.
    fn parts(&self, x: Vec<f32>, positions: Option<&[usize]>) -> (Vec<f32>, Vec<f32>) {
        let (first, d) = self.split();
        let (mut a, b) = if first == d {
            (x, Vec::new())
        } else {
            let rows = || x.chunks_exact(d);
            (rows().flat_map(|r| &r[..first]).copied().collect(), rows().flat_map(|r| &r[first..]).copied().collect())
        };
        if let (Some(rotary), Some(positions), Some(f)) = (&self.rotary, positions, &self.features) {
            rotary.apply(&mut a, f.heads, positions.iter().copied());
        }
        (a, b)
    }

    /// The opposite.
    fn whole(&self, a: Vec<f32>, b: Vec<f32>) -> Vec<f32> {
        let (first, d) = self.split();
        match (a.is_empty(), b.is_empty()) {
            (_, true) => a,
            (true, _) => b,
            _ => a.chunks_exact(first).zip(b.chunks_exact(d - first)).flat_map(|(a, b)| a.iter().chain(b)).copied().collect(),
        }
    }

    /// Numbers of the rows of a batch, t each: three times (b, t, h w) -> (b, t, h w).
    fn causal(&self, [q, k, v]: [Vec<f32>; 3], memory: &mut Remembered) -> Vec<f32> {
        let (first, d) = self.split();
        let t = q.len() / d / memory.seen.len().max(1);
        let positions: Vec<usize> = memory.seen.iter().flat_map(|&s| s..s + t).collect();
        let ((q, lq), (k, lk), (v, lv)) = (self.parts(q, Some(&positions)), self.parts(k, Some(&positions)), self.parts(v, None));
        let mut out = Vec::new();
        if let Some(features) = &self.features {
            let one = (t * first).max(1);
            let rows = q.chunks_exact(one).zip(k.chunks_exact(one)).zip(v.chunks_exact(one));
            let mut turns: Vec<Turn> = rows.zip(&mut memory.sums.0).map(|(((q, k), v), sums)| Turn { q, k, v, sums }).collect();
            if self.foresee {
                features.raise(&mut turns);
            }
            out = features.attend(&mut turns);
        }
        let local = self.windows.as_ref().map_or(Vec::new(), |w| w.causal([lq, lk, lv], &memory.seen, &mut memory.windows));
        memory.seen.iter_mut().for_each(|s| *s += t);
        self.whole(out, local)
    }

    /// Documents one after the other: three times (Σ n, h w) -> (Σ n, h w).
    fn documents(&self, [q, k, v]: [Vec<f32>; 3], documents: &Documents) -> Vec<f32> {
        let (first, _) = self.split();
        let positions: Vec<usize> = documents.lengths().iter().flat_map(|&n| 0..n).collect();
        let ((q, lq), (mut k, lk), (v, lv)) = (self.parts(q, Some(&positions)), self.parts(k, Some(&positions)), self.parts(v, None));
        let mut out = Vec::new();
        if let Some(features) = &self.features {
            let ranges = || documents.ranges().map(|r| r.start * first..r.end * first);
            if self.normalised {
                ranges().for_each(|r| normalise(&mut k[r], first));
            }
            let mut sums = features.sums(documents.lengths().len());
            let mut turns: Vec<Turn> =
                ranges().zip(&mut sums.0).map(|(r, sums)| Turn { q: &[], k: &k[r.clone()], v: &v[r], sums }).collect();
            if features.epsilon > 0.0 {
                features.raise(&mut turns);
            }
            features.attend(&mut turns);
            for (turn, r) in turns.iter_mut().zip(ranges()) {
                turn.q = &q[r];
                turn.k = &[];
                turn.v = &[];
            }
            out = features.attend(&mut turns);
        }
        let local = self.windows.as_ref().map_or(Vec::new(), |w| w.read([lq, lk, lv], documents));
        self.whole(out, local)
    }
}

/// x ← x − ln Σ e^x over the rows of a document, each of the `d` features by itself.
fn normalise(x: &mut [f32], d: usize) {
    for feature in 0..d {
        let column = || x.iter().skip(feature).step_by(d).map(|x| f64::from(*x));
        let top = column().fold(f64::NEG_INFINITY, f64::max);
        let sum = top + column().map(|x| (x - top).exp()).sum::<f64>().ln();
        x.iter_mut().skip(feature).step_by(d).for_each(|x| *x = (f64::from(*x) - sum) as f32);
    }
}

impl Mixer for Performer {
    type Memory = Remembered;

    fn memory(&self, rows: usize) -> Result<Remembered> {
        let sums = self.features.as_ref().map_or_else(|| Sums::zeros(rows, 0), |f| f.sums(rows));
        let windows = self.windows.as_ref().map_or(Vec::new(), |w| vec![w.empty(); rows]);
        Ok(Remembered { sums, seen: vec![0; rows], windows })
    }

    fn bytes_at(&self, positions: usize) -> usize {
        self.features.as_ref().map_or(0, Features::sum_bytes) + self.windows.as_ref().map_or(0, |w| w.bytes_at(positions))
    }

    fn weight_bytes(&self) -> usize {
        self.projections.bytes() + self.features.as_ref().map_or(0, Features::bytes)
    }

    fn work_bytes(&self, t: usize) -> usize {
        self.projections.work_bytes(t) + self.features.as_ref().map_or(0, |f| f.work_bytes(t))
    }

    fn forward(&self, xs: &Tensor, memory: &mut Remembered) -> Result<Tensor> {
        let Projections { q, k, v, out } = &self.projections;
        let mixed = slice(xs, |x| out.apply(&self.causal(Dense::all([q, k, v], x), memory)))?;
        tensor(mixed, xs.shape())
    }
}

impl Reader for Performer {
    fn bytes(&self) -> usize {
        Mixer::weight_bytes(self)
    }

    fn work_bytes(&self, n: usize) -> usize {
        Mixer::work_bytes(self, n)
    }

    fn read(&self, xs: &Tensor, documents: &Documents) -> Result<Tensor> {
        let Projections { q, k, v, out } = &self.projections;
        let mixed = slice(xs, |x| out.apply(&self.documents(Dense::all([q, k, v], x), documents)))?;
        tensor(mixed, xs.shape())
    }
}
