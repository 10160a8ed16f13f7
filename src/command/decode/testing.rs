//! A model, a tokenizer and arguments for tests of the command.

use crate::checkpoint::Checkpoint;
use crate::cli::{Cli, Command};
use crate::error::Result;
use crate::memory::{AnyMemory, Memory, State};
use crate::model::{Info, Model, Probe, Source};
use crate::weights::Store;
use candle_core::{Device, Tensor};
use clap::Parser;
use tokenizers::Tokenizer;

/// The words that [`words`] knows, by id.
pub const WORDS: [&str; 10] = ["<s>", "<unk>", "</s>", "a", "b", "c", ".", "sum", ":", "so"];

/// A tokenizer of whole words, `<s> … </s>` round them.
pub fn words() -> Tokenizer {
    let vocab: serde_json::Map<_, _> = WORDS.iter().enumerate().map(|(i, w)| ((*w).to_owned(), i.into())).collect();
    let added: Vec<_> = [0, 2]
        .map(|i: usize| {
            serde_json::json!({"id": i, "content": WORDS[i], "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .into();
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]},
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}
    });
    json.to_string().parse().unwrap()
}

/// Says what it read, then stops: an encoder-decoder without, a decoder-only model with its prompt's length to count.
pub struct Echo(Info);

#[derive(Clone)]
struct Read {
    rows: Vec<Vec<u32>>,
    start: Vec<usize>,
}

impl Memory for Read {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.rows = rows.iter().map(|&r| self.rows[r].clone()).collect();
        self.start = rows.iter().map(|&r| self.start[r]).collect();
        Ok(())
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        for other in others {
            self.rows.extend(other.rows);
            self.start.extend(other.start);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        0
    }
}

impl Echo {
    /// A model that reads at most `max_source` tokens.
    pub fn new(encoder_decoder: bool, max_source: Option<usize>) -> Self {
        Self(Info {
            model_type: "echo",
            encoder_decoder,
            vocab_size: WORDS.len(),
            max_source,
            max_target: None,
            attention: "full".into(),
            default_global: None,
            layers: (1, 1),
            prompt_start: None,
            reads_only: None,
        })
    }

    /// As a checkpoint with the tokenizer of words.
    pub fn checkpoint(self) -> Checkpoint {
        Checkpoint {
            commit: None,
            dir: None,
            name: "echo".into(),
            model: Box::new(self),
            tokenizer: Some(words()),
            config: serde_json::json!({"eos_token_id": 2}),
            generation_config: None,
            unread: Vec::new(),
            store: Store::random(0).into(),
            held: crate::weights::Held::default(),
            texts: Vec::new(),
        }
    }
}

impl Model for Echo {
    fn info(&self) -> &Info {
        &self.0
    }

    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)> {
        let start: Vec<usize> = source.rows.iter().map(|r| if self.0.encoder_decoder { 0 } else { r.len() - 1 }).collect();
        let first = source.rows.iter().map(|r| if self.0.encoder_decoder { 2 } else { r[r.len() - 1] }).collect();
        let read = Read { rows: source.rows.clone(), start: start.clone() };
        Ok((State { seen: start, layers: vec![Box::new(read)], probe: Probe::default() }, first))
    }

    fn state_bytes(&self, _source: usize, _target: usize) -> usize {
        0
    }

    fn step_bytes(&self) -> usize {
        0
    }

    fn encode_bytes(&self, _: usize) -> usize {
        0
    }

    fn score(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let v = self.0.vocab_size;
        let mut logits = Vec::new();
        let memory: &mut dyn AnyMemory = state.layers[0].as_mut();
        let read = memory.as_any_mut().downcast_mut::<Read>().unwrap().clone();
        for (row, tokens) in tokens.iter().enumerate() {
            for _ in tokens {
                let next = read.rows[row].get(state.seen[row] - read.start[row]).copied().unwrap_or(2);
                logits.extend((0..v).map(|t| if t as u32 == next { 9.0f32 } else { 0.0 }));
                state.seen[row] += 1;
            }
        }
        Ok(Tensor::from_vec(logits, (tokens.len(), tokens[0].len(), v), &Device::Cpu)?)
    }
}

/// The arguments of `effattn decode …`.
pub fn args(words: &[&str]) -> super::DecodeArgs {
    let cli = Cli::try_parse_from(["effattn", "decode"].iter().chain(words)).unwrap();
    let Command::Decode(args) = cli.command else { panic!("not decode") };
    *args
}
