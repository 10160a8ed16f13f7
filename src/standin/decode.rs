//! Stand-in for the decode strategies, greedy only: it goes when the branch with the real ones is merged.
#![allow(missing_docs)]

use crate::error::{Error, Result};
use crate::memory::State;
use crate::model::Model;
use serde_json::Value;

#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub num_beams: Option<usize>,
    pub do_sample: Option<bool>,
    pub temperature: Option<f64>,
    pub top_k: Option<usize>,
    pub top_p: Option<f64>,
    pub min_p: Option<f64>,
    pub repetition_penalty: Option<f64>,
    pub no_repeat_ngram_size: Option<usize>,
    pub length_penalty: Option<f64>,
    pub early_stopping: Option<EarlyStopping>,
    pub min_length: Option<usize>,
    pub min_new_tokens: Option<usize>,
    pub max_length: Option<usize>,
    pub max_new_tokens: Option<usize>,
    pub num_return_sequences: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyStopping {
    True,
    False,
    Never,
}

impl std::str::FromStr for EarlyStopping {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "false" => Ok(Self::False),
            "true" => Ok(Self::True),
            "never" => Ok(Self::Never),
            _ => Err(Error::usage(format!("`early_stopping` must be `true`, `false` or `never`, not `{text}`"))),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Generation {
    pub num_beams: usize,
    pub num_return_sequences: usize,
    pub max_length: usize,
    pub max_new_tokens: Option<usize>,
    pub default_length: bool,
    pub eos: Vec<u32>,
    pub notes: Vec<String>,
}

impl Generation {
    pub fn resolve(_generation: Option<&Value>, config: &Value, o: &Overrides) -> Result<Self> {
        if o.temperature.is_some_and(|t| t < 0.0) {
            return Err(Error::usage("`temperature` must be 0 or more"));
        }
        Ok(Self {
            num_beams: o.num_beams.unwrap_or(1),
            num_return_sequences: o.num_return_sequences.unwrap_or(1),
            max_length: o.max_length.unwrap_or(20),
            max_new_tokens: o.max_new_tokens,
            default_length: o.max_length.is_none(),
            eos: vec![config.get("eos_token_id").and_then(Value::as_u64).unwrap_or(2) as u32],
            notes: Vec::new(),
        })
    }

    pub fn describe(&self) -> String {
        format!("num_beams={} max_length={} max_new_tokens={:?}", self.num_beams, self.max_length, self.max_new_tokens)
    }
}

pub struct Step {
    pub tokens: Vec<(usize, Option<u32>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Stop,
    Length,
}

#[derive(Debug, Clone)]
pub struct Hypothesis {
    pub tokens: Vec<u32>,
    pub score: Option<f32>,
    pub finish: Finish,
}

pub struct Search<'m> {
    model: &'m dyn Model,
    state: State,
    last: Vec<u32>,
    rows: Vec<usize>,
    limits: Vec<usize>,
    done: Vec<Hypothesis>,
    settings: &'m Generation,
}

pub fn search<'m>(
    model: &'m dyn Model,
    state: State,
    first: Vec<u32>,
    prompts: Vec<Vec<u32>>,
    _seeds: &[u64],
    settings: &'m Generation,
) -> Result<Search<'m>> {
    let limits = prompts
        .iter()
        .map(|p| settings.max_new_tokens.or(settings.default_length.then_some(20)).map_or(settings.max_length, |n| p.len() + n))
        .collect();
    let done: Vec<_> = prompts.into_iter().map(|tokens| Hypothesis { tokens, score: None, finish: Finish::Length }).collect();
    Ok(Search { model, state, last: first, rows: (0..done.len()).collect(), limits, done, settings })
}

impl Iterator for Search<'_> {
    type Item = Result<Step>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.rows.clone();
        let keep: Vec<usize> = (0..rows.len())
            .filter(|&i| {
                let h = &self.done[rows[i]];
                h.finish == Finish::Length && h.tokens.len() < self.limits[rows[i]]
            })
            .collect();
        if keep.is_empty() {
            return None;
        }
        Some(self.step(&keep))
    }
}

impl Search<'_> {
    fn step(&mut self, keep: &[usize]) -> Result<Step> {
        self.state.select(keep)?;
        self.rows = keep.iter().map(|&i| self.rows[i]).collect();
        self.last = keep.iter().map(|&i| self.last[i]).collect();
        let logits = self.model.step(&self.last, &mut self.state)?;
        self.last = logits.argmax(1)?.to_vec1()?;
        let mut tokens = Vec::new();
        for (&row, &token) in self.rows.iter().zip(&self.last) {
            self.done[row].tokens.push(token);
            if self.settings.eos.contains(&token) {
                self.done[row].finish = Finish::Stop;
            }
            tokens.push((row, Some(token)));
        }
        Ok(Step { tokens })
    }

    pub fn finish(self) -> Vec<Vec<Hypothesis>> {
        self.done.into_iter().map(|h| vec![h]).collect()
    }
}

pub fn seed_of(seed: u64, id: &str) -> u64 {
    id.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
