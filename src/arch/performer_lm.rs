//! `PerformerLM` of lucidrains/performer-pytorch (performer-pytorch:performer_pytorch/performer_pytorch.py, 1.1.4), causal and bidirectional, under its own
//! tensor names; config.json has the arguments of its constructor.
//!
//! Each layer is x + g · attention(norm x), then x + g · feed-forward(norm x); the norm is LayerNorm, ScaleNorm x / max(‖x‖, 1e-5) · g
//! (`use_scalenorm`), or none (`use_rezero`, where g is learned; else g = 1). With `shift_tokens` the normed rows are mixed before: the first half of the
//! features stays and the second comes from the row before (documents: thirds from the row after, the row itself and the row before). With `reversible`
//! two streams take turns, and their sum is what comes out.
//!
//! | here | there |
//! |---|---|
//! | m | `nb_features`, ⌊d_k ln d_k⌋ if null |
//! | d_k | `dim_head`, 64 |
//! | heads with windows, the last ones | `local_attn_heads`, one number or one for each layer |
//!
//! The causal softmax kernel of the reference is not causal: the greatest W k̂ of all positions is taken away from every key before the exponential, and then
//! ε = 1e-4 and, in z, 1e-6 are added, so a later key decides how much of the earlier ones remains (measured on strong random weights with logits of standard
//! deviation 2.3: another last token moves logits of the first half by up to 2.6 in a text of 32 tokens; with the package's initialisation by up to 0.005).
//! Here the maximum runs with the text, without ε and 1e-6: the softmax that the features stand for. With `reference_quirks` a call
//! takes the greatest W k̂ of its own tokens and those before it, with both constants: scoring a whole text at once gives the reference's numbers;
//! from then on the maximum is that of all that was given so far, which is what the reference computes again for each longer text but for outputs already
//! given.
//!
//! What leaks nothing is kept as it is: ε = 1e-4 of documents (their maximum is that of all keys by right), ε = 1e-3 of the ReLU kernel, and 1e-6 in its
//! denominator and in that of `no_projection`.

use super::{Arch, Loaded, parse};
use crate::block::{Activation, Dense, Embedding, FeedForward, Heads, LayerNorm, Linear, Positions, Projections, Rotary, RotaryStyle};
use crate::error::Result;
use crate::kernel::features::{Features, Kernel};
use crate::kernel::linear::Layout;
use crate::mixer::{Performer, Windows};
use crate::model::{Info, Model};
use crate::weights::{Form, Weights};
use config::Config;
use model::{Bidirectional, Layer, Lm};
use parts::{Glu, Inner, Norm, Shift, Wrapped};
use serde_json::Value;
use std::sync::Arc;

mod config;
mod model;
mod parts;

pub(super) const ARCH: Arch = Arch {
    model_type: "performer_lm",
    summary: "lucidrains' PerformerLM: random features, decoder only or encoder only",
    checkpoints: "saved from performer-pytorch, its state dict as safetensors",
    mixers: &["performer"],
    attentions: &[],
    ignored: &[],
    quirks: &[
        "the causal softmax kernel takes the greatest key of the whole text away and adds 1e-4 to what is left, so later tokens change earlier logits (by up to 2.6 of a standard deviation of 2.3, measured on random weights)",
        "heads with windows that read documents give weight to the zeros that fill the last window (logits move by up to 1.2 of a standard deviation of 2.0, measured on random weights)",
    ],
    segments: false,
    tiny: r#"{"model_type": "performer_lm", "num_tokens": 61, "dim": 24, "depth": 2, "heads": 3, "dim_head": 8, "nb_features": 20, "max_seq_len": 120, "causal": true,
        "local_attn_heads": [0, 1], "local_window_size": 7, "shift_tokens": true, "ff_glu": true, "bos_token_id": 0, "eos_token_id": 0}"#,
    load,
};

