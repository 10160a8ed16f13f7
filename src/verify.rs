//! A model against stored outputs of its reference implementation.
//!
//! A golden is a safetensors file; whichever keys are present are compared: `input_ids` (with `attention_mask` where rows differ in
//! length and `global_attention_mask`), `decoder_input_ids`, `logits`, `logits_by_step` (the same, one token
//! at a time), `encoder_last_hidden_state`, `hidden.encoder.N`, `hidden.decoder.N` (0: the
//! embeddings), `hidden.encoder_global.N` (rows beside the tokens, as many in each document), `greedy`, `greedy_step_logits`, `beam4_lp2_nr3` (4 beams, length penalty 2, no-repeat 3, early stopping), `beam4_score`; metadata
//! `max_new_tokens`. Padding, on the right, is not compared.

use crate::checkpoint::Checkpoint;
use crate::decode::{EarlyStopping, Generation, Hypothesis, Overrides, search};
use crate::error::{Error, Result};
use crate::memory::State;
use crate::model::{Probe, Source};
use candle_core::Tensor;
use std::path::Path;

mod compare;
mod golden;
mod layer;
pub mod rounding;

pub use compare::{Check, Finding};
pub use golden::Golden;
pub use layer::verify_layer;

/// What a comparison showed.
#[derive(Debug, Default)]
pub struct Report {
    /// One line a key, in the order of the computation: the first that fails names the layer where the model departs.
    pub checks: Vec<Check>,
    /// Keys of the golden that nobody compares.
    pub not_compared: Vec<String>,
}

impl Report {
    /// Whether everything is within the tolerance.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|c| c.passed)
    }

    /// Whether everything is within the tolerance, or no farther than rounding takes it.
    pub fn holds(&self) -> bool {
        self.checks.iter().all(Check::holds)
    }

    /// The largest absolute difference of the keys that `which` names.
    pub fn max_abs(&self, which: &[&str]) -> Option<f64> {
        let of = |c: &Check| match &c.finding {
            Finding::Close { max_abs, .. } if which.contains(&c.key.as_str()) => Some(*max_abs),
            _ => None,
        };
        // a NaN must not hide behind `max`
        self.checks.iter().filter_map(of).reduce(|a, b| if a.is_nan() || a > b { a } else { b })
    }

    /// Whether the sequences of a key are equal, if it was compared.
    pub fn equal(&self, key: &str) -> Option<bool> {
        self.checks.iter().find(|c| c.key == key).map(|c| c.passed)
    }
}

/// Runs everything that the golden has outputs for. `atol` is the largest absolute difference that passes.
pub fn verify(checkpoint: &Checkpoint, path: &Path, atol: f64) -> Result<Report> {
    let golden = Golden::open(path)?;
    let run = Run { checkpoint, golden: &golden, atol };
    let mut report = Report::default();
    let result = run.forward(&mut report).and_then(|()| run.greedy(&mut report)).and_then(|()| run.beam(&mut report));
    result.map_err(|e| e.at(path.display()))?;
    if report.checks.is_empty() {
        return Err(Error::new(format!("{}: nothing to compare", path.display()))
            .hint("a golden has `input_ids` and at least one of `logits`, `greedy`, `beam4_lp2_nr3`"));
    }
    report.not_compared = golden.other();
    Ok(report)
}

struct Run<'a> {
    checkpoint: &'a Checkpoint,
    golden: &'a Golden,
    atol: f64,
}

