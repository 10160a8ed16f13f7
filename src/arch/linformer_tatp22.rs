//! `LinformerLM` of the package `linformer_pytorch` (tatp22:linformer_pytorch/linformer_pytorch.py, version 0.19.3): a post-norm encoder with Linformer's attention (Wang
//! et al. 2020, <https://arxiv.org/abs/2006.04768>), E and F applied to keys and values.
//!
//! | config.json (the constructor's arguments) | here |
//! |---|---|
//! | `num_tokens`, `channels`, `depth`, `nhead`, `dim_d` | V, d, layers, h, features of a head (d / h) |
//! | `input_size`, `dim_k` | n, the one length that texts may have; k |
//! | `k_reduce_by_layer` | so many rows fewer in each next layer, one at least (not where layers share E) |
//! | `parameter_sharing` | "none": E and F for each head; "headwise": for each layer; "kv": E = F; "layerwise": one for all |
//! | `method` | "learnable": E x + b; "convolution": windows of ⌊n/k⌋ positions side by side; "no_params": numbers drawn once, without b |
//! | `full_attention` | no projection |
//! | `emb_dim` | features of the embeddings, projected to d and back |
//! | `ff_intermediate` | features between the layers; where they change, the residual goes through `resample` |
//! | `w_o_intermediate_dim` | features between two output projections |
//! | `include_ff` | false: attentions alone |
//!
//! Each part is norm(x + f(x)). Positions are \[sin; cos\](p / 100000^(2j/d)), in f64 here (the reference rounds angles to f32: by 0.004 at position 65,536). A checkpoint holds
//! shared matrices once a head; they are held once here, and copies that differ are an error.
//!
//! With `causal` the reference masks rows of E K behind the number of the query. Those rows are sums over the whole text, so the future shows: changing the last
//! token moves earlier logits by up to 0.82 where logits deviate by 0.90. Loaded only as a quirk of the reference; with `full_attention` the mask is a causal one.
//! `decoder_mode` needs an encoder beside it and is not loaded.

use super::linformer_lm::{described, sizes};
use super::{Arch, Loaded, expect, parse};
use crate::block::{Activation, Dense, Embedding, FeedForward, Heads, LayerNorm, Linear, Positions, check_ids};
use crate::error::{Error, Result};
use crate::kernel::attention::Visible;
use crate::kernel::linear::Layout;
use crate::memory::State;
use crate::mixer::{Documents, Linformer, Reader, Squeeze, When, linformer_columns};
use crate::model::{Info, Model, Source};
use crate::timing::phases::Phase;
use crate::weights::Weights;
use candle_core::Tensor;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) const ARCH: Arch = Arch {
    model_type: "linformer_tatp22_lm",
    summary: "encoder only, Linformer, post-norm, texts of one length",
    checkpoints: "of the package `linformer_pytorch`: one's own",
    mixers: &["linformer"],
    attentions: &[],
    ignored: &["pos_emb.inv_freq"],
    quirks: &["`causal` masks projected rows, each a sum over the whole text: changing the last token moves earlier logits by up to 0.82 \
               (of deviation 0.90)"],
    segments: false,
    tiny: r#"{"model_type": "linformer_tatp22_lm", "num_tokens": 61, "input_size": 66, "channels": 24, "dim_k": 9, "dim_ff": 40, "nhead": 3, "depth": 2,
        "parameter_sharing": "kv"}"#,
    load,
};