impl Config {
    /// What is added to the embeddings, and what turns queries and keys.
    fn positions(&self, w: &Weights) -> Result<(Positions, Option<Arc<Rotary>>)> {
        let (n, d) = (self.max_seq_len, self.dim);
        if self.rotary_position_emb {
            // tables that a checkpoint has are used as they are: the reference rounds angles to f32
            let added = if w.has("pos_emb.emb") {
                if !d.is_multiple_of(2) {
                    Positions::sines(d)?;
                }
                Positions::stored(w.get("pos_emb.emb", &[n, d])?, (n, d))
            } else {
                Positions::sines(d)?.up_to(n)
            };
            let rotary = if w.has("layer_pos_emb.emb") {
                Rotary::stored(w.get("layer_pos_emb.emb", &[n, self.dim_head])?, self.dim_head, RotaryStyle::Interleaved)?
            } else {
                Rotary::new(self.dim_head, 10_000.0, RotaryStyle::Interleaved)?
            };
            return Ok((added, Some(Arc::new(rotary))));
        }
        if self.axial_position_emb {
            let shape = self.axial_position_shape.clone().unwrap_or_else(|| vec![n.div_ceil(64), 64]);
            return Ok((Positions::axial_sums(&w.pp("pos_emb.weights"), &shape, d)?.up_to(n), None));
        }
        Ok((Positions::learned(&w.pp("pos_emb.emb"), (n, d), 0)?, None))
    }

    fn features_of(&self, w: &Weights, heads: usize) -> Result<Features> {
        let (m, width) = (self.features(), self.dim_head);
        let size = (heads, width);
        if self.no_projection {
            let constant = if self.causal { 1e-6 } else { 0.0 };
            return Ok(Features { projection: None, kernel: Kernel::Exponential, epsilon: 0.0, constant, heads, width });
        }
        let projection = w.packed_exact("projection_matrix", &Form::whole((m, width), Layout::OutIn))?;
        if self.generalized_attention {
            let constant = if self.causal { 1e-6 } else { 0.0 };
            return Ok(Features { constant, ..Features::new(projection, Kernel::Relu, 1e-3, size) });
        }
        let faithful = self.reference_quirks || !self.causal;
        let epsilon = if faithful { 1e-4 } else { 0.0 };
        // the reference's features have a factor m^(-1/2) that ours have not
        let constant = if self.causal && self.reference_quirks { 1e-6 * (m as f32).sqrt() } else { 0.0 };
        Ok(Features { constant, ..Features::new(projection, Kernel::Softmax, epsilon, size) })
    }

    /// The attention of a layer with so many local heads, whose tensors are in `w`.
    fn attention(&self, w: &Weights, rotary: &Option<Arc<Rotary>>, local: usize) -> Result<Performer> {
        let (d, inner, width) = (self.dim, self.heads * self.dim_head, self.dim_head);
        let linear = |name: &str, sizes, bias| -> Result<Dense> {
            let w = w.pp(name);
            Ok(if bias { Linear::load(&w, sizes)? } else { Linear::load_plain(&w, sizes)? }.into())
        };
        let one = |name: &str| linear(name, (inner, d), self.qkv_bias);
        let out = linear("to_out", (d, inner), self.attn_out_bias)?;
        let projections = Projections { q: one("to_q")?, k: one("to_k")?, v: one("to_v")?, out };
        let heads = |count: usize| Heads { count, width, scale: (width as f32).powf(-0.5) };
        // stored even where nobody reads it
        w.skip("fast_attention.projection_matrix");
        w.skip("local_attn.rel_pos.inv_freq");
        let features = match self.heads - local {
            0 => None,
            n => Some(self.features_of(&w.pp("fast_attention"), n)?),
        };
        let windows = match local {
            0 => None,
            n => Some(Windows {
                heads: heads(n),
                window: self.local_window_size,
                rotary: Rotary::new(width, 10_000.0, RotaryStyle::Half)?,
                cache: w.cache(),
                filled: self.reference_quirks,
            }),
        };
        let softmax = !self.no_projection && !self.generalized_attention;
        Ok(Performer {
            features,
            rotary: rotary.clone(),
            windows,
            foresee: softmax && self.reference_quirks,
            normalised: self.no_projection && !self.causal,
            ..Performer::new(heads(self.heads), projections)
        })
    }

