//! The stack of [`super`]: parts one after the other, over texts of one length.

use crate::block::{Embedding, FeedForward, LayerNorm, Linear, Positions, ReadsOnly, in_a_row};
use crate::error::{Error, Result};
use crate::mixer::{Documents, Linformer, Reader};
use crate::model::{Info, Source};
use crate::timing::phases::Phase;
use candle_core::Tensor;

/// norm(r(x) + f(x)); r is nothing where features stay as many.
pub(super) struct Part {
    pub f: Function,
    pub resample: Option<Linear>,
    pub norm: LayerNorm,
}

/// What stands within a norm and a residual.
pub(super) enum Function {
    Attention(Linformer),
    FeedForward(FeedForward),
}

/// The model; every text has `size` tokens.
pub(super) struct Fixed {
    pub info: Info,
    pub size: usize,
    pub tokens: Embedding,
    pub positions: Positions,
    /// Before the layers and behind them.
    pub project: Option<(Linear, Linear)>,
    pub parts: Vec<Part>,
    pub output: Linear,
}

impl Fixed {
    /// Fails if a text has not the one length that the projections take.
    fn fits(&self, documents: &Documents) -> Result<()> {
        let lengths = documents.lengths();
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
        Ok(())
    }
}

impl ReadsOnly for Fixed {
    fn info(&self) -> &Info {
        &self.info
    }

    fn read(&self, source: &Source) -> Result<(Tensor, Documents)> {
        let (ids, documents) = in_a_row(&self.info, source)?;
        self.fits(&documents)?;
        let probe = &source.probe;
        let mut xs = probe.time(Phase::Embed, || self.tokens.forward_at(&ids, &self.positions, documents.positions().into_iter()))?;
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

    fn logits(&self, xs: &Tensor) -> Result<Tensor> {
        self.output.forward(xs)
    }

    fn bytes(&self) -> usize {
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

    fn work_bytes(&self, n: usize) -> usize {
        let part = |p: &Part| {
            let f = match &p.f {
                Function::Attention(attention) => attention.work_bytes(n),
                Function::FeedForward(f) => f.work_bytes(n),
            };
            f + n * p.norm.bytes()
        };
        self.parts.iter().map(part).max().unwrap_or(0)
    }
}
