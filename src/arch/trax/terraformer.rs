//! Terraformer (Jaszczur et al. 2021, <https://arxiv.org/abs/2111.12763>, section 4): two reversible streams, and one sequence of source and target that a
//! causal decoder reads; there is no cross-attention.
//!
//! Reference: trax:trax/models/research/terraformer.py, trax/models/reformer/reformer.py, trax/models/research/transformer2.py. The encoder starts with
//! both streams equal; each block adds attention of the second stream to the first, changes places, adds the feed-forward layer, and changes places again
//! if `use_two_swaps_per_encoder_block`. Then the decoder reads what came out, in place of tokens, before it reads the first token: both streams as
//! they are if `reversible_encoder`, else LN(Dense(mean)) in both. Source padding is not read: the reference puts the target behind the last real token.

use super::super::{Arch, Loaded, expect};
use super::{Sizes, count, flag, known, scaling_transformer};
use crate::block::{
    Dense, Embedding, EncoderLayer, Heads, LayerNorm, Linear, Positions, Reversible, ReversibleLayer, Streams, check_ids, in_a_row,
    read_reversible,
};
use crate::error::{Error, Result};
use crate::memory::State;
use crate::mixer::Documents;
use crate::model::{Info, Model, Probe, Source};
use crate::timing::phases::Phase;
use crate::weights::Weights;
use candle_core::Tensor;
use serde_json::{Value, json};

pub(in crate::arch) const ARCH: Arch = Arch {
    model_type: "terraformer",
    summary: "reversible encoder-decoder over one joined sequence, sparse feed-forward, sparse QKV, recurrent units",
    checkpoints: "trax's ConfigurableTerraformer, through `effattn convert`",
    mixers: &["mult_conv", "softmax", "favor", "lsh"],
    attentions: &[],
    ignored: &[],
    quirks: &[],
    segments: false,
    tiny: r#"{"model_type": "terraformer", "is_encoder_decoder": true, "vocab_size": 64, "d_model": 24, "d_ff": 60, "n_encoder_layers": 1,
        "n_decoder_layers": 2, "n_heads": 3, "max_len": 80, "attention": {"type": "mult_conv", "sparsity": 6, "v_concat_type": "fixed"},
        "ff_sparsity": [5, 7], "loss_sparsity": 4, "ff_use_sru": [1, 5], "n_decoder_attention_layers": 2, "reversible_encoder": true,
        "use_two_swaps_per_encoder_block": true, "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}"#,
    load,
};

struct Terraformer {
    info: Info,
    start: u32,
    tokens: Embedding,
    source: Positions,
    target: Positions,
    encoder: Vec<EncoderLayer>,
    two_swaps: bool,
    /// What stands between encoder and decoder that are not reversible together.
    joint: Option<(Dense, LayerNorm)>,
    decoder: Reversible,
    norm: LayerNorm,
    output: Dense,
}

fn load(config: &Value, w: &Weights) -> Result<Loaded> {
    let s = Sizes::read(config)?;
    let mut rest = s.rest.clone();
    let head = json!(s.d_model / s.n_heads.max(1));
    for (key, value) in [
        ("output_vocab_size", json!(s.vocab_size)),
        ("d_attention_key", head.clone()),
        ("d_attention_value", head),
        ("is_encoder_decoder", json!(true)),
        ("n_layers_forget", json!(0)),
        ("half_before_layer", Value::Null),
        ("double_after_layer", Value::Null),
    ] {
        expect(&rest, key, &value)?;
        rest.remove(key);
    }
    let reversible = flag(&mut rest, "reversible_encoder", false)?;
    let two_swaps = flag(&mut rest, "use_two_swaps_per_encoder_block", true)?;
    let sublayers = count(&mut rest, "n_decoder_attention_layers", 2, super::MOST_LAYERS)?;
    rest.remove("forget_dense");
    let heads = Heads::new(s.d_model, s.n_heads)?;
    if !s.d_model.is_multiple_of(2 * s.n_heads) {
        let (d, h) = (s.d_model, s.n_heads);
        return Err(Error::new(format!("config.json: half of `d_model` {d} does not split into `n_heads` {h}"))
            .hint("the streams of a Terraformer are checked at half their width, as trax does"));
    }
    let decoder_layers = s.need("n_decoder_layers", s.n_decoder_layers)?;
    let encoder_layers = s.need("n_encoder_layers", s.n_encoder_layers)?;
    let (source, target) = (s.positions(&w.pp("enc_pos"))?, s.positions(&w.pp("dec_pos"))?);
    let joint = || -> Result<_> {
        let dense = Linear::load_in_out(&w.pp("encoder_out"), (s.d_model, s.d_model))?;
        Ok((dense.into(), s.last_norm(&w.pp("encoder_norm"))?))
    };
    let model = Terraformer {
        info: Info {
            model_type: ARCH.model_type,
            encoder_decoder: true,
            vocab_size: s.vocab_size,
            max_source: source.limit(),
            max_target: target.limit(),
            attention: s.encoder_attention.told(),
            default_global: None,
            layers: (encoder_layers, decoder_layers),
            prompt_start: None,
            reads_only: None,
        },
        start: s.start()?,
        tokens: Embedding::rows(&w.pp("embed"), "weight", (s.vocab_size, s.d_model))?,
        source,
        target,
        encoder: scaling_transformer::encoder(w, &s, heads, encoder_layers)?,
        two_swaps,
        joint: if reversible { None } else { Some(joint()?) },
        decoder: Reversible((0..decoder_layers).map(|i| layer(&w.pp("decoder").pp(i), &s, heads, sublayers)).collect::<Result<_>>()?),
        norm: s.last_norm(&w.pp("final_norm"))?,
        output: s.loss(w, s.d_model)?,
    };
    known(&rest)?;
    Ok(Loaded { model: Box::new(model), unread: Vec::new() })
}