#[derive(Deserialize)]
struct Config {
    num_tokens: usize,
    input_size: usize,
    channels: usize,
    #[serde(default = "sixty_four")]
    dim_k: usize,
    #[serde(default = "thousand")]
    dim_ff: usize,
    dim_d: Option<usize>,
    #[serde(default = "four")]
    nhead: usize,
    #[serde(default = "two")]
    depth: usize,
    ff_intermediate: Option<usize>,
    #[serde(default = "gelu")]
    activation: String,
    #[serde(default)]
    parameter_sharing: Sharing,
    #[serde(default)]
    k_reduce_by_layer: usize,
    #[serde(default)]
    full_attention: bool,
    #[serde(default = "yes")]
    include_ff: bool,
    w_o_intermediate_dim: Option<usize>,
    emb_dim: Option<usize>,
    #[serde(default)]
    causal: bool,
    #[serde(default)]
    method: Method,
    #[serde(default)]
    reference_quirks: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Sharing {
    None,
    Headwise,
    Kv,
    #[default]
    Layerwise,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Method {
    #[default]
    Learnable,
    Convolution,
    NoParams,
}

fn two() -> usize {
    2
}

fn four() -> usize {
    4
}

fn sixty_four() -> usize {
    64
}

fn thousand() -> usize {
    1024
}

fn gelu() -> String {
    "gelu".into()
}

fn yes() -> bool {
    true
}

/// Of `nn.LayerNorm`.
const EPS: f64 = 1e-5;
/// The base of the positions' wavelengths.
const BASE: f64 = 100_000.0;

impl Config {
    fn check(&self) -> Result<()> {
        sizes(&[
            ("num_tokens", self.num_tokens, 1 << 24),
            ("input_size", self.input_size, 1 << 24),
            ("channels", self.channels, 1 << 20),
            ("dim_k", self.dim_k, 1 << 16),
            ("dim_ff", self.dim_ff, 1 << 24),
            ("dim_d", self.dim_d.unwrap_or(1), 1 << 16),
            ("nhead", self.nhead, 1 << 12),
            ("depth", self.depth, 1 << 12),
            ("ff_intermediate", self.ff_intermediate.unwrap_or(1), 1 << 20),
            ("w_o_intermediate_dim", self.w_o_intermediate_dim.unwrap_or(1), 1 << 20),
            ("emb_dim", self.emb_dim.unwrap_or(1), 1 << 20),
        ])?;
        expect(&self.rest, "decoder_mode", &json!(false))?;
        expect(&self.rest, "return_emb", &json!(false))?;
        let refused = |what: &str, hint: &str| Err(Error::new(format!("config.json: {what}")).hint(hint));
        if self.causal && !self.full_attention && !self.reference_quirks {
            return refused(
                "`causal` of this package lets the future show: each row of E K is a sum over the whole text, masked or not",
                "`--reference-quirks` computes what the reference does; `linformer_blockwise` in an effattn_lm is causal",
            );
        }
        if self.causal && self.k_reduce_by_layer > 0 && !self.full_attention && self.parameter_sharing != Sharing::Layerwise {
            return refused(
                "`causal` with `k_reduce_by_layer`",
                "the reference's mask has `dim_k` columns in every layer, and fails there too",
            );
        }
        if self.ff_intermediate.is_some() && (self.parameter_sharing == Sharing::Layerwise || !self.include_ff) {
            return refused(
                "`ff_intermediate` where layers share E, or without feed-forward layers",
                "the reference refuses the first, and fails at the second",
            );
        }
        if self.method == Method::Convolution && self.rows(0) > self.input_size {
            return refused("`method` \"convolution\" with more rows than positions", "a window would be shorter than a position");
        }
        Ok(())
    }

    fn heads(&self) -> Result<Heads> {
        match self.dim_d {
            Some(width) => Ok(Heads { count: self.nhead, width, scale: (width as f32).powf(-0.5) }),
            None => Heads::new(self.channels, self.nhead),
        }
    }

    /// k of layer `i`.
    fn rows(&self, i: usize) -> usize {
        if self.parameter_sharing == Sharing::Layerwise {
            return self.dim_k;
        }
        self.dim_k.saturating_sub(i.saturating_mul(self.k_reduce_by_layer)).max(1)
    }

    /// Features that layer `i` reads and hands on.
    fn features(&self, i: usize) -> (usize, usize) {
        let within = self.ff_intermediate.unwrap_or(self.channels);
        (if i == 0 { self.channels } else { within }, if i + 1 == self.depth { self.channels } else { within })
    }

    fn activation(&self) -> Result<Activation> {
        match self.activation.as_str() {
            "gelu" => Ok(Activation::Gelu),
            "relu" => Ok(Activation::Relu),
            other => {
                Err(Error::new(format!("config.json: `activation` \"{other}\" is not implemented")).hint("the package has gelu and relu"))
            }
        }
    }
}

/// norm(r(x) + f(x)); r is nothing where features stay as many.
struct Part {
    f: Function,
    resample: Option<Linear>,
    norm: LayerNorm,
}

enum Function {
    Attention(Linformer),
    FeedForward(FeedForward),
}

/// The model; every text has `size` tokens.
struct Fixed {
    info: Info,
    size: usize,
    tokens: Embedding,
    positions: Positions,
    /// Before the layers and behind them.
    project: Option<(Linear, Linear)>,
    parts: Vec<Part>,
    output: Linear,
}

fn load(config: &Value, root: &Weights) -> Result<Loaded> {
    let c: Config = parse(config)?;
    c.check()?;
    let (v, d) = (c.num_tokens, c.channels);
    let e = c.emb_dim.unwrap_or(d);
    let outer = root.pp("linformer");
    let (layers, project) = if e == d {
        (outer.pp("seq"), None)
    } else {
        let one = |name: &str, sizes| Linear::load(&outer.pp(name), sizes);
        (outer.pp("fn").pp("seq"), Some((one("project_in", (d, e))?, one("project_out", (e, d))?)))
    };
    let mut parts = Vec::new();
    let mut shared = None;
    for i in 0..c.depth {
        let (inputs, outputs) = c.features(i);
        let at = layers.pp(parts.len());
        let norm = |w: &Weights, d: usize| LayerNorm::load(&w.pp("norm"), d, EPS);
        parts.push(Part { f: Function::Attention(attention(&c, i, &at.pp("fn"), &mut shared)?), resample: None, norm: norm(&at, inputs)? });
        if c.include_ff {
            let at = layers.pp(parts.len());
            let (up, down) =
                (Linear::load(&at.pp("fn").pp("w_1"), (c.dim_ff, inputs))?, Linear::load(&at.pp("fn").pp("w_2"), (outputs, c.dim_ff))?);
            let resample = (inputs != outputs).then(|| Linear::load(&at.pp("resample"), (outputs, inputs))).transpose()?;
            parts.push(Part { f: Function::FeedForward(FeedForward::new(up, down, c.activation()?)), resample, norm: norm(&at, outputs)? });
        }
    }
    let model = Fixed {
        info: Info {
            model_type: ARCH.model_type,
            encoder_decoder: false,
            vocab_size: v,
            max_source: Some(c.input_size),
            max_target: Some(c.input_size),
            attention: if c.full_attention { "full" } else { "linformer" }.into(),
            default_global: None,
            layers: (c.depth, 0),
            prompt_start: None,
            reads_only: Some("it reads texts of one length, whole: every key that a position sees is a sum over all of it"),
        },
        size: c.input_size,
        tokens: Embedding::rows(root, "to_token_emb.weight", (v, e))?,
        positions: Positions::sines_of(e, BASE)?.up_to(c.input_size),
        project,
        parts,
        output: Linear::load(&root.pp("to_logits"), (v, e))?,
    };
    Ok(Loaded { model: Box::new(model), unread: described(&c.rest).into_iter().filter(|k| k != "checkpoint_level").collect() })
}

/// The matrices of all heads below `name`, one on top of the other.
fn stacked(w: &Weights, name: &str, heads: Heads, d: usize) -> Result<Dense> {
    let parts = (0..heads.count).map(|h| w.pp(name).pp(h).numbers("weight", &[heads.width, d]));
    let numbers = parts.collect::<Result<Vec<_>>>()?.concat();
    Ok(Linear::from_packed(Arc::new(w.made(numbers, (heads.count * heads.width, d)))).into())
}

/// Layer `i`, whose attention is below `w`; `shared` is the E of all layers, and where it stands.
fn attention(c: &Config, i: usize, w: &Weights, shared: &mut Option<(Weights, Arc<Squeeze>)>) -> Result<Linformer> {
    let (heads, (d, _)) = (c.heads()?, c.features(i));
    let inner = heads.count * heads.width;
    let out = match c.w_o_intermediate_dim {
        None => Linear::load(&w.pp("w_o"), (d, inner))?.into(),
        Some(m) => Dense::LowRank(Linear::load(&w.pp("w_o_1"), (m, inner))?, Linear::load(&w.pp("w_o_2"), (d, m))?),
    };
    Ok(Linformer {
        heads,
        q: stacked(w, "to_q", heads, d)?,
        k: stacked(w, "to_k", heads, d)?,
        v: Some(stacked(w, "to_v", heads, d)?),
        out,
        squeeze: squeeze(c, i, w, shared)?,
        when: When::Keys,
        visible: if c.causal { Visible::Causal { first: 0 } } else { Visible::All },
    })
}

type Both = (Vec<Arc<Squeeze>>, Option<Vec<Arc<Squeeze>>>);

fn squeeze(c: &Config, i: usize, w: &Weights, shared: &mut Option<(Weights, Arc<Squeeze>)>) -> Result<Both> {
    let heads = w.pp("heads");
    let first = heads.pp(0);
    if c.full_attention {
        // stored with the model and not used
        (0..c.nhead).for_each(|h| ["E", "F"].iter().for_each(|name| leave(&heads.pp(h), name)));
        return Ok((vec![Arc::new(Squeeze::Whole)], None));
    }
    if c.parameter_sharing == Sharing::None {
        let all = |name: &str| (0..c.nhead).map(|h| one(c, i, &heads.pp(h), name)).collect::<Result<Vec<_>>>();
        return Ok((all("E")?, Some(all("F")?)));
    }
    // every head has copies of what it shares
    for h in 1..c.nhead {
        ["E", "F"].iter().try_for_each(|name| copy(&heads.pp(h), name, (&first, name)))?;
    }
    if c.parameter_sharing == Sharing::Headwise {
        return Ok((vec![one(c, i, &first, "E")?], Some(vec![one(c, i, &first, "F")?])));
    }
    copy(&first, "F", (&first, "E"))?;
    let e = match shared {
        Some((of, e)) => {
            copy(&first, "E", (of, "E"))?;
            e.clone()
        }
        None => one(c, i, &first, "E")?,
    };
    if c.parameter_sharing == Sharing::Layerwise {
        shared.get_or_insert_with(|| (first.clone(), e.clone()));
    }
    Ok((vec![e], None))
}

/// The tensors of a projection.
fn names(name: &str) -> [String; 3] {
    [name.to_owned(), format!("{name}.weight"), format!("{name}.bias")]
}

fn leave(w: &Weights, name: &str) {
    names(name).iter().for_each(|name| w.skip(name));
}

/// Fails if the tensors of `name` are not those of another.
fn copy(w: &Weights, name: &str, (of, other): (&Weights, &str)) -> Result<()> {
    for (name, other) in names(name).iter().zip(names(other)) {
        if w.has(name) && !w.holds_same(name, (of, &other)) {
            return Err(Error::new(format!(
                "config.json: `parameter_sharing` says that `{name}` is shared, but the checkpoint holds copies that differ"
            ))
            .hint("it belongs to a model that shares less"));
        }
        w.skip(name);
    }
    Ok(())
}

/// The projection `name` of a head below `w`.
fn one(c: &Config, i: usize, w: &Weights, name: &str) -> Result<Arc<Squeeze>> {
    let (n, k, width) = (c.input_size, c.rows(i), c.heads()?.width);
    Ok(Arc::new(match c.method {
        Method::Learnable => {
            let w = w.pp(name);
            let numbers = w.numbers("weight", &[k, n])?;
            Squeeze::Matrix(linformer_columns(&w, &numbers, (k, n), Layout::OutIn, Some(w.get("bias", &[k])?)))
        }
        Method::NoParams => Squeeze::Matrix(linformer_columns(w, &w.numbers(name, &[n, k])?, (k, n), Layout::InOut, None)),
        Method::Convolution => {
            let (w, window) = (w.pp(name), n / k);
            // (out, in, position) -> rows of positions, features of each
            let numbers = w.numbers("weight", &[width, width, window])?;
            let at = |i: usize| (i / (window * width) * width + i % width) * window + i / width % window;
            let numbers = if numbers.is_empty() { numbers } else { (0..numbers.len()).map(|i| numbers[at(i)]).collect() };
            let matrix = w.made_with(numbers, (width, window * width), Some(w.get("bias", &[width])?));
            Squeeze::Windows(Linear::from_packed(Arc::new(matrix)))
        }
    }))
}

impl Fixed {
    fn read(&self, source: &Source) -> Result<(Tensor, Documents)> {
        let lengths: Vec<usize> = source.rows.iter().map(Vec::len).collect();
        if lengths.contains(&0) {
            return Err(Error::new("a document has no tokens"));
        }
        if let Some(n) = lengths.iter().find(|n| **n > self.size) {
            return Err(Error::new(format!(
                "position {} is beyond the {} positions of this model: a text has {n} tokens",
                self.size, self.size
            ))
            .hint("its texts have exactly as many tokens as `input_size`: shorten the text"));
        }
        if let Some(n) = lengths.iter().find(|n| **n != self.size) {
            return Err(Error::new(format!("a text of {n} tokens, but this model reads exactly {}", self.size))
                .hint("the package's projections take whole texts of `input_size` tokens: fill the text up as the model was trained"));
        }
        let ids = source.rows.concat();
        check_ids(&ids, self.info.vocab_size)?;
        let documents = Documents::new(lengths, self.info.global(source)?)?;
        let positions: Vec<usize> = documents.lengths().iter().flat_map(|&n| 0..n).collect();
        let probe = &source.probe;
        let mut xs = probe.time(Phase::Embed, || self.tokens.forward_at(&ids, &self.positions, positions.into_iter()))?;
        probe.record(|| "encoder.0".into(), &xs);
        if let Some((before, _)) = &self.project {
            xs = before.forward(&xs)?;
        }
        let mut layer = 0;
        for part in &self.parts {
            let (phase, first) = match part.f {
                Function::Attention(_) => (Phase::SelfAttention, true),
                Function::FeedForward(_) => (Phase::FeedForward, false),
            };
            if first {
                if layer > 0 {
                    probe.record(|| format!("encoder.{layer}"), &xs);
                }
                layer += 1;
            }
            xs = probe.time(phase, || {
                let f = match &part.f {
                    Function::Attention(attention) => attention.read(&xs, &documents)?,
                    Function::FeedForward(f) => f.forward(&xs)?,
                };
                let kept = part.resample.as_ref().map(|r| r.forward(&xs)).transpose()?;
                part.norm.of_sum(kept.as_ref().unwrap_or(&xs), &f)
            })?;
        }
        probe.record(|| format!("encoder.{layer}"), &xs);
        match &self.project {
            Some((_, behind)) => Ok((behind.forward(&xs)?, documents)),
            None => Ok((xs, documents)),
        }
    }
}

impl Model for Fixed {
    fn info(&self) -> &Info {
        &self.info
    }

    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)> {
        self.read(source)?;
        let first = source.rows.iter().filter_map(|row| row.first().copied()).collect();
        Ok((State { seen: vec![0; source.rows.len()], layers: Vec::new(), probe: source.probe.clone() }, first))
    }

    fn state_bytes(&self, _source: usize, _target: usize) -> usize {
        0
    }

    fn step_bytes(&self) -> usize {
        let part = |p: &Part| {
            let f = match &p.f {
                Function::Attention(attention) => attention.bytes(),
                Function::FeedForward(f) => f.step_bytes(),
            };
            f + p.norm.bytes() + p.resample.as_ref().map_or(0, Linear::bytes)
        };
        let project = self.project.as_ref().map_or(0, |(a, b)| a.bytes() + b.bytes());
        self.tokens.row_bytes() + project + self.parts.iter().map(part).sum::<usize>() + self.output.bytes()
    }

    fn encode_bytes(&self, source: usize) -> usize {
        let part = |p: &Part| {
            let f = match &p.f {
                Function::Attention(attention) => attention.work_bytes(source),
                Function::FeedForward(f) => f.work_bytes(source),
            };
            f + source * p.norm.bytes()
        };
        self.parts.iter().map(part).max().unwrap_or(0)
    }

    fn score(&self, _tokens: &[Vec<u32>], _state: &mut State) -> Result<Tensor> {
        self.info.decodes()?;
        Err(Error::new(format!("`{}` reads documents only", self.info.model_type)))
    }

    fn fill(&self, source: &Source) -> Result<Vec<Tensor>> {
        let (xs, documents) = self.read(source)?;
        let logits = source.probe.time(Phase::Logits, || self.output.forward(&xs))?;
        documents.ranges().map(|r| Ok(logits.narrow(0, r.start, r.len())?)).collect()
    }
}
