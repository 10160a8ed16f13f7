//! lucidrains' Compressive Transformer (Rae et al. 2019, <https://arxiv.org/abs/1911.05507>).
//!
//! Reference: compressive-transformer-pytorch 0.4.0, `CompressiveTransformer`; [`crate::mixer::Compressive`] is the paper's attention in our own model type. With
//! x the layer's input behind its norm, F = cat(cmem, mem, segment up to the row) in each layer that has memories, and f what the layer makes:
//!
//! score(δ) = q · (k + P(|F| at the segment's end − 1 − δ)) / √d_k; x' = GRU(f(norm x), x), or x + f(norm x)
//!
//! | here | reference |
//! |---|---|
//! | T, `queues.segment` | `seq_len` |
//! | l_mem, l_cmem, c | `mem_len`, `cmem_len`, `cmem_ratio` |
//! | P, `table` | `pos_emb` (h, T + l_mem + l_cmem, d_k), one for all layers |
//! | [`Gate`] | `gru_gated_residual`, `mogrify_gru` |
//!
//! - The memories hold inputs behind the norm. They change when a segment is full, all layers at once: a text that crosses a boundary goes through all layers
//!   up to there, and what is left of it afterwards. A segment that is not full yet waits in the state.
//! - P's row for a distance is T + |mem| + |cmem| − 1 − δ with the queues as long as they are: it moves until they are full. That is the reference's
//!   definition, which its checkpoints were trained with.
//! - `enhanced_recurrence`: before a segment each layer takes the memories of the next one that has some, the last those of the first.
//! - Keys and values of the memories are projected once a segment.
//!
//! Departs from the reference in what stands before rows that do not fill a window of c: it puts n mod c zero rows there and drops the newest rows behind the
//! last full window (and fails where there is no full window); here there are c − n mod c of them and nothing is dropped.

use super::{Arch, Loaded, parse, unread};
use crate::block::{Activation, Dense, Embedding, Gate, Heads, LayerNorm, Linear, check_ids};
use crate::error::{Error, Result};
use crate::kernel::keys::Keys;
use crate::kernel::linear::Layout;
use crate::kernel::precision::Precision;
use crate::kernel::queue::{self, Table};
use crate::kernel::{slice, tensor};
use crate::memory::{Memory, State};
use crate::mixer::segments::{Compress, Padding, Queues, rounds, select};
use crate::model::{Info, Model, Probe, Source};
use crate::timing::phases::Phase;
use crate::weights::{Form, Weights};
use candle_core::Tensor;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

pub(super) const ARCH: Arch = Arch {
    model_type: "compressive_transformer_lm",
    summary: "decoder only, compressed memories, learned distances, gated residuals",
    checkpoints: "lucidrains' compressive-transformer-pytorch",
    mixers: &["compressive"],
    attentions: &[],
    ignored: &[],
    quirks: &[QUIRK],
    segments: false,
    tiny: r#"{"model_type": "compressive_transformer_lm", "num_tokens": 61, "dim": 24, "emb_dim": 20, "depth": 3, "heads": 3, "seq_len": 6, "mem_len": 9, "cmem_len": 5,
        "cmem_ratio": 3, "memory_layers": [1, 3], "ff_glu": true, "mogrify_gru": true, "bos_token_id": 0, "eos_token_id": 0}"#,
    load,
};

const QUIRK: &str = "the n rows that overflow the memory get n mod c zero rows before them instead of c − n mod c, and the newest rows that fill no window are \
lost: with segments of 5, a memory of 16 and c = 4, logits of a random model differ by up to 0.44, at a deviation of 0.26";

