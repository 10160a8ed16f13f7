//! Perplexity: the model, its tokenizer, and the statistics of every text.

use super::args::ScoreArgs;
use super::options::{Bos, PerplexityArgs};
use crate::arch;
use crate::checkpoint::{Checkpoint, no_tokenizer};
use crate::cli::{InitMemory, WeightArgs};
use crate::command::locate::locate;
use crate::command::{open, tell};
use crate::decode::{Task, source_prefix};
use crate::document::Format;
use crate::error::{Error, Result};
use crate::kernel::precision::Precision;
use crate::metric::Metric;
use crate::metric::perplexity::{Begin, Condition, Losses, Options, Policy, Ppl, Unit, score_masked, score_pair, score_text};
use crate::model::{Info, Source};
use crate::output::say;
use crate::segments::{Corpus, Texts};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde_json::Value;
use std::io::IsTerminal;
use tokenizers::{Encoding, ModelWrapper, Tokenizer};

/// A model that is asked how well it expects texts.
pub struct Scorer {
    checkpoint: Checkpoint,
    tokenizer: Tokenizer,
    /// The token of what the tokenizer does not know, and its id.
    unknown: Option<(String, u32)>,
    options: Options,
    /// What goes before every source.
    prefix: String,
    /// What hides a token from a model that reads from both sides.
    mask: Option<u32>,
    metric: Ppl,
}

impl Scorer {
    /// Loads the model; `seed` is that of random weights.
    pub fn open(args: &ScoreArgs, seed: u64, quiet: bool) -> Result<Self> {
        let own = &args.perplexity;
        let found = locate(own.model.as_deref(), &own.hub, !own.weights.random_weights, quiet)?;
        let mut checkpoint = open(found.as_ref(), &own.weights, seed)?;
        tell(&checkpoint.adapter_notes(), quiet);
        let info = checkpoint.model.info();
        let (wants_source, both_sides) = (info.encoder_decoder, info.reads_only.is_some());
        suits(own, info)?;
        let policy = match (own.rolling, own.stride) {
            (true, _) => Some(Policy::Rolling),
            (false, Some(stride)) => Some(Policy::Sliding { stride: Some(stride) }),
            (false, None) if own.carry || own.segment.is_some() => Some(Policy::Carried),
            (false, None) => None,
        };
        let begin = match own.bos {
            Bos::First if !wants_source && !both_sides => Begin::First(first_token(&checkpoint)?),
            _ => Begin::None,
        };
        let options = Options { policy, context: own.segment.or(own.context), begin };
        let condition = match (wants_source, both_sides) {
            (true, _) => Condition::Source,
            (_, true) => Condition::Masked,
            _ => Condition::Before(options.plan(info)?, begin),
        };
        let name = if own.weights.random_weights { format!("{}[random {seed}]", checkpoint.name) } else { checkpoint.name.clone() };
        let texts = args.systems().iter().all(|name| args.columns.input_format.of(name) == Format::Text);
        let unit = if texts && !wants_source && args.whole_files() { Unit::File } else { Unit::Segment };
        let task = Task::summarization(&checkpoint.config, wants_source)?;
        let prefix = source_prefix(own.source_prefix.as_deref(), task.as_ref())?;
        let mut how = loaded(&checkpoint, &own.weights)?;
        // `|` parts the words of a signature
        how.extend(prefix.as_ref().map(|p| ("prefix", format!("{p:?}").replace('|', "\\u{7c}"))));
        let metric = Ppl::new(name, condition, unit, own.hf_weighting)?.loaded(how);
        let tokenizer = checkpoint.tokenizer.take().ok_or_else(|| no_tokenizer(&checkpoint.name, checkpoint.dir.as_deref(), ""));
        let tokenizer = whole(tokenizer?)?;
        let unknown = unknown(&tokenizer);
        let mask = both_sides.then(|| mask_token(&checkpoint, &tokenizer)).transpose()?;
        Ok(Self { checkpoint, tokenizer, unknown, options, prefix: prefix.unwrap_or_default(), mask, metric })
    }

    /// The metric whose statistics [`Scorer::rows`] gives.
    pub fn metric(&self) -> &dyn Metric {
        &self.metric
    }

    /// Whether a text is scored given a source.
    pub fn needs_source(&self) -> bool {
        self.checkpoint.model.info().encoder_decoder
    }

