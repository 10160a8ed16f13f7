//! Rows that stand beside the tokens of every document: Pegasus-X's global tokens (Phang et al. 2022, <https://arxiv.org/abs/2208.04347>, section 3.2).
//!
//! They begin alike in each document, go through the encoder's layers with the tokens, see all of them and are seen by all of them, and are given up behind the
//! last layer. Projections, feed-forward and its norm are those of the tokens; the norm before attention is their own
//! (transformers:src/transformers/models/pegasus_x/modeling_pegasus_x.py).

use super::LayerNorm;
use super::stack::Encoder;
use crate::error::{Error, Result};
use crate::kernel::tensor;
use crate::mixer::Documents;
use crate::model::Probe;
use crate::timing::phases::Phase;
use crate::weights::Weights;
use candle_core::Tensor;

/// The global rows of an encoder.
pub struct Globals {
    /// Rows of a document.
    pub count: usize,
    /// (count, d): what they are before the first layer.
    table: Vec<f32>,
    d: usize,
    /// Their norms before attention, layer by layer.
    norms: Vec<LayerNorm>,
}

/// Most numbers of a table of global rows.
const MOST: usize = 1 << 32;

impl Globals {
    /// `embed_global.weight` (count, d) and `layers.I.global_self_attn_layer_norm` below `w`. Fails if there are too many.
    pub fn load(w: &Weights, (count, d): (usize, usize), layers: usize, eps: f64) -> Result<Self> {
        count.checked_mul(d).filter(|n| *n <= MOST).ok_or_else(|| {
            Error::new(format!("config.json: `num_global_tokens` is {count}")).hint("it is a small number, such as 32 or 128")
        })?;
        let table = w.pp("embed_global").get("weight", &[count, d])?;
        let norm = |i: usize| LayerNorm::load(&w.pp("layers").pp(i).pp("global_self_attn_layer_norm"), d, eps);
        Ok(Self { count, table, d, norms: (0..layers).map(norm).collect::<Result<_>>()? })
    }

    /// Bytes of the table and the norms.
    pub fn bytes(&self) -> usize {
        self.count * self.d * size_of::<f32>() + self.norms.iter().map(LayerNorm::bytes).sum::<usize>()
    }

    /// [`Encoder::forward`]. The stream is (docs · count + Σ n, d), the global rows of all documents first: so its readers get it.
    /// Records `encoder_global.0` to `encoder_global.N` too, each before `encoder` of the same number.
    pub(super) fn forward(&self, encoder: &Encoder, tokens: Tensor, documents: &Documents, probe: &Probe) -> Result<Tensor> {
        let (rows, n) = (self.count * documents.lengths().len(), tokens.dims2()?.0);
        let record = |i: usize, xs: &Tensor, tokens: &Tensor| -> Result<()> {
            if probe.collects() {
                probe.record(|| format!("encoder_global.{i}"), &xs.narrow(0, 0, rows)?);
                probe.record(|| format!("encoder.{i}"), &tokens.narrow(0, rows, n)?);
            }
            Ok(())
        };
        let Some((first, norm)) = encoder.layers.first().zip(self.norms.first()) else {
            return Err(Error::new("an encoder without layers"));
        };
        let (mut xs, mut normed) = probe.time(Phase::Embed, || {
            let globals = tensor(self.table.repeat(documents.lengths().len()), (rows, self.d))?;
            let normed = Tensor::cat(&[norm.forward(&globals)?, first.reader_norm.forward(&tokens)?], 0)?;
            Ok::<_, Error>((Tensor::cat(&[globals, tokens], 0)?, normed))
        })?;
        for (i, (layer, norm)) in encoder.layers.iter().zip(&self.norms).enumerate() {
            record(i, &xs, &xs)?;
            (xs, normed) = probe.time(Phase::SelfAttention, || {
                let f = layer.reader.read(&normed, documents)?;
                drop(normed);
                layer.feed_forward_norm.sum_and_norm(&xs, &f)
            })?;
            let next = encoder.layers.get(i + 1).map(|l| &l.reader_norm).or(encoder.norm.as_ref()).unwrap_or(&layer.reader_norm);
            // behind the last layer nobody reads the norm of the global rows
            let parts = [(self.norms.get(i + 1).unwrap_or(norm), rows), (next, n)];
            (xs, normed) = probe.time(Phase::FeedForward, || {
                let f = layer.feed_forward.forward(&normed)?;
                drop(normed);
                LayerNorm::sum_and_norms(parts, &xs, &f)
            })?;
        }
        let out = if encoder.norm.is_some() { normed } else { xs.clone() };
        record(encoder.layers.len(), &xs, &out)?;
        Ok(out.narrow(0, rows, n)?)
    }
}