#[derive(Deserialize)]
struct Config {
    num_tokens: usize,
    dim: usize,
    seq_len: usize,
    depth: usize,
    emb_dim: Option<usize>,
    memory_layers: Option<Vec<usize>>,
    #[serde(default = "yes")]
    enhanced_recurrence: bool,
    mem_len: Option<usize>,
    cmem_len: Option<usize>,
    #[serde(default = "four")]
    cmem_ratio: usize,
    #[serde(default = "eight")]
    heads: usize,
    #[serde(default = "yes")]
    gru_gated_residual: bool,
    #[serde(default)]
    mogrify_gru: bool,
    #[serde(default)]
    ff_glu: bool,
    #[serde(default)]
    reference_quirks: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn yes() -> bool {
    true
}

fn four() -> usize {
    4
}

fn eight() -> usize {
    8
}

/// Keys that only training reads, or that say where the checkpoint is from.
const WITHOUT_EFFECT: &[&str] =
    &["package", "class", "attn_dropout", "ff_dropout", "attn_layer_dropout", "reconstruction_attn_dropout", "reconstruction_loss_weight"];

const EPS: f64 = 1e-5;

fn wrong(what: String, hint: &str) -> Error {
    Error::new(format!("config.json: {what}")).hint(hint)
}

impl Config {
    fn checked(&self) -> Result<(Queues, Vec<bool>)> {
        let sizes = [
            ("num_tokens", self.num_tokens, 1 << 24),
            ("dim", self.dim, 1 << 20),
            ("emb_dim", self.emb_dim.unwrap_or(1), 1 << 20),
            ("depth", self.depth, 1 << 12),
            ("heads", self.heads, 1 << 16),
            ("seq_len", self.seq_len, 1 << 20),
            ("cmem_ratio", self.cmem_ratio, 1 << 20),
        ];
        if let Some((key, n, most)) = sizes.into_iter().find(|(_, n, most)| *n == 0 || n > most) {
            return Err(wrong(
                format!("`{key}` is {n}, not between 1 and {most}"),
                "compare it with the checkpoint's constructor arguments",
            ));
        }
        let memory = self.mem_len.unwrap_or(self.seq_len);
        let compressed = self.cmem_len.unwrap_or(memory / self.cmem_ratio);
        let padding = if self.reference_quirks { Padding::Lucidrains } else { Padding::Left };
        let queues = Queues { segment: self.seq_len, memory, compressed, ratio: self.cmem_ratio, padding }.checked()?;
        if memory < self.seq_len {
            return Err(wrong(format!("`mem_len` is {memory}, `seq_len` {}", self.seq_len), "the memory holds a segment at least"));
        }
        if compressed < memory / self.cmem_ratio {
            let what = format!("`cmem_len` is {compressed}, `mem_len` over `cmem_ratio` {}", memory / self.cmem_ratio);
            return Err(wrong(what, "the compressed memory holds a compressed memory at least"));
        }
        if self.gru_gated_residual && self.mogrify_gru && self.dim < 4 {
            return Err(wrong(
                format!("`mogrify_gru` with a `dim` of {}", self.dim),
                "its layers have a quarter of `dim` between them: 4 at least",
            ));
        }
        Ok((queues, self.remembers()?))
    }