impl Run<'_> {
    /// The inputs; the reference without `global_attention_mask` has no global attention.
    fn source(&self, probe: Probe) -> Result<Source> {
        let rows = self.golden.source()?;
        let global = match self.checkpoint.model.info().default_global {
            Some(_) => Some(self.golden.global(&rows)?),
            None => None,
        };
        Ok(Source { rows, global, probe })
    }

    /// Encoder, layers and logits under teacher forcing.
    fn forward(&self, report: &mut Report) -> Result<()> {
        let model = &self.checkpoint.model;
        let probe = Probe::on();
        let mut source = self.source(probe.clone())?;
        let lengths: Vec<usize> = source.rows.iter().map(Vec::len).collect();
        if model.info().reads_only.is_some() {
            let logits = model.fill(&source)?;
            self.layers(&probe.take(), &lengths, report)?;
            return self.ragged("logits", &Tensor::cat(&logits, 0)?, &lengths, report);
        }
        let paired = model.info().encoder_decoder;
        let n = source.rows.len();
        let targets = if paired { self.golden.target()? } else { Some(source.rows.clone()) };
        if targets.as_ref().is_some_and(|t| t.len() != n) {
            return Err(Error::new(format!("`decoder_input_ids` has other rows than `input_ids`, which has {n}")));
        }
        if !paired {
            source.rows.iter_mut().for_each(|row| row.truncate(1));
        }
        let (state, _) = model.encode(&source)?;
        let encoder = probe.take();
        self.layers(&encoder, &lengths, report)?;
        if let (Some((_, last)), true) = (encoder.last(), paired) {
            self.ragged("encoder_last_hidden_state", last, &lengths, report)?;
        }
        let Some(targets) = targets else { return Ok(()) };
        // rows may differ in length: one after the other, put side by side layer by layer
        let mut rows: Vec<Vec<(String, Tensor)>> = Vec::new();
        for (r, target) in targets.iter().enumerate() {
            let mut state = state.clone();
            state.select(&[r])?;
            let logits = model.score(std::slice::from_ref(target), &mut state)?.squeeze(0)?;
            let mut layers: Vec<(String, Tensor)> = Vec::new();
            for (name, x) in probe.take() {
                layers.push((name, x.squeeze(0)?));
            }
            layers.push(("logits".into(), logits));
            rows.push(layers);
        }
        let lengths: Vec<usize> = targets.iter().map(Vec::len).collect();
        if self.golden.tensor("logits_by_step").is_some() {
            let mut all = Vec::new();
            for (r, target) in targets.iter().enumerate() {
                let mut state = state.clone();
                state.select(&[r])?;
                for token in target {
                    all.push(model.step(&[*token], &mut state)?);
                }
            }
            probe.take();
            self.ragged("logits_by_step", &Tensor::cat(&all, 0)?, &lengths, report)?;
        }
        for i in 0..rows.first().map_or(0, Vec::len) {
            let parts: Vec<&Tensor> = rows.iter().map(|layers| &layers[i].1).collect();
            let name = &rows[0][i].0;
            let key = if name == "logits" { name.clone() } else { format!("hidden.{name}") };
            self.ragged(&key, &Tensor::cat(&parts, 0)?, &lengths, report)?;
        }
        Ok(())
    }

    fn layers(&self, layers: &[(String, Tensor)], lengths: &[usize], report: &mut Report) -> Result<()> {
        layers.iter().try_for_each(|(name, x)| {
            let key = format!("hidden.{name}");
            if !name.starts_with("encoder_global.") {
                return self.ragged(&key, x, lengths, report);
            }
            let each = x.dims2()?.0 / lengths.len().max(1);
            self.ragged(&key, x, &vec![each; lengths.len()], report)
        })
    }

    /// Compares (Σ n, f) with (b, n, f), leaving padding out, if the golden has the key.
    fn ragged(&self, key: &str, got: &Tensor, lengths: &[usize], report: &mut Report) -> Result<()> {
        let Some(want) = self.golden.tensor(key) else { return Ok(()) };
        report.checks.push(compare::close(key, got, want, lengths, self.atol)?);
        Ok(())
    }

    fn settings(&self, overrides: Overrides) -> Result<Generation> {
        let overrides = Overrides {
            max_new_tokens: Some(self.golden.max_new_tokens()?),
            do_sample: Some(false),
            num_return_sequences: Some(1),
            ..overrides
        };
        Generation::resolve(self.checkpoint.generation_config.as_ref(), &self.checkpoint.config, &overrides)
    }

    fn generate(&self, settings: &Generation) -> Result<Vec<Vec<Hypothesis>>> {
        let model = self.checkpoint.model.as_ref();
        let source = self.source(Probe::default())?;
        let (state, first) = model.encode(&source)?;
        let prompts = if model.info().encoder_decoder { first.iter().map(|&t| vec![t]).collect() } else { source.rows };
        let seeds = vec![0; first.len()];
        let mut search = search(model, state, first, prompts, &seeds, settings)?;
        search.by_ref().try_for_each(|step| step.map(drop))?;
        Ok(search.finish())
    }

    /// The greedy sequences, and the raw logits of each step.
    fn greedy(&self, report: &mut Report) -> Result<()> {
        let Some(want) = self.golden.sequences("greedy")? else { return Ok(()) };
        let settings = self.settings(Overrides { num_beams: Some(1), ..Overrides::default() })?;
        let found = self.generate(&settings)?;
        let tokens: Vec<&[u32]> = found.iter().map(|h| h.first().map_or(&[][..], |h| &h.tokens)).collect();
        let sequences = compare::sequences("greedy", &tokens, &want, &fillers(&settings));
        let equal = sequences.passed;
        report.checks.push(sequences);
        // along other tokens logits are others, and may be fewer
        if let (Some(want), true) = (self.golden.tensor("greedy_step_logits"), equal) {
            let (got, lengths) = self.step_logits(&tokens)?;
            report.checks.push(compare::close("greedy_step_logits", &got, want, &lengths, self.atol)?);
        }
        Ok(())
    }

    /// Raw logits of each step along the sequences found, (Σ steps, v), each row decoded token by token.
    fn step_logits(&self, sequences: &[&[u32]]) -> Result<(Tensor, Vec<usize>)> {
        let model = self.checkpoint.model.as_ref();
        let source = self.source(Probe::default())?;
        let (state, first) = model.encode(&source)?;
        let mut all = Vec::new();
        let mut lengths = Vec::new();
        for (r, sequence) in sequences.iter().enumerate() {
            let mut state: State = state.clone();
            state.select(&[r])?;
            let prompt = if model.info().encoder_decoder { 1 } else { source.rows[r].len() };
            let mut token = first[r];
            for next in &sequence[prompt..] {
                all.push(model.step(&[token], &mut state)?);
                token = *next;
            }
            lengths.push(sequence.len() - prompt);
        }
        Ok((Tensor::cat(&all, 0)?, lengths))
    }

    fn beam(&self, report: &mut Report) -> Result<()> {
        let Some(want) = self.golden.sequences("beam4_lp2_nr3")? else { return Ok(()) };
        let settings = self.settings(Overrides {
            num_beams: Some(4),
            length_penalty: Some(2.0),
            no_repeat_ngram_size: Some(3),
            early_stopping: Some(EarlyStopping::True),
            ..Overrides::default()
        })?;
        let found = self.generate(&settings)?;
        let best: Vec<&Hypothesis> = found.iter().filter_map(|h| h.first()).collect();
        let tokens: Vec<&[u32]> = best.iter().map(|h| h.tokens.as_slice()).collect();
        report.checks.push(compare::sequences("beam4_lp2_nr3", &tokens, &want, &fillers(&settings)));
        if let Some(want) = self.golden.tensor("beam4_score") {
            let scores: Vec<f32> = best.iter().map(|h| h.score.unwrap_or(f32::NAN)).collect();
            let (n, lengths) = (scores.len(), vec![1; scores.len()]);
            let got = crate::kernel::tensor(scores, (n, 1))?;
            report.checks.push(compare::close("beam4_score", &got, &want.reshape((n, 1, 1))?, &lengths, self.atol)?);
        }
        Ok(())
    }
}

/// What may fill a row behind its end: transformers takes the padding token, or an end token where there is none.
fn fillers(settings: &Generation) -> Vec<u32> {
    settings.pad.into_iter().chain(settings.eos.iter().copied()).chain([0]).collect()
}
