//! What every model can do, whatever its family: [`Model`].

use crate::error::{Error, Result};
use crate::memory::State;
use crate::timing::phases::{Phase, Phases};
use candle_core::Tensor;
use std::sync::{Arc, Mutex};

/// What the rest of the program needs to know of a model.
#[derive(Debug, Clone)]
pub struct Info {
    /// `model_type` of config.json.
    pub model_type: &'static str,
    /// Whether a document is read by an encoder (else it is the decoder's prompt).
    pub encoder_decoder: bool,
    /// V, the number of tokens.
    pub vocab_size: usize,
    /// Most tokens of a document (of prompt and output together for decoder-only models), if there is a limit.
    pub max_source: Option<usize>,
    /// Most tokens the decoder can hold, start token included, if there is a limit.
    pub max_target: Option<usize>,
    /// The attention that runs over documents, as the run header names it.
    pub attention: String,
    /// Positions with global attention when a source names none; `None` for models without global attention.
    pub default_global: Option<Vec<usize>>,
    /// Layers of encoder (0 if there is none) and decoder.
    pub layers: (usize, usize),
    /// The token that a decoder-only model reads before any prompt, if its family has one: trax's start token. The model itself adds nothing.
    pub prompt_start: Option<u32>,
    /// Why it cannot decode, for models that read whole documents and nothing else: a sentence that goes on from "`model_type` …".
    pub reads_only: Option<&'static str>,
}

/// A batch of documents as token ids. Rows may differ in length: nothing is padded.
#[derive(Clone, Default)]
pub struct Source {
    /// Token ids, one list a row, none empty.
    pub rows: Vec<Vec<u32>>,
    /// Positions with global attention, one list a row, for models that have it; `None`: the family's default.
    pub global: Option<Vec<Vec<usize>>>,
    /// Where to put intermediate results.
    pub probe: Probe,
}

impl Source {
    /// A batch with the family's defaults.
    pub fn new(rows: Vec<Vec<u32>>) -> Self {
        Self { rows, ..Self::default() }
    }
}

/// What somebody wants to know of a model at work: named intermediate results (`encoder.0`, `decoder.3`, …), the time by phase, or nothing.
#[derive(Clone, Default)]
pub struct Probe {
    named: Option<Arc<Mutex<Named>>>,
    phases: Option<Arc<Phases>>,
}

/// Results with their names, in order.
type Named = Vec<(String, Tensor)>;

impl Probe {
    /// One that collects intermediate results.
    pub fn on() -> Self {
        Self { named: Some(Arc::default()), ..Self::default() }
    }

    /// One that times the phases.
    pub fn timing(phases: Arc<Phases>) -> Self {
        Self { phases: Some(phases), ..Self::default() }
    }

    /// The same timer, collecting nothing.
    pub fn timer(&self) -> Self {
        Self { named: None, ..self.clone() }
    }

    /// Runs `f`, timed if somebody asked.
    pub fn time<T>(&self, phase: Phase, f: impl FnOnce() -> T) -> T {
        match &self.phases {
            None => f(),
            Some(phases) => phases.time(phase, f),
        }
    }

    /// Whether somebody asked for intermediate results.
    pub fn collects(&self) -> bool {
        self.named.is_some()
    }

    /// Keeps `value` under `name()` if somebody asked.
    pub fn record(&self, name: impl FnOnce() -> String, value: &Tensor) {
        if let Some(Ok(mut list)) = self.named.as_ref().map(|l| l.lock()) {
            list.push((name(), value.clone()));
        }
    }

    /// What was collected, in order; empties it.
    pub fn take(&self) -> Vec<(String, Tensor)> {
        match self.named.as_ref().map(|l| l.lock()) {
            Some(Ok(mut list)) => std::mem::take(&mut *list),
            _ => Vec::new(),
        }
    }
}

impl Info {
    /// Fails if the model cannot decode, and says why.
    pub fn decodes(&self) -> Result<()> {
        match self.reads_only {
            None => Ok(()),
            Some(why) => Err(Error::usage(format!("`{}` cannot decode: {why}", self.model_type))
                .hint("`effattn score -m ppl` asks it for each token of a text, `effattn bench` measures how it reads")),
        }
    }

    /// The positions with global attention in each row of a source.
    ///
    /// Fails if the source names some and the model has no such attention.
    pub fn global(&self, source: &Source) -> Result<Vec<Vec<usize>>> {
        match (&self.default_global, &source.global) {
            (None, Some(_)) => Err(Error::usage(format!("`{}` has no global attention", self.model_type))),
            (None, None) => Ok(vec![Vec::new(); source.rows.len()]),
            (Some(_), Some(global)) => Ok(global.clone()),
            (Some(default), None) => {
                Ok(source.rows.iter().map(|row| default.iter().copied().filter(|&g| g < row.len()).collect()).collect())
            }
        }
    }
}

/// A loaded model. Weights never change; all that changes is in the [`State`].
pub trait Model: Send + Sync {
    /// Sizes and names.
    fn info(&self) -> &Info;

    /// The attention that runs over a document of `source` tokens, as the JSONL field `attention` names it.
    fn attention(&self, _source: usize) -> String {
        self.info().attention.clone()
    }

    /// Reads the documents and returns the state from which decoding goes on, and the token of each row to start with.
    ///
    /// An encoder-decoder runs its encoder, projects the cross-attention keys and values once, and returns the decoder's start
    /// token; a decoder-only model reads all but the last token of each prompt and returns that one.
    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)>;

    /// Bytes of the state of one row: a document of `source` tokens (none for decoder-only models), `target` tokens read by the decoder.
    fn state_bytes(&self, source: usize, target: usize) -> usize;

    /// Bytes of that state that a step reads: all of it unless an attention variant leaves some alone.
    fn state_read_bytes(&self, source: usize, target: usize) -> usize {
        self.state_bytes(source, target)
    }

    /// Bytes of weights that a decode step reads, whatever the number of rows.
    fn step_bytes(&self) -> usize;

    /// Bytes that [`Model::encode`] holds at its peak for one document of `source` tokens, the state included, the weights not.
    ///
    /// A forecast: what is small beside n · d is left out.
    fn encode_bytes(&self, source: usize) -> usize;

    /// Reads one token a row and returns the logits of the next, (b, v), f32.
    fn step(&self, tokens: &[u32], state: &mut State) -> Result<Tensor> {
        let logits = self.score(&tokens.iter().map(|&t| vec![t]).collect::<Vec<_>>(), state)?; // (b, 1, v)
        Ok(logits.squeeze(1)?)
    }

    /// Reads t tokens a row (as many in every row) and returns the logits after each, (b, t, v), f32.
    fn score(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor>;

    /// The logits at every position of each document from the whole of it, (n, v) each, f32. Only models that cannot decode have them.
    fn fill(&self, _source: &Source) -> Result<Vec<Tensor>> {
        Err(Error::usage(format!("`{}` is causal: it does not fill in tokens from both sides", self.info().model_type)))
    }

    /// [`Model::fill`] at one position of each document, (b, v).
    fn fill_at(&self, source: &Source, at: &[usize]) -> Result<Tensor> {
        let rows: Vec<Tensor> =
            self.fill(source)?.iter().zip(at).map(|(row, at)| row.narrow(0, *at, 1)).collect::<candle_core::Result<_>>()?;
        Ok(Tensor::cat(&rows, 0)?)
    }
}