    /// Which layers have memories.
    fn remembers(&self) -> Result<Vec<bool>> {
        let Some(layers) = &self.memory_layers else { return Ok(vec![true; self.depth]) };
        let mut all = vec![false; self.depth];
        for &l in layers {
            match l.checked_sub(1).and_then(|l| all.get_mut(l)) {
                Some(has) if !*has => *has = true,
                _ => return Err(wrong(format!("`memory_layers` has {l}"), "it is a list of different numbers from 1 to `depth`")),
            }
        }
        if layers.is_empty() {
            return Err(wrong(
                "`memory_layers` is empty".into(),
                "the reference needs one layer with memories at least; null is all of them",
            ));
        }
        Ok(all)
    }
}

struct Layer {
    norm: LayerNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    gate: Option<Gate>,
    /// None in layers without memories.
    compress: Option<Compress>,
    ff_norm: LayerNorm,
    up: Linear,
    down: Linear,
    ff_gate: Option<Gate>,
}

struct CompressiveTransformer {
    info: Info,
    d: usize,
    heads: Heads,
    tokens: Embedding,
    /// From the embeddings' features to the model's, and back, where they differ.
    to_model: Option<Linear>,
    from_model: Option<Linear>,
    layers: Vec<Layer>,
    /// Of the gated linear unit, which has twice the inner features.
    glu: bool,
    table: Table,
    queues: Queues,
    enhanced: bool,
    cache: Precision,
    output: Dense,
}

fn load(config: &Value, root: &Weights) -> Result<Loaded> {
    let c: Config = parse(config)?;
    let (queues, remembers) = c.checked()?;
    let (v, d, wide) = (c.num_tokens, c.dim, c.emb_dim.unwrap_or(c.dim));
    let heads = Heads::new(d, c.heads)?;
    let rows = queues.segment + queues.memory + queues.compressed;
    let numbers = root.numbers("pos_emb", &[heads.count, rows, heads.width])?;
    root.holds(Table::held(heads.count, rows, heads.width));
    let logits = root.pp("to_logits");
    let model = CompressiveTransformer {
        info: Info {
            model_type: ARCH.model_type,
            encoder_decoder: false,
            vocab_size: v,
            max_source: None,
            max_target: None,
            attention: "compressive".into(),
            default_global: None,
            layers: (0, c.depth),
            prompt_start: None,
            reads_only: None,
        },
        d,
        heads,
        tokens: Embedding::rows(root, "token_emb.weight", (v, wide))?,
        to_model: (wide != d).then(|| Linear::load(&root.pp("to_model_dim"), (d, wide))).transpose()?,
        from_model: (wide != d).then(|| Linear::load(&logits.pp(0), (wide, d))).transpose()?,
        layers: remembers.iter().enumerate().map(|(i, memory)| layer(&c, root, i, *memory)).collect::<Result<_>>()?,
        glu: c.ff_glu,
        table: Table::new(&numbers, (heads.count, rows, heads.width)),
        queues,
        enhanced: c.enhanced_recurrence,
        cache: root.cache(),
        output: Linear::load(&logits.pp(1), (v, wide))?.into(),
    };
    let mut unread = unread(&c.rest);
    unread.retain(|key| !WITHOUT_EFFECT.contains(&key.as_str()));
    Ok(Loaded { model: Box::new(model), unread })
}

fn layer(c: &Config, root: &Weights, i: usize, memory: bool) -> Result<Layer> {
    let (d, inner) = (c.dim, 4 * c.dim);
    let (attention, feed_forward) = (root.pp("attn_layers").pp(i), root.pp("ff_layers").pp(i));
    let (a, f) = (attention.pp("fn").pp("fn"), feed_forward.pp("fn").pp("fn"));
    let gate = |w: &Weights| c.gru_gated_residual.then(|| Gate::load(w, d, c.mogrify_gru)).transpose();
    let half = |p: usize| -> Result<Linear> {
        let form = Form { outputs: d, inputs: d, layout: Layout::OutIn, of: (p * d, 2 * d) };
        Ok(Linear::from_packed(Arc::new(a.packed("to_kv.weight", &form, None)?)))
    };
    let conv = a.pp("compress_mem_fn").pp("conv");
    let compress = if memory {
        Some(Compress::conv(&conv, d, c.cmem_ratio)?)
    } else {
        ["weight", "bias"].iter().for_each(|name| conv.skip(name)); // the package makes one for every layer
        None
    };
    Ok(Layer {
        norm: LayerNorm::load(&attention.pp("fn").pp("norm"), d, EPS)?,
        q: Linear::load_plain(&a.pp("to_q"), (d, d))?,
        k: half(0)?,
        v: half(1)?,
        out: Linear::load(&a.pp("to_out"), (d, d))?,
        gate: gate(&attention)?,
        compress,
        ff_norm: LayerNorm::load(&feed_forward.pp("fn").pp("norm"), d, EPS)?,
        up: Linear::load(&f.pp("w1"), (if c.ff_glu { 2 * inner } else { inner }, d))?,
        down: Linear::load(&f.pp("w2"), (d, inner))?,
        ff_gate: gate(&feed_forward)?,
    })
}

/// What each row of a batch remembers, layer by layer.
#[derive(Debug, Clone)]
struct Memories(Vec<Vec<Held>>);

/// What a layer remembers.
#[derive(Debug, Clone)]
struct Held {
    /// Compressed rows, recent rows, rows of the segment so far, (rows, d); nothing in layers without memories.
    rows: Vec<f32>,
    /// How many of them are compressed.
    compressed: usize,
    /// Keys and values of the compressed and the recent rows.
    queue: Keys,
    /// Keys and values of the segment so far.
    segment: Keys,
}

impl Memory for Memories {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        select(&mut self.0, rows);
        Ok(())
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        self.0.extend(others.into_iter().flat_map(|o| o.0));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.iter().flatten().map(|h| size_of_val(&h.rows[..]) + h.queue.bytes() + h.segment.bytes()).sum()
    }
}

