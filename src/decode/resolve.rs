//! Where the settings come from: the command line, then `generation_config.json`, else `config.json`, else the defaults.
//!
//! As `GenerationMixin.adjust_generation_fn` and `_prepare_generation_config` of transformers 5.23: the two files are never mixed
//! (`config.json` counts only where there is no `generation_config.json`), `null` means the default, and `task_specific_params`
//! is not read unless a caller asks for a task ([`Generation::resolve_for`]). One departure: a length given on the command line replaces the file's length of the other kind, while
//! transformers lets a file's `max_new_tokens` win over the caller's `max_length`.

use super::check::Fault;
use super::settings::{EarlyStopping, Generation, Overrides};
use super::task::{PLACE, Task};
use crate::error::{Error, Result};
use serde_json::{Map, Value};

/// Whether a value changes nothing.
type Neutral = fn(&Value) -> bool;

/// Keys that change the output and are not implemented, with the values that change nothing.
const REFUSED: &[(&str, Neutral)] = &[
    ("assistant_early_exit", Value::is_null),
    ("constraints", Value::is_null),
    ("dola_layers", Value::is_null),
    ("encoder_no_repeat_ngram_size", |v| number_is(v, 0.0)),
    ("encoder_repetition_penalty", |v| number_is(v, 1.0)),
    ("force_words_ids", Value::is_null),
    ("guidance_scale", |v| number_is(v, 1.0)),
    ("max_time", Value::is_null),
    ("num_beam_groups", |v| number_is(v, 1.0)),
    ("penalty_alpha", |v| number_is(v, 0.0)),
    ("prompt_lookup_num_tokens", Value::is_null),
    ("sequence_bias", Value::is_null),
    ("stop_strings", Value::is_null),
    ("token_healing", is_false),
    ("top_h", Value::is_null),
    ("use_mtp", is_false),
    ("watermarking_config", Value::is_null),
];

/// Keys that do not change which tokens come out: caches, speed, what is returned beside the tokens, and book-keeping.
const HARMLESS: &[&str] = &[
    "_commit_hash",
    "_from_model_config",
    "assistant_confidence_threshold",
    "assistant_ensemble_weight",
    "assistant_lookbehind",
    "cache_config",
    "cache_implementation",
    "compile_config",
    "continuous_batching_config",
    "disable_compile",
    "diversity_penalty",
    "is_assistant",
    "low_memory",
    "max_cache_len",
    "max_matching_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "prefill_chunk_size",
    "return_dict_in_generate",
    "speculation_type",
    "target_lookbehind",
    "transformers_version",
    "use_cache",
];

fn number_is(value: &Value, neutral: f64) -> bool {
    value.is_null() || value.as_f64() == Some(neutral)
}

fn is_false(value: &Value) -> bool {
    value.is_null() || value == &Value::Bool(false)
}

impl Generation {
    /// The settings of a checkpoint with the command line's on top.
    ///
    /// Fails for values that cannot be, and for keys of the file that would change the output but are not implemented.
    pub fn resolve(generation_config: Option<&Value>, config: &Value, overrides: &Overrides) -> Result<Generation> {
        Self::resolve_for(None, generation_config, config, overrides)
    }

    /// The same for a task: its parameters fill what `generation_config.json` leaves open; where there is none, they go before
    /// `config.json`'s own.
    pub fn resolve_for(
        task: Option<&Task>,
        generation_config: Option<&Value>,
        config: &Value,
        overrides: &Overrides,
    ) -> Result<Generation> {
        let (name, value) = match generation_config {
            Some(value) => ("generation_config.json", value),
            None => ("config.json", config),
        };
        let keys = value.as_object().ok_or_else(|| Error::new(format!("`{name}` is not a JSON object")))?;
        let mut layers = vec![(name, keys)];
        if let Some(task) = task {
            layers.insert(usize::from(generation_config.is_some()), (PLACE, task.keys));
        }
        let mut file = File { layers, read: Vec::new(), of_the_task: Vec::new() };
        let mut settings = file.settings()?;
        if !file.of_the_task.is_empty() {
            settings.notes.push(format!("{PLACE}: {}", file.of_the_task.join(", ")));
        }
        if generation_config.is_none() && file.flag("force_bos_token_to_be_generated")? == Some(true) {
            settings.forced_bos = settings.bos; // legacy of BART's first checkpoints, read from config.json only
        }
        settings.notes.extend(file.unknown());
        overrides.apply(&mut settings);
        settings.checked().map_err(|fault| file.blame(fault, overrides))?;
        Ok(settings)
    }
}

