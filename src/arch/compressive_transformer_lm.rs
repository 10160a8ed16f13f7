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
use crate::block::{Embedding, Gate, Heads, LayerNorm, Linear};
use crate::error::Result;
use crate::kernel::linear::Layout;
use crate::kernel::queue::Table;
use crate::mixer::segments::Compress;
use crate::model::Info;
use crate::weights::{Form, Weights};
use config::{Config, WITHOUT_EFFECT};
use model::{CompressiveTransformer, Layer};
use serde_json::Value;
use std::sync::Arc;

mod config;
mod memories;
mod model;

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

const EPS: f64 = 1e-5;

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