/// Parts of a call that end at a boundary at the latest: (row, first token, tokens).
type Round = [(usize, usize, usize)];

impl CompressiveTransformer {
    fn keys(&self) -> Keys {
        Keys::new(self.heads.count, self.heads.width, self.cache)
    }

    fn state(&self, rows: usize, probe: Probe) -> State {
        let held = || Held { rows: Vec::new(), compressed: 0, queue: self.keys(), segment: self.keys() };
        let memories = Memories((0..rows).map(|_| self.layers.iter().map(|_| held()).collect()).collect());
        State { seen: vec![0; rows], layers: vec![Box::new(memories)], probe }
    }

    /// Reads t tokens a row: what the last layer hands on, (b, t, d).
    fn read(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let (b, t, d) = (tokens.len(), tokens.first().map_or(0, Vec::len), self.d);
        tokens.iter().try_for_each(|row| check_ids(row, self.info.vocab_size))?;
        let probe = state.probe.clone();
        let foreign = || Error::new("the state belongs to another model");
        let memories = state.layers.first_mut().and_then(|m| m.as_any_mut().downcast_mut::<Memories>()).ok_or_else(foreign)?;
        let mut out = vec![0.0; b * t * d];
        let mut hidden: Vec<Vec<f32>> = if probe.collects() { vec![out.clone(); self.layers.len()] } else { Vec::new() };
        for round in rounds(&state.seen, t, self.queues.segment) {
            let ids: Vec<u32> = round.iter().flat_map(|&(r, first, n)| &tokens[r][first..first + n]).copied().collect();
            let mut xs = probe.time(Phase::Embed, || self.embed(&ids))?;
            for (i, layer) in self.layers.iter().enumerate() {
                if let Some(hidden) = hidden.get_mut(i) {
                    scatter(&xs, &round, (t, d), hidden);
                }
                xs = probe.time(Phase::SelfAttention, || self.attention(i, layer, xs, &round, memories))?;
                xs = probe.time(Phase::FeedForward, || self.feed_forward(layer, xs))?;
            }
            scatter(&xs, &round, (t, d), &mut out);
            probe.time(Phase::SelfAttention, || self.roll(memories));
        }
        state.seen.iter_mut().for_each(|s| *s += t);
        for (i, x) in hidden.into_iter().enumerate() {
            let x = tensor(x, (b, t, d))?;
            probe.record(|| format!("decoder.{i}"), &x);
        }
        let out = tensor(out, (b, t, d))?;
        probe.record(|| format!("decoder.{}", self.layers.len()), &out);
        Ok(out)
    }

    fn embed(&self, ids: &[u32]) -> Result<Vec<f32>> {
        slice(&self.tokens.forward(ids)?, |x| self.to_model.as_ref().map_or_else(|| x.to_vec(), |l| l.apply(x)))
    }