/// What to do about a value that cannot be.
const MEND: &str = "mend it in the file, or remove it there";

/// Lengths of two kinds: who sets one of a pair sets the pair.
const PAIRS: [[&str; 2]; 2] = [["max_length", "max_new_tokens"], ["min_length", "min_new_tokens"]];

/// Tables of settings, the nearest first, and which keys were asked for.
struct File<'a> {
    layers: Vec<(&'static str, &'a Map<String, Value>)>,
    read: Vec<&'static str>,
    /// Keys whose values are the task's.
    of_the_task: Vec<&'static str>,
}

impl File<'_> {
    fn settings(&mut self) -> Result<Generation> {
        self.refuse()?;
        let d = Generation::default();
        let max_length = self.count("max_length")?;
        Ok(Generation {
            num_beams: self.count("num_beams")?.unwrap_or(d.num_beams),
            do_sample: self.flag("do_sample")?.unwrap_or(d.do_sample),
            temperature: self.real("temperature")?.unwrap_or(d.temperature),
            top_k: self.count("top_k")?.unwrap_or(d.top_k),
            top_p: self.real("top_p")?.unwrap_or(d.top_p),
            min_p: self.real("min_p")?.unwrap_or(d.min_p),
            typical_p: self.real("typical_p")?.unwrap_or(d.typical_p),
            epsilon_cutoff: self.real("epsilon_cutoff")?.unwrap_or(d.epsilon_cutoff),
            eta_cutoff: self.real("eta_cutoff")?.unwrap_or(d.eta_cutoff),
            repetition_penalty: self.real("repetition_penalty")?.unwrap_or(d.repetition_penalty),
            no_repeat_ngram_size: self.count("no_repeat_ngram_size")?.unwrap_or(d.no_repeat_ngram_size),
            exponential_decay_length_penalty: self.get("exponential_decay_length_penalty", "a start and a factor", decay)?,
            length_penalty: self.real("length_penalty")?.unwrap_or(d.length_penalty),
            early_stopping: self.get("early_stopping", "true, false or \"never\"", early)?.unwrap_or(d.early_stopping),
            min_length: self.count("min_length")?.unwrap_or(d.min_length),
            min_new_tokens: self.count("min_new_tokens")?,
            max_length: max_length.unwrap_or(d.max_length),
            max_new_tokens: self.count("max_new_tokens")?,
            default_length: max_length.is_none(),
            num_return_sequences: self.count("num_return_sequences")?.unwrap_or(d.num_return_sequences),
            eos: self.ids("eos_token_id")?,
            pad: self.get("pad_token_id", "a token id", pad)?.flatten(),
            bos: self.id("bos_token_id")?,
            forced_bos: self.id("forced_bos_token_id")?,
            forced_eos: self.ids("forced_eos_token_id")?,
            suppress_tokens: self.ids("suppress_tokens")?,
            begin_suppress_tokens: self.ids("begin_suppress_tokens")?,
            bad_words: self.get("bad_words_ids", "lists of token ids", words)?.unwrap_or_default(),
            remove_invalid_values: self.flag("remove_invalid_values")?.unwrap_or(false),
            renormalize_logits: self.flag("renormalize_logits")?.unwrap_or(false),
            notes: Vec::new(),
        })
    }

    fn refuse(&self) -> Result<()> {
        for (key, neutral) in REFUSED {
            let found = self.layers.iter().find_map(|(name, keys)| Some((name, keys.get(*key).filter(|v| !v.is_null())?)));
            if let Some((name, value)) = found.filter(|(_, v)| !neutral(v)) {
                let message = format!("`{name}`: `{key}` = `{value}` changes the output and is not implemented");
                return Err(Error::new(message).hint(format!("remove `{key}` from the file to decode without it")));
            }
        }
        Ok(())
    }

    /// A line for each table with keys that mean nothing; config.json's are mostly no settings.
    fn unknown(&self) -> Vec<String> {
        let tables = self.layers.iter().filter(|(name, _)| *name != "config.json");
        let lines = tables.filter_map(|(name, keys)| {
            let odd: Vec<String> = unknown(keys, &self.read, *name == PLACE).map(|k| format!("`{}`", k.escape_debug())).collect();
            (!odd.is_empty()).then(|| format!("`{name}`: unknown keys without effect: {}", odd.join(", ")))
        });
        lines.collect()
    }

    /// The table that has the say about a key.
    fn layer(&self, key: &'static str) -> Option<(&'static str, &Value)> {
        let own = [key];
        let pair = PAIRS.iter().find(|pair| pair.contains(&key)).map_or(&own[..], |pair| pair);
        let set = |keys: &Map<String, Value>, key: &str| keys.get(key).is_some_and(|v| !v.is_null());
        let (name, keys) = self.layers.iter().find(|(_, keys)| pair.iter().any(|key| set(keys, key)))?;
        Some((name, keys.get(key).filter(|v| !v.is_null())?))
    }

    /// The error of a value that cannot be, with the file that it is from.
    fn blame(&self, Fault { key, error }: Fault, overrides: &Overrides) -> Error {
        let Some((name, _)) = self.layer(key).filter(|_| !overrides.sets(key)) else { return error };
        let hint = match (error.remedy(), Overrides::OPTIONS.contains(&key)) {
            (Some(remedy), _) => format!("{remedy}; or mend it in the file"),
            (None, true) => format!("mend it in the file, or say it with `--{}`", key.replace('_', "-")),
            (None, false) => MEND.to_owned(),
        };
        error.at(format!("`{name}`")).hint(hint)
    }

    fn get<T>(&mut self, key: &'static str, what: &str, read: fn(&Value) -> Option<T>) -> Result<Option<T>> {
        self.read.push(key);
        match self.layer(key) {
            None => Ok(None),
            Some((name, value)) => {
                let found = read(value).ok_or_else(|| Error::new(format!("`{name}`: `{key}` must be {what}, not `{value}`")).hint(MEND))?;
                if name == PLACE {
                    self.of_the_task.push(key);
                }
                Ok(Some(found))
            }
        }
    }

    fn real(&mut self, key: &'static str) -> Result<Option<f64>> {
        self.get(key, "a number", Value::as_f64)
    }

    fn count(&mut self, key: &'static str) -> Result<Option<usize>> {
        self.get(key, "a whole number from 0 on", |v| v.as_u64().and_then(|n| usize::try_from(n).ok()))
    }

    fn flag(&mut self, key: &'static str) -> Result<Option<bool>> {
        self.get(key, "true or false", Value::as_bool)
    }

    fn id(&mut self, key: &'static str) -> Result<Option<u32>> {
        self.get(key, "a token id", id)
    }

    fn ids(&mut self, key: &'static str) -> Result<Vec<u32>> {
        Ok(self.get(key, "a token id or a list of them", |v| id(v).map(|i| vec![i]).or_else(|| ids(v)))?.unwrap_or_default())
    }
}