    /// The statistics of all texts. Fails where a text cannot be scored, and if there is no token in any.
    pub fn rows(&self, texts: &Texts, corpus: &Corpus, quiet: bool) -> Result<Vec<f64>> {
        let mut rows = Vec::new();
        let (mut tokens, mut strange) = (0, 0);
        for segment in bar(texts.len(), quiet).wrap_iter(0..texts.len()) {
            let text = texts.get(segment);
            let losses = self.losses(text, corpus, segment).map_err(|e| e.at(place(corpus, segment)))?;
            tokens += losses.nll.len() + losses.unscored;
            strange += losses.unknown;
            rows.extend(self.metric.row(&losses, text));
        }
        if let Some((token, _)) = self.unknown.as_ref().filter(|_| strange > 0 && !quiet) {
            say(format_args!(
                "warning: {strange} of {tokens} tokens are `{token}`: text that the tokenizer does not know is predicted for nothing; no perplexity, and no \
                 bits per byte, can be compared with a tokenizer that knows it"
            ));
        }
        self.metric.check(&rows)?;
        Ok(rows)
    }

    fn losses(&self, text: &str, corpus: &Corpus, segment: usize) -> Result<Losses> {
        let model = self.checkpoint.model.as_ref();
        if let Some(mask) = self.mask {
            let encoding = self.encoding(text, true)?;
            let scored: Vec<bool> = encoding.get_special_tokens_mask().iter().map(|special| *special == 0).collect();
            return score_masked(model, encoding.get_ids(), &scored, mask);
        }
        let Some(sources) = &corpus.sources else {
            let tokens = self.tokens(text, false)?;
            return Ok(Losses { unknown: self.unknown_in(&tokens), ..score_text(model, &tokens, &self.options)? });
        };
        let source = self.tokens(&format!("{}{}", self.prefix, sources.get(segment)), true)?;
        if source.is_empty() {
            return Err(Error::new("the source is empty").hint("give a document with at least one word"));
        }
        let tokens = self.tokens(text, true)?;
        Ok(Losses { unknown: self.unknown_in(&tokens), ..score_pair(model, &Source::new(vec![source]), &tokens)? })
    }

    fn unknown_in(&self, tokens: &[u32]) -> usize {
        self.unknown.as_ref().map_or(0, |(_, id)| tokens.iter().filter(|token| *token == id).count())
    }

    /// Token ids, with the special tokens of the tokenizer or without.
    fn tokens(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        Ok(self.encoding(text, special)?.get_ids().to_vec())
    }

    fn encoding(&self, text: &str, special: bool) -> Result<Encoding> {
        self.tokenizer.encode(text, special).map_err(|e| Error::new(format!("cannot tokenise the text: {e}")))
    }
}

/// Fails if the arguments do not suit the model: a source where none is read, or none where one is; windows where a text is scored whole.
fn suits(own: &PerplexityArgs, info: &Info) -> Result<()> {
    let model_type = info.model_type;
    let sourced = own.source.is_some() || own.source_column.is_some();
    let about_sources = sourced || own.source_prefix.is_some();
    if info.encoder_decoder && !sourced {
        return Err(Error::usage(format!("`{model_type}` is an encoder-decoder: it expects a text only given a source"))
            .hint("name the documents with `--source FILE` or `--source-column NAME`, or a decoder-only model with `--model DIR`"));
    }
    let window = own.context.is_some()
        || own.stride.is_some()
        || own.rolling
        || own.carry
        || own.segment.is_some()
        || own.hf_weighting
        || own.bos == Bos::None;
    if info.encoder_decoder && window {
        return Err(Error::usage(format!("`{model_type}` is an encoder-decoder: a text is scored whole, there are no windows"))
            .hint("leave out `--context`, `--stride`, `--rolling`, `--carry`, `--segment`, `--hf-weighting` and `--bos`"));
    }
    if info.reads_only.is_some() && (about_sources || window) {
        let refused = if about_sources { "it reads no source apart from the text" } else { "a text is scored whole, there are no windows" };
        return Err(Error::usage(format!("`{model_type}` reads from both sides: {refused}"))
            .hint("leave out the source, `--context`, `--stride`, `--rolling`, `--hf-weighting` and `--bos`"));
    }
    if !info.encoder_decoder && about_sources {
        return Err(Error::usage(format!("`{model_type}` is decoder-only: it reads no source apart from the text"))
            .hint("leave out the source, or take an encoder-decoder"));
    }
    Ok(())
}