    /// The norm of a half of a layer, and its factor.
    fn wrapped(&self, w: &Weights) -> Result<Wrapped> {
        let g = |shape: &[usize]| w.get("g", shape).map(|g| g.first().copied().unwrap_or(1.0));
        Ok(match (self.use_scalenorm, self.use_rezero) {
            (true, _) => Wrapped { norm: Norm::Scale(g(&[1])?), factor: 1.0 },
            (false, true) => Wrapped { norm: Norm::None, factor: g(&[])? },
            (false, false) => Wrapped { norm: Norm::Layer(LayerNorm::load(&w.pp("norm"), self.dim, 1e-5)?), factor: 1.0 },
        })
    }

    fn layer(&self, root: &Weights, i: usize, rotary: &Option<Arc<Rotary>>, local: usize) -> Result<Layer> {
        let net = root.pp("performer.net");
        let half = |first: bool| match (self.reversible, first) {
            (true, true) => net.pp("blocks").pp(i).pp("f.net"),
            (true, false) => net.pp("blocks").pp(i).pp("g.net"),
            (false, first) => net.pp("layers").pp(i).pp(usize::from(!first)),
        };
        let inside = |w: &Weights| if self.shift_tokens { w.pp("fn.fn") } else { w.pp("fn") };
        let (attention, feed_forward) = (half(true), half(false));
        let (d, inner, ff) = (self.dim, self.ff_mult * self.dim, inside(&feed_forward).pp("fn"));
        let down = Linear::load(&ff.pp("w2"), (d, inner))?;
        let inner = if self.ff_glu {
            let w1 = ff.pp("w1");
            let bias = w1.get("bias", &[2 * inner])?;
            let part = |p: usize| -> Result<Linear> {
                let form = Form { outputs: inner, inputs: d, layout: Layout::OutIn, of: (p * inner, 2 * inner) };
                Ok(Linear::from_packed(Arc::new(w1.packed("weight", &form, Some(bias[p * inner..(p + 1) * inner].to_vec()))?)))
            };
            Inner::Glu(Glu { gate: part(0)?, up: part(1)?, down })
        } else {
            Inner::Plain(FeedForward::new(Linear::load(&ff.pp("w1"), (inner, d))?, down, Activation::Gelu))
        };
        Ok(Layer {
            attention: (self.wrapped(&attention)?, self.attention(&inside(&attention), rotary, local)?),
            feed_forward: (self.wrapped(&feed_forward)?, inner),
        })
    }

    fn info(&self, positions: &Positions) -> Info {
        Info {
            model_type: ARCH.model_type,
            encoder_decoder: false,
            vocab_size: self.num_tokens,
            max_source: positions.limit(),
            max_target: positions.limit(),
            attention: "performer".into(),
            default_global: None,
            layers: if self.causal { (0, self.depth) } else { (self.depth, 0) },
            prompt_start: None,
            reads_only: (!self.causal).then_some("`causal` is false in its config.json, so every position depends on those after it"),
        }
    }
}

fn load(config: &Value, root: &Weights) -> Result<Loaded> {
    let c: Config = parse(config)?;
    c.check()?;
    let local = c.local()?;
    let (v, d) = (c.num_tokens, c.dim);
    let (tokens, output) = if c.tie_embed {
        let table = Embedding::packed(root, "token_emb.weight", (v, d), None)?;
        (Embedding::new(table.clone(), 1.0), Linear::from_packed(table))
    } else {
        (Embedding::rows(root, "token_emb.weight", (v, d))?, Linear::load(&root.pp("to_out"), (v, d))?)
    };
    // the state dict has every tensor of the layers a second time
    root.skip_below("performer.proj_updater");
    let (positions, rotary) = c.positions(root)?;
    let layers = local.iter().enumerate().map(|(i, local)| c.layer(root, i, &rotary, *local)).collect::<Result<_>>()?;
    let lm = Lm {
        info: c.info(&positions),
        tokens,
        positions,
        layers,
        shift: c.shift_tokens.then_some(Shift { d, causal: c.causal }),
        reversible: c.reversible,
        norm: LayerNorm::load(&root.pp("norm"), d, 1e-5)?,
        output: output.into(),
    };
    let model: Box<dyn Model> = if c.causal { Box::new(lm) } else { Box::new(Bidirectional(lm)) };
    Ok(Loaded { model, unread: Vec::new() })
}
