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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{Activation, EncoderLayer, FeedForward, Heads, Linear, Order, Projections};
    use crate::kernel::testing::noise;
    use crate::mixer::{PegasusX, Reader, Softmax};
    use crate::weights::Store;
    use std::sync::Arc;

    const D: usize = 24;

    fn encoder(w: &Weights, layers: usize, reader: impl Fn(Heads, Projections) -> Box<dyn Reader>) -> Result<Encoder> {
        let layer = |i: usize| {
            let w = w.pp(i);
            let norm = |name: &str| LayerNorm::load(&w.pp(name), D, 1e-5);
            let (up, down) = (Linear::load(&w.pp("fc1"), (40, D))?, Linear::load(&w.pp("fc2"), (D, 40))?);
            Ok(EncoderLayer {
                reader: reader(Heads::new(D, 3)?, Projections::load(&w, (D, D), false)?),
                reader_norm: norm("self_attn_layer_norm")?,
                feed_forward: FeedForward::new(up, down, Activation::Gelu),
                feed_forward_norm: norm("final_layer_norm")?,
                recurrent: None,
            })
        };
        let layers = (0..layers).map(layer).collect::<Result<_>>()?;
        Ok(Encoder { order: Order::Pre, layers, norm: Some(LayerNorm::load(&w.pp("layer_norm"), D, 1e-5)?), globals: None })
    }

    /// Without global rows it is the stack that every other encoder is, to the bit, in all that is recorded; with some it is another.
    #[test]
    fn no_global_rows_are_a_plain_stack() -> Result<()> {
        let store = Arc::new(Store::random(3));
        let w = store.root();
        let documents = Documents::new(vec![9, 1, 30], vec![])?;
        let run = |encoder: &Encoder| -> Result<Vec<(String, Vec<Vec<f32>>)>> {
            let probe = Probe::on();
            let out = encoder.forward(tensor(noise(40 * D, 1), (40, D))?, &documents, &probe)?;
            let mut all: Vec<(String, Tensor)> = probe.take().into_iter().filter(|(name, _)| name.starts_with("encoder.")).collect();
            all.push(("out".to_owned(), out));
            all.into_iter().map(|(name, x)| Ok((name, x.to_vec2()?))).collect()
        };
        for layers in [1, 3] {
            let plain = encoder(&w, layers, |heads, p| Box::new(Softmax::new(heads, p)))?;
            for count in [0, 2] {
                let mut with = encoder(&w, layers, |heads, p| Box::new(PegasusX::new(heads, p, count)))?;
                with.globals = Some(Globals::load(&w, (count, D), layers, 1e-5)?);
                assert_eq!(run(&plain)? == run(&with)?, count == 0, "{layers} layers, {count} global rows");
                assert_eq!(with.bytes() - plain.bytes(), (count * D + layers * 2 * D) * 4);
            }
        }
        Ok(())
    }
}