/// What the signature says of how the model was loaded: the precision of its weights, and whatever changes its numbers besides.
fn loaded(checkpoint: &Checkpoint, weights: &WeightArgs) -> Result<Vec<(&'static str, String)>> {
    let mut how = vec![("dtype", checkpoint.held.weights.name().to_owned())];
    if checkpoint.held.cache != Precision::F32 {
        how.push(("kv", checkpoint.held.cache.name().to_owned()));
    }
    if let Some(adapter) = checkpoint.store.adapter() {
        // `|` parts the words of a signature
        how.push(("adapter", format!("{}[{:016x}]", adapter.name.replace('|', "\\u{7c}"), adapter.fingerprint)));
    }
    // what the checkpoint itself says is the model's own
    if let Some(init) = weights.init_mem {
        how.push(("init_mem", if init == InitMemory::Zeros { "zeros" } else { "empty" }.to_owned()));
    }
    if weights.reference_quirks && !arch::find(&checkpoint.config)?.quirks.is_empty() {
        how.push(("quirks", "reference".to_owned()));
    }
    Ok(how)
}

/// The token of what a tokenizer does not know, if it has one, and its id.
fn unknown(tokenizer: &Tokenizer) -> Option<(String, u32)> {
    let token = match tokenizer.get_model() {
        ModelWrapper::WordLevel(model) => model.unk_token.clone(),
        ModelWrapper::WordPiece(model) => model.unk_token.clone(),
        ModelWrapper::BPE(model) => model.unk_token.clone()?,
        // the crate keeps its number to itself, and writes it with everything else
        ModelWrapper::Unigram(model) => {
            let id = serde_json::to_value(model).ok()?.get("unk_id")?.as_u64().and_then(|id| u32::try_from(id).ok())?;
            return Some((tokenizer.id_to_token(id)?, id));
        }
    };
    let id = tokenizer.token_to_id(&token)?;
    Some((token, id))
}

/// Progress through the texts, on a terminal.
fn bar(texts: usize, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(texts as u64).with_finish(ProgressFinish::AndClear);
    match ProgressStyle::with_template("{bar:30} {pos} of {len} texts  {elapsed} gone, {eta} to go") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The segment, for messages.
fn place(corpus: &Corpus, segment: usize) -> String {
    match &corpus.ids {
        Some(ids) => format!("segment `{}`", crate::document::id_text(&ids[segment])),
        None => format!("segment {}", segment + 1),
    }
}

/// The tokenizer without truncation and padding of its own, which would be silent.
fn whole(mut tokenizer: Tokenizer) -> Result<Tokenizer> {
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|e| Error::new(format!("tokenizer: {e}")))?;
    Ok(tokenizer)
}

/// The token before the first: what the model reads before any prompt, else begin of text, else end of text, as the lm-evaluation-harness chooses it.
fn first_token(checkpoint: &Checkpoint) -> Result<u32> {
    if let Some(start) = checkpoint.model.info().prompt_start {
        return Ok(start);
    }
    let configs = [("config.json", Some(&checkpoint.config)), ("generation_config.json", checkpoint.generation_config.as_ref())];
    // the first of several end tokens, as elsewhere
    let number = |value: &Value| match value {
        Value::Array(list) => list.first().and_then(Value::as_u64),
        one => one.as_u64(),
    };
    let id = |key: &str| -> Result<Option<u32>> {
        let found = configs.iter().find_map(|(file, c)| Some((file, c.as_ref()?.get(key).filter(|value| !value.is_null())?)));
        let Some((file, value)) = found else { return Ok(None) };
        let id = number(value).and_then(|id| u32::try_from(id).ok()).filter(|_| key == "eos_token_id" || !value.is_array());
        id.map(Some)
            .ok_or_else(|| Error::new(format!("{file}: `{key}` must be a token id, not {value}")).hint("mend it, or say `--bos none`"))
    };
    let first = match id("bos_token_id")? {
        None => id("eos_token_id")?,
        first => first,
    };
    first.ok_or_else(|| {
        Error::new(format!("`{}` names no token that begins or ends a text", checkpoint.name))
            .hint("say `--bos none`, or put `bos_token_id` into config.json")
    })
}

/// The token that stands for a hidden one: `mask_token_id` of config.json, else what tokenizers call so.
fn mask_token(checkpoint: &Checkpoint, tokenizer: &Tokenizer) -> Result<u32> {
    let own = checkpoint.config.get("mask_token_id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    own.or_else(|| ["<mask>", "[MASK]"].iter().find_map(|word| tokenizer.token_to_id(word))).ok_or_else(|| {
        Error::new(format!("`{}` names no mask token, so no token of a text can be hidden from it", checkpoint.name))
            .hint("put `mask_token_id` into config.json: the token that hid others when the model was trained")
    })
}