/// A decoder layer below `w`, of so many attentions.
pub(super) fn layer(w: &Weights, s: &Sizes, heads: Heads, sublayers: usize) -> Result<ReversibleLayer> {
    let mixer = |a: usize| -> Result<_> {
        let w = w.pp("attn").pp(a);
        Ok((s.norm(&w.pp("norm"))?, s.attention.mixer(&w, s.d_model, heads)?))
    };
    Ok(ReversibleLayer {
        mixers: (0..sublayers).map(mixer).collect::<Result<_>>()?,
        feed_forward: s.feed_forward(w)?,
        feed_forward_norm: s.norm(&w.pp("ff_norm"))?,
        recurrent: s.recurrent(w)?,
    })
}

impl Terraformer {
    /// What the decoder reads of the documents, (Σ n, d) twice.
    fn join(&self, ids: &[u32], documents: &Documents, probe: &Probe) -> Result<Streams> {
        let xs = probe.time(Phase::Embed, || self.tokens.forward_at(ids, &self.source, documents.positions().into_iter()))?;
        let xs = read_reversible(&self.encoder, self.two_swaps, Streams::both(&xs), documents, probe)?;
        match &self.joint {
            None => Ok(xs),
            Some((dense, norm)) => Ok(Streams::both(&norm.forward(&dense.forward(&xs.mean()?)?)?)),
        }
    }
}

impl Model for Terraformer {
    fn info(&self) -> &Info {
        &self.info
    }

    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)> {
        let (ids, documents) = in_a_row(&self.info, source)?;
        let Streams(a, b) = self.join(&ids, &documents, &source.probe)?;
        let mut all = State { seen: Vec::new(), layers: self.decoder.memories(0)?, probe: source.probe.clone() };
        let mut states = Vec::new();
        for r in documents.ranges() {
            let mut layers = self.decoder.memories(1)?;
            let part = |xs: &Tensor| -> Result<Tensor> { Ok(xs.narrow(0, r.start, r.len())?.unsqueeze(0)?) }; // (1, n, d)
            // nobody asks for what the decoder makes of the source
            self.decoder.forward(Streams(part(&a)?, part(&b)?), &mut layers, &Default::default())?;
            states.push(State { seen: vec![0], layers, probe: source.probe.clone() });
        }
        all.join(states)?;
        Ok((all, vec![self.start; source.rows.len()]))
    }

    fn state_bytes(&self, source: usize, target: usize) -> usize {
        self.decoder.state_bytes(source + target)
    }

    fn step_bytes(&self) -> usize {
        self.tokens.row_bytes() + self.target.row_bytes() + self.decoder.step_bytes() + self.norm.bytes() + self.output.bytes()
    }

    fn encode_bytes(&self, source: usize) -> usize {
        let layer = |l: &EncoderLayer| l.reader.work_bytes(source).max(l.feed_forward.work_bytes(source));
        let encoder = self.encoder.iter().map(layer).max().unwrap_or(0) + source * 2 * self.norm.bytes();
        encoder.max(self.decoder.work_bytes(source) + self.state_bytes(source, 0))
    }

    fn score(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let (b, t) = (tokens.len(), tokens.first().map_or(0, Vec::len));
        let ids = tokens.concat();
        check_ids(&ids, self.info.vocab_size)?;
        let probe = state.probe.clone();
        let xs = probe.time(Phase::Embed, || self.tokens.forward_at(&ids, &self.target, state.positions(t).into_iter()))?; // (b t, d)
        let xs = self.decoder.forward(Streams::both(&xs.reshape((b, t, ()))?), &mut state.layers, &probe)?;
        state.seen.iter_mut().for_each(|s| *s += t);
        probe.time(Phase::Logits, || self.output.forward(&self.norm.forward(&xs.mean()?)?))
    }
}