    /// The attention of layer `i` on the tokens of a round, (Σ tokens, d), and what holds it in the stream.
    fn attention(&self, i: usize, layer: &Layer, x: Vec<f32>, round: &Round, memories: &mut Memories) -> Result<Vec<f32>> {
        let d = self.d;
        let normed = layer.norm.forward(&tensor(x.clone(), (x.len() / d, d))?)?;
        let y = slice(&normed, |normed| {
            let [q, k, v] = Linear::apply_all([&layer.q, &layer.k, &layer.v], normed);
            let first = self.layers.iter().position(|l| l.compress.is_some()).unwrap_or(0);
            let mut turns = round.iter().peekable();
            let mut jobs = Vec::with_capacity(round.len());
            let mut at = 0;
            for (r, row) in memories.0.iter_mut().enumerate() {
                let Some(&(_, _, n)) = turns.next_if(|turn| turn.0 == r) else { continue };
                let tokens = at * d..(at + n) * d;
                at += n;
                // the lengths of the queues, which all layers with memories share
                let before = row[first].queue.len();
                let held = &mut row[i];
                held.segment.append(&k[tokens.clone()], &v[tokens.clone()]);
                if layer.compress.is_some() {
                    held.rows.extend_from_slice(&normed[tokens.clone()]);
                }
                let origin = before + self.queues.segment - 1;
                jobs.push(queue::Job { q: &q[tokens], queue: &held.queue, segment: &held.segment, origin, tally: &mut [] });
            }
            let Heads { count, width, scale } = self.heads;
            layer.out.apply(&queue::attend(&mut jobs, queue::Sizes { heads: count, width, scale }, Some(&self.table)))
        })?;
        Ok(residual(layer.gate.as_ref(), y, x))
    }

    fn feed_forward(&self, layer: &Layer, x: Vec<f32>) -> Result<Vec<f32>> {
        let normed = layer.ff_norm.forward(&tensor(x.clone(), (x.len() / self.d, self.d))?)?;
        let y = slice(&normed, |normed| {
            let mut inner = layer.up.apply(normed);
            if self.glu {
                let wide = layer.up.shape().0;
                let half = |of: fn(&[f32]) -> &[f32]| inner.chunks_exact(wide).flat_map(of).copied().collect::<Vec<f32>>();
                let (mut gates, values) = (half(|row| &row[..row.len() / 2]), half(|row| &row[row.len() / 2..]));
                Activation::Gelu.apply(&mut gates);
                gates.iter_mut().zip(&values).for_each(|(g, v)| *g *= v);
                inner = gates;
            } else {
                Activation::Gelu.apply(&mut inner);
            }
            layer.down.apply(&inner)
        })?;
        Ok(residual(layer.ff_gate.as_ref(), y, x))
    }

    /// Moves the full segments into the memories of all layers.
    fn roll(&self, memories: &mut Memories) {
        let segment = self.queues.segment;
        for row in memories.0.iter_mut().filter(|row| row.first().is_some_and(|held| held.segment.len() == segment)) {
            for (held, compress) in row.iter_mut().zip(self.layers.iter().map(|l| &l.compress)) {
                held.segment.clear();
                if let Some(compress) = compress {
                    self.push(held, compress);
                }
            }
            let with = || self.layers.iter().enumerate().filter(|(_, l)| l.compress.is_some());
            if self.enhanced {
                let mut rows: Vec<_> = with().map(|(i, _)| (std::mem::take(&mut row[i].rows), row[i].compressed)).collect();
                rows.rotate_left(1);
                with().zip(rows).for_each(|((i, _), rows)| (row[i].rows, row[i].compressed) = rows);
            }
            for (i, layer) in with() {
                let [k, v] = Linear::apply_all([&layer.k, &layer.v], &row[i].rows);
                row[i].queue.clear();
                row[i].queue.append(&k, &v);
            }
        }
    }