/// The keys of a table that are none of a setting; a task has others besides.
fn unknown<'k>(keys: &'k Map<String, Value>, read: &[&str], task: bool) -> impl Iterator<Item = &'k str> {
    let known = move |k: &str| {
        // the model reads where it starts, from the files and not from a task
        let start = !task && k == "decoder_start_token_id";
        start || read.contains(&k) || HARMLESS.contains(&k) || REFUSED.iter().any(|(r, _)| *r == k) || task && super::task::OWN.contains(&k)
    };
    keys.keys().map(String::as_str).filter(move |k| !known(k))
}

/// The keys of a task that mean nothing here.
pub(super) fn unknown_to_tasks(keys: &Map<String, Value>) -> Vec<&str> {
    // reading nothing fails nowhere, and asks for all keys
    let mut nothing = File { layers: Vec::new(), read: Vec::new(), of_the_task: Vec::new() };
    drop(nothing.settings());
    unknown(keys, &nothing.read, true).collect()
}

fn id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}

fn ids(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(id).collect()
}

fn words(value: &Value) -> Option<Vec<Vec<u32>>> {
    value.as_array()?.iter().map(ids).collect()
}

/// Some checkpoints write -1 for "none": padding is never read here, so that is what it becomes.
fn pad(value: &Value) -> Option<Option<u32>> {
    if value.as_i64().is_some_and(|n| n < 0) { Some(None) } else { id(value).map(Some) }
}

fn early(value: &Value) -> Option<EarlyStopping> {
    match value {
        Value::Bool(true) => Some(EarlyStopping::True),
        Value::Bool(false) => Some(EarlyStopping::False),
        Value::String(s) if s == "never" => Some(EarlyStopping::Never),
        _ => None,
    }
}

fn decay(value: &Value) -> Option<(usize, f64)> {
    match value.as_array()?.as_slice() {
        [start, factor] => Some((usize::try_from(start.as_u64()?).ok()?, factor.as_f64()?)),
        _ => None,
    }
}
