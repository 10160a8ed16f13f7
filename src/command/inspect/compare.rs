//! What weights of fewer bits change: the same tokens through the model in every precision.
//!
//! One model is in memory at a time. The logits of f32 wait for those of the others, in memory while they are few, else in a file that has no
//! name.

use super::texts::Texts;
use crate::checkpoint::Checkpoint;
use crate::cli::{InspectArgs, WeightArgs};
use crate::command::open;
use crate::error::{Error, Result};
use crate::hub::Found;
use crate::kernel::precision::Precision;
use crate::kernel::{on_the_pool, slice};
use crate::metric::perplexity::losses;
use crate::model::{Model, Source};
use candle_core::Tensor;
use std::io::{Read, Seek, Write};
use tempfile::SpooledTempFile;

/// Logits that are made at once: 16 MiB.
const LOGITS: usize = 4 << 20;
/// Tokens that are read at once, at most.
const TOGETHER: usize = 256;
/// Bytes of logits that wait in memory.
const WAITING: usize = 256 << 20;

/// What was compared, and what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The tokens.
    pub texts: Texts,
    /// Whether they are what the model wrote, rather than the documents' own.
    pub written: bool,
    /// Largest |logit| in f32.
    pub largest: f64,
    /// One a precision, f32 first.
    pub lines: Vec<Line>,
}

/// What was found in one precision.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// How the weights are held.
    pub precision: Precision,
    /// Bytes of the weights in memory.
    pub bytes: usize,
    /// Largest |difference| of a logit from that of f32.
    pub difference: f64,
    /// Tokens at which f32 would choose the same token greedily.
    pub same: usize,
    /// exp of the mean −ln p of the tokens.
    pub perplexity: f64,
}

impl Comparison {
    /// Loads the model that was found in every precision; `checkpoint` serves if it is in f32 and is freed if it is not.
    pub fn of(args: &InspectArgs, found: Option<&Found>, checkpoint: Checkpoint) -> Result<Self> {
        let load = |precision: Precision| {
            let weights = WeightArgs { dtype: precision.into(), ..args.model.weights.clone() };
            open(found, &weights, 0)
        };
        let first = Some(checkpoint).filter(|c| c.held.weights == Precision::F32);
        let mut exact = first.map_or_else(|| load(Precision::F32), Ok)?;
        let written = exact.model.info().encoder_decoder;
        let texts = Texts::of(&args.compare, &mut exact)?;
        let mut waiting = Waiting { file: tempfile::spooled_tempfile(WAITING), largest: 0.0 };
        let mut lines = vec![line(&exact, &texts, &mut |logits| waiting.keep(logits))?];
        drop(exact);
        for precision in [Precision::Bf16, Precision::Int8] {
            waiting.file.rewind()?;
            lines.push(line(&load(precision)?, &texts, &mut |logits| waiting.compare(logits))?);
        }
        Ok(Self { texts, written, largest: waiting.largest, lines })
    }

    /// Largest difference of a line over the largest |logit|.
    pub fn relative(&self, line: &Line) -> f64 {
        if line.difference == 0.0 { 0.0 } else { line.difference / self.largest }
    }

    /// Share of the tokens of a line at which the greedy choice is that of f32.
    pub fn share(&self, line: &Line) -> f64 {
        line.same as f64 / self.texts.tokens() as f64
    }

    /// Change of the perplexity of a line against f32, in percent.
    pub fn change(&self, line: &Line) -> f64 {
        self.lines.first().map_or(0.0, |exact| 100.0 * (line.perplexity / exact.perplexity - 1.0))
    }
}

/// Logits of some tokens against those of f32.
#[derive(Debug, Clone, Copy, Default)]
struct Against {
    difference: f64,
    same: usize,
}

/// One precision: all texts through the model, the logits to `look` in the order of the tokens.
fn line(checkpoint: &Checkpoint, texts: &Texts, look: &mut dyn FnMut(&Tensor) -> Result<Against>) -> Result<Line> {
    let (mut nll, mut all) = (0.0, Against::default());
    walk(&*checkpoint.model, texts, &mut |logits, labels| {
        nll += losses(logits, labels)?.iter().sum::<f64>();
        let here = look(logits)?;
        all = Against { difference: all.difference.max(here.difference), same: all.same + here.same };
        Ok(())
    })?;
    Ok(Line {
        precision: checkpoint.held.weights,
        bytes: checkpoint.store.bytes_in_memory(),
        difference: all.difference,
        same: all.same,
        perplexity: (nll / texts.tokens() as f64).exp(),
    })
}

/// The logits (1, t, v) after every token but the last of every text, some at a time, with the tokens that follow.
fn walk(model: &dyn Model, texts: &Texts, look: &mut dyn FnMut(&Tensor, &[u32]) -> Result<()>) -> Result<()> {
    let together = (LOGITS / model.info().vocab_size.max(1)).clamp(1, TOGETHER);
    for text in texts.all.iter().filter(|t| !t.labels.is_empty()) {
        let source = Source::new(vec![text.source.clone()]);
        let (mut state, first) = on_the_pool(|| model.encode(&source))?;
        let inputs = [&first, &text.labels[..text.labels.len() - 1]].concat();
        for (inputs, labels) in inputs.chunks(together).zip(text.labels.chunks(together)) {
            let logits = on_the_pool(|| model.score(&[inputs.to_vec()], &mut state))?;
            look(&logits, labels)?;
        }
    }
    Ok(())
}

/// The logits of f32.
struct Waiting {
    file: SpooledTempFile,
    /// Largest |logit|.
    largest: f64,
}

impl Waiting {
    /// Puts logits behind those that wait. They are what others are compared with.
    fn keep(&mut self, logits: &Tensor) -> Result<Against> {
        let (_, same, _) = logits.dims3()?;
        let (bytes, largest) = slice(logits, |x| {
            let finite = x.iter().filter(|x| x.is_finite()).map(|x| f64::from(x.abs()));
            (x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>(), finite.fold(0.0, f64::max))
        })?;
        self.file.write_all(&bytes).map_err(|e| unkept(&e))?;
        self.largest = self.largest.max(largest);
        Ok(Against { difference: 0.0, same })
    }

    /// Compares logits with the next ones that wait.
    fn compare(&mut self, logits: &Tensor) -> Result<Against> {
        let (_, tokens, v) = logits.dims3()?;
        let mut bytes = vec![0; tokens * v * size_of::<f32>()];
        self.file.read_exact(&mut bytes).map_err(|e| unkept(&e))?;
        let exact: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        slice(logits, |got| {
            got.chunks_exact(v).zip(exact.chunks_exact(v)).fold(Against::default(), |all, (got, exact)| Against {
                difference: all.difference.max(difference(got, exact)),
                same: all.same + usize::from(greedy(got) == greedy(exact)),
            })
        })
    }
}

fn unkept(e: &std::io::Error) -> Error {
    Error::new(format!("the logits of f32 cannot be kept for the comparison: {}", crate::output::reason(e)))
        .hint("compare fewer documents with `-n`, or name a directory with more room in `TMPDIR`")
}

/// The largest |difference|; equal infinities do not differ.
fn difference(a: &[f32], b: &[f32]) -> f64 {
    let one = |(a, b): (&f32, &f32)| if a == b { 0.0 } else { (f64::from(*a) - f64::from(*b)).abs() };
    a.iter().zip(b).map(one).fold(0.0, f64::max)
}

/// The token that greedy search takes: the highest, of equals the lowest id.
fn greedy(logits: &[f32]) -> usize {
    logits.iter().enumerate().fold(0, |best, (token, x)| if *x > logits[best] { token } else { best })
}