    /// The rows of a layer after its segment is full.
    fn push(&self, held: &mut Held, compress: &Compress) {
        let (d, Queues { memory, compressed: most, .. }) = (self.d, self.queues);
        let recent = held.rows.split_off(held.compressed * d);
        let n = (recent.len() / d).saturating_sub(memory);
        if most > 0 {
            held.rows.extend(compress.apply(&recent[..n * d], d, &self.queues));
        }
        let rows = held.rows.len() / d;
        held.rows.drain(..rows.saturating_sub(most) * d);
        held.compressed = rows.min(most);
        held.rows.extend_from_slice(&recent[n * d..]);
    }
}

/// Puts the tokens of a round where they are among those of the call, (b, t, d).
fn scatter(x: &[f32], round: &Round, (t, d): (usize, usize), out: &mut [f32]) {
    let mut rest = x;
    for &(r, first, n) in round {
        let part;
        (part, rest) = rest.split_at(n * d);
        out[(r * t + first) * d..][..n * d].copy_from_slice(part);
    }
}

fn residual(gate: Option<&Gate>, y: Vec<f32>, mut x: Vec<f32>) -> Vec<f32> {
    match gate {
        Some(gate) => gate.apply(y, x),
        None => {
            x.iter_mut().zip(&y).for_each(|(x, y)| *x += y);
            x
        }
    }
}

impl Model for CompressiveTransformer {
    fn info(&self) -> &Info {
        &self.info
    }

    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)> {
        self.info.global(source)?; // there is none
        let (mut states, mut last) = (Vec::new(), Vec::new());
        for row in &source.rows {
            let (token, before) = row.split_last().ok_or_else(|| Error::new("a prompt has no tokens"))?;
            check_ids([token], self.info.vocab_size)?;
            let mut state = self.state(1, source.probe.clone());
            if !before.is_empty() {
                self.read(&[before.to_vec()], &mut state)?;
            }
            states.push(state);
            last.push(*token);
        }
        let mut all = self.state(0, source.probe.clone());
        all.join(states)?;
        Ok((all, last))
    }

    fn state_bytes(&self, _source: usize, target: usize) -> usize {
        let ((recent, compressed), open) = (self.queues.lengths_at(target), self.queues.open_at(target));
        let keys = |n: usize| Keys::bytes_at(self.heads.count, self.heads.width, n, self.cache);
        let with = self.layers.iter().filter(|l| l.compress.is_some()).count();
        let rows = (recent + compressed + open) * self.d * size_of::<f32>();
        self.layers.len() * keys(open) + with * (keys(recent + compressed) + rows)
    }

    fn step_bytes(&self) -> usize {
        let gate = |g: &Option<Gate>| g.as_ref().map_or(0, Gate::bytes);
        let layer = |l: &Layer| {
            let products = [&l.q, &l.k, &l.v, &l.out, &l.up, &l.down].map(Linear::bytes).iter().sum::<usize>();
            products + l.norm.bytes() + l.ff_norm.bytes() + gate(&l.gate) + gate(&l.ff_gate)
        };
        let Queues { segment, memory, compressed, .. } = self.queues;
        let table = Table::held(self.heads.count, segment + memory + compressed, self.heads.width) * size_of::<f32>();
        let ends = [&self.to_model, &self.from_model].into_iter().flatten().map(Linear::bytes).sum::<usize>();
        self.tokens.row_bytes() + ends + self.layers.iter().map(layer).sum::<usize>() + table + self.output.bytes()
    }

    fn encode_bytes(&self, source: usize) -> usize {
        // a round has the tokens of a segment at most
        let (t, d) = (source.min(self.queues.segment), self.d);
        let inner = self.layers.first().map_or(0, |l| l.up.shape().0);
        (source * d + t * (inner + 5 * d)) * size_of::<f32>() + self.state_bytes(0, source)
    }

    fn score(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let xs = self.read(tokens, state)?;
        state.probe.time(Phase::Logits, || match &self.from_model {
            Some(linear) => self.output.forward(&linear.forward(&xs)?),
            None => self.output.forward(&xs),
        })
    }
}
