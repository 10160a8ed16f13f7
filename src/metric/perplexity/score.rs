//! A model and tokens -> the losses of the tokens.

use super::loss::losses;
use super::options::{Begin, Options, Plan, limit};
use super::windows::Window;
use crate::block::check_ids;
use crate::error::{Error, Result};
use crate::memory::State;
use crate::model::{Info, Model, Source};

/// Tokens whose logits are in memory at once.
const CHUNK: usize = 256;

/// What a model says of a document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Losses {
    /// −ln p of each predicted token in nats, in the order of the text.
    pub nll: Vec<f64>,
    /// Tokens of the text that no window predicts: the first where nothing stands before it, and with a stride as long as the
    /// context the first of every window. Perplexities of words and bytes leave them out as well.
    pub unscored: usize,
    /// The sums of transformers' documentation, for sliding windows.
    pub hf: Option<HfWeighted>,
    /// Tokens of the text that stand for whatever the tokenizer does not know; whoever tokenised it counts them.
    pub unknown: usize,
}

/// The two sums of the loop in transformers:docs/source/en/perplexity.md; the perplexity is exp(`nll` / `tokens`).
///
/// Each window's mean loss is weighted with one token less than the window adds. The mean runs over so many tokens only in the
/// first window, and with a stride as long as the context; later windows predict one token more than they weigh, and weigh nothing with
/// a stride of 1. A window that predicts nothing counts nothing, where the loop itself gets a mean of no numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HfWeighted {
    /// Σ mean loss · weight, in nats.
    pub nll: f64,
    /// Σ weight.
    pub tokens: f64,
}

impl HfWeighted {
    /// Adds a window that reaches `gained` tokens further than those before it.
    fn add(&mut self, nll: &[f64], gained: usize) {
        if !nll.is_empty() {
            let weight = (gained - 1) as f64;
            self.nll += nll.iter().sum::<f64>() / nll.len() as f64 * weight;
            self.tokens += weight;
        }
    }
}

/// Scores a text with a decoder-only model.
///
/// Windows are read from a fresh state each; with [`Plan::Carried`] one state goes through the text. Fails for an encoder-decoder, a
/// token outside of the vocabulary, impossible [`Options`], and a text longer than the model's limit whose memory is to be carried.
pub fn score_text(model: &dyn Model, tokens: &[u32], options: &Options) -> Result<Losses> {
    let info = model.info();
    if info.encoder_decoder {
        return Err(Error::usage(format!("`{}` is an encoder-decoder: it expects a text only given a source", info.model_type))
            .hint("give the source, or take a decoder-only model"));
    }
    let plan = options.plan(info)?;
    let sequence: Vec<u32> = match options.begin {
        Begin::First(token) => std::iter::once(token).chain(tokens.iter().copied()).collect(),
        Begin::None => tokens.to_vec(),
    };
    check_ids(&sequence, info.vocab_size)?;
    let mut found = match plan {
        Plan::Carried { segment } => carried(model, &sequence, segment)?,
        Plan::Sliding { .. } | Plan::Rolling { .. } => {
            let (nll, hf) = windowed(model, &sequence, &plan.windows(sequence.len())?)?;
            Losses { nll, hf: matches!(plan, Plan::Sliding { .. }).then_some(hf), ..Losses::default() }
        }
    };
    found.unscored = tokens.len() - found.nll.len();
    Ok(found)
}

fn windowed(model: &dyn Model, sequence: &[u32], windows: &[Window]) -> Result<(Vec<f64>, HfWeighted)> {
    let mut all = Vec::with_capacity(sequence.len());
    let mut hf = HfWeighted::default();
    let mut reached = 0;
    for window in windows {
        let from = all.len();
        if !window.targets.is_empty() {
            // reads the context but for its last token, whose logits are the first that count
            let (mut state, _) = model.encode(&Source::new(vec![sequence[window.context()].to_vec()]))?;
            read(model, &mut state, &sequence[window.targets.start - 1..window.targets.end], CHUNK, &mut all)?;
        }
        hf.add(&all[from..], window.targets.end - reached);
        reached = window.targets.end;
    }
    Ok((all, hf))
}

fn carried(model: &dyn Model, sequence: &[u32], segment: usize) -> Result<Losses> {
    let mut all = Losses::default();
    let Some(first) = sequence.first() else { return Ok(all) };
    if let Some(most) = limit(model.info()).filter(|most| sequence.len() - 1 > *most) {
        let (n, model) = (sequence.len() - 1, model.info().model_type);
        return Err(Error::new(format!("a text of {n} tokens, but `{model}` has {most} positions: its memory cannot be carried on"))
            .hint("take sliding windows"));
    }
    let (mut state, _) = model.encode(&Source::new(vec![vec![*first]]))?;
    read(model, &mut state, sequence, segment, &mut all.nll)?;
    Ok(all)
}

/// Reads all tokens but the last, `chunk` at a time, and appends the loss of each but the first.
fn read(model: &dyn Model, state: &mut State, tokens: &[u32], chunk: usize, all: &mut Vec<f64>) -> Result<()> {
    let inputs = tokens.get(..tokens.len().saturating_sub(1)).unwrap_or_default();
    let targets = tokens.get(1..).unwrap_or_default();
    for (inputs, targets) in inputs.chunks(chunk).zip(targets.chunks(chunk)) {
        all.extend(losses(&model.score(&[inputs.to_vec()], state)?, targets)?);
    }
    Ok(())
}

/// Scores `labels` with an encoder-decoder that has read `source`, a single row.
///
/// `labels` are the target's tokens with the special tokens that its tokenizer adds; the decoder reads them shifted right behind its start
/// token, and all are predicted: the mean is the `loss` of transformers with `labels`. Fails for a decoder-only model, and where source or
/// labels are longer than the model's limits: nothing is cut.
pub fn score_pair(model: &dyn Model, source: &Source, labels: &[u32]) -> Result<Losses> {
    let info = model.info();
    if !info.encoder_decoder {
        return Err(Error::usage(format!("`{}` is decoder-only: it reads no source apart from the text", info.model_type))
            .hint("score the text without a source, or take an encoder-decoder"));
    }
    let [row] = source.rows.as_slice() else {
        return Err(Error::new(format!("{} sources for one target", source.rows.len())));
    };
    fits("source", row.len(), info.max_source, info)?;
    fits("target", labels.len(), info.max_target, info)?;
    check_ids(labels, info.vocab_size)?;
    if labels.is_empty() {
        return Ok(Losses::default());
    }
    let (mut state, start) = model.encode(source)?;
    let mut nll = Vec::with_capacity(labels.len());
    read(model, &mut state, &[&start, labels].concat(), CHUNK, &mut nll)?;
    Ok(Losses { nll, ..Losses::default() })
}

fn fits(what: &str, n: usize, most: Option<usize>, info: &Info) -> Result<()> {
    match most {
        Some(most) if n > most => Err(Error::new(format!("the {what} has {n} tokens, `{}` has {most} positions for it", info.model_type))
            .hint(format!(
                "shorten the {what}, or take a model with more positions; a score of the part that fits would be another score"
            ))),
        _ => Ok(()),
    }
}
