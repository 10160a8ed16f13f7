//! `effattn decode`: documents in, summaries out.
//!
//! | question | file |
//! |---|---|
//! | what can be asked for? | `args`, `generate` |
//! | how does text become tokens, and back? | `codec` |
//! | what if a document is too long? | `fit` |
//! | what runs together, and how long does it take? | `batch` |
//! | in which order, and when is a document done? | `pipeline` |
//! | what is printed when? | `printer`, `stream`, `progress` |

mod args;
mod batch;
pub(super) mod codec;
pub(super) mod fit;
mod generate;

mod pipeline;
mod printer;
mod progress;
mod stream;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use args::{DecodeArgs, InputArgs, OutputArgs, OutputFormat};
pub use batch::BatchSize;
pub use fit::Overflow;
pub use generate::GenerateArgs;

use super::{Exit, located, open, open_ids, tell};
use crate::adapter::Summary;
use crate::checkpoint::{Checkpoint, no_tokenizer};
use crate::cli::CommonArgs;
use crate::decode::{Generation, Task, source_prefix};
use crate::document::{self, Documents};
use crate::error::{Error, Result};
use crate::kernel::precision::Precision;
use crate::model::Info;
use crate::output::{self, Kept, Partial, Settings, Target, say};
use crate::timing::{Clock, System};
use crate::weights::Held;
use batch::Decoder;
use codec::Codec;
use pipeline::{End, Pipeline};
use printer::{Form, Printer};
use progress::Progress;
use std::io::{IsTerminal, Write};

/// Checks everything that is cheap to check, loads the model, and decodes.
pub fn run(args: &DecodeArgs, common: &CommonArgs, out: &mut dyn Write) -> Result<Exit> {
    args.check()?;
    document::check(&args.documents, &args.reading())?;
    if let Some(path) = args.path().filter(|p| !Target::is_device(p)) {
        output::check(path, args.output.resume)?;
    }
    let found = located(&args.model, common)?;
    let open = if args.input.ids { open_ids } else { open };
    decode(args, common.quiet, open(found.as_ref(), &args.model.weights, args.seed)?, out, &System::start())
}

/// Decodes with a checkpoint that is loaded.
pub fn decode(args: &DecodeArgs, quiet: bool, checkpoint: Checkpoint, out: &mut dyn Write, clock: &dyn Clock) -> Result<Exit> {
    let (what, notes) = (which(args, &checkpoint), checkpoint.adapter_notes());
    // none is kept of what goes elsewhere than into a file
    let content = if args.path().is_some() { checkpoint.fingerprints() } else { Vec::new() };
    let Checkpoint { name, dir, model, tokenizer, config, generation_config, held, store, .. } = checkpoint;
    model.info().decodes()?;
    let task = Task::summarization(&config, model.info().encoder_decoder)?;
    let generation = Generation::resolve_for(task.as_ref(), generation_config.as_ref(), &config, &args.generate.overrides())?;
    // ids hold what goes before them already
    let task = task.filter(|_| !args.input.ids);
    let prefix = source_prefix(args.input.source_prefix.as_deref(), task.as_ref())?;
    let sequences = generation.num_return_sequences;
    if args.output.stream && (generation.num_beams > 1 || sequences > 1) {
        return Err(Error::usage("`--stream` shows tokens as they are chosen, beam search and several sequences choose at the end")
            .hint("add `--num-beams 1 --num-return-sequences 1`, or leave out `--stream`"));
    }
    let tokenizer = tokenizer.ok_or_else(|| no_tokenizer(&name, dir.as_deref(), ", or give token ids with `--ids`"));
    let codec = codec(args, prefix.as_deref().unwrap_or(""), tokenizer, model.info())?;
    let decoder = Decoder {
        model: model.as_ref(),
        codec,
        generation: &generation,
        overflow: args.input.on_overflow,
        global: args.input.global_tokens.clone(),
        clock,
    };
    let (target, kept) = target(args, settings(args, (what, &content), (store.adapter(), prefix.as_deref()), &generation)?, out)?;
    if !quiet {
        introduce(&name, (model.info(), held, store.adapter()), (&generation, &notes), &kept);
        if let Some(prefix) = &prefix {
            let whose = if args.input.source_prefix.is_some() { "" } else { " (of config.json, `--source-prefix ''` leaves it out)" };
            say(format_args!("source prefix: {prefix:?}{whose}"));
        }
        if args.documents.is_empty() && std::io::stdin().is_terminal() {
            say("reading the document from the terminal, ctrl-d ends it");
        }
    }
    let form = Form { jsonl: args.jsonl(), alone: args.alone(), stream: args.output.stream, sequences, extras: args.extras(sequences) };
    let progress = Progress::new(progress::bytes(&args.documents), !quiet && !args.output.stream);
    let mut printer = Printer::new(target, form, quiet, progress);
    let batch = match args.batch_size {
        BatchSize::Auto if args.output.stream || args.output.timings => BatchSize::Rows(1),
        other => other,
    };
    let mut documents = Documents::open(&args.documents, args.reading());
    let end = Pipeline::new(&decoder, &mut printer, batch, args.seed).run(&mut documents, &kept);
    conclude(printer, end, args.output.resume || args.jsonl())
}

/// How text becomes tokens for this model.
fn codec(args: &DecodeArgs, prefix: &str, tokenizer: Result<tokenizers::Tokenizer>, info: &Info) -> Result<Codec> {
    if args.input.ids {
        return Ok(Codec::Ids { vocab_size: info.vocab_size });
    }
    let tokenizer = tokenizer?;
    match (info.encoder_decoder, &args.input.template) {
        (true, Some(_)) => Err(Error::usage(format!("`--template` is for decoder-only models, `{}` has an encoder", info.model_type))
            .hint("`--source-prefix` puts text before the document")),
        (true, None) => Codec::text(tokenizer, prefix, ""),
        (false, _) => {
            let (before, after) = args.template()?;
            Codec::text(tokenizer, &format!("{before}{prefix}"), &after)
        }
    }
}

/// The model as a run that is gone on with must find it: a directory, a repository's commit, or the embedded one.
fn which(args: &DecodeArgs, checkpoint: &Checkpoint) -> String {
    match (&checkpoint.commit, &args.model.model) {
        (Some(commit), _) => format!("{}@{commit}", checkpoint.name),
        (None, Some(dir)) => dir.canonicalize().unwrap_or_else(|_| dir.clone()).display().to_string(),
        (None, None) => "the embedded one".to_owned(),
    }
}

/// Everything that the records depend on, beside the documents: what a run that is gone on with must share.
fn settings(
    args: &DecodeArgs,
    (model, content): (String, &[(&str, u64)]),
    (adapter, prefix): (Option<&Summary>, Option<&str>),
    generation: &Generation,
) -> Result<Settings> {
    let settings = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "model": model,
        "random-weights": args.model.weights.random_weights,
        "dtype": format!("{:?}", args.model.weights.dtype),
        "kv-dtype": format!("{:?}", args.model.weights.kv_dtype),
        "reference-quirks": args.model.weights.reference_quirks,
        "init-mem": format!("{:?}", args.model.weights.init_mem),
        "attention": args.model.weights.attention.to_string(),
        "seed": args.seed,
        "generation": generation.describe(),
        "input-format": format!("{:?}", args.input.input_format),
        "text-column": args.input.text_column,
        "on-overflow": format!("{:?}", args.input.on_overflow),
        "source-prefix": prefix,
        "template": args.input.template,
        "ids": args.input.ids,
        "global-tokens": args.input.global_tokens,
        "keep-columns": args.output.keep_columns,
        "timings": args.output.timings,
    });
    match settings {
        serde_json::Value::Object(mut settings) => {
            for (name, number) in content {
                settings.insert(format!("{name}-fingerprint"), format!("{number:016x}").into());
            }
            // runs of before there were adapters had none
            if let Some((dir, adapter)) = args.model.weights.adapter.as_ref().zip(adapter) {
                let dir = dir.canonicalize().unwrap_or_else(|_| dir.clone());
                settings.insert("adapter".to_owned(), dir.display().to_string().into());
                // one that is trained on is saved to the same place
                settings.insert("adapter-fingerprint".to_owned(), format!("{:016x}", adapter.fingerprint).into());
            }
            Ok(settings)
        }
        _ => Err(Error::new("the settings are no object")),
    }
}

/// Opens the output, and says which records are there already.
fn target<'o>(args: &DecodeArgs, settings: Settings, out: &'o mut dyn Write) -> Result<(Target<'o>, Vec<Kept>)> {
    match args.path() {
        None => Ok((Target::Out(out), Vec::new())),
        Some(path) if Target::is_device(path) => Ok((Target::device(path)?, Vec::new())),
        Some(path) if args.output.resume => Partial::resume(path, &settings).map(|(p, kept)| (Target::File(p), kept)),
        Some(path) => Ok((Target::File(Partial::create(path, args.jsonl().then_some(&settings))?), Vec::new())),
    }
}

/// Says once what is going to happen.
fn introduce(
    name: &str,
    (info, held, adapter): (&Info, Held, Option<&Summary>),
    (generation, notes): (&Generation, &[String]),
    kept: &[Kept],
) {
    let cache = if held.cache == Precision::F32 { String::new() } else { format!(", {} keys and values", held.cache.name()) };
    say(format_args!("model: {name} ({}, attention: {}, {} weights{cache})", info.model_type, info.attention, held.weights.name()));
    if let Some(adapter) = adapter {
        say(format_args!("adapter: {adapter}"));
    }
    say(format_args!("settings: {}", generation.describe()));
    tell(generation.notes.iter().chain(notes), false);
    if !kept.is_empty() {
        say(format_args!("resuming: {} documents are done already", kept.len()));
    }
}

/// Makes the output final, or says what is left of it.
fn conclude(printer: Printer, end: Result<End>, resumable: bool) -> Result<Exit> {
    let Printer { target, progress, quiet, done, failed, flattened, .. } = printer;
    drop(progress);
    if flattened > 0 && !quiet {
        say(format_args!("warning: line breaks in {flattened} summaries became spaces; `-f jsonl` keeps them"));
    }
    if let Ok(End::Done) = end {
        target.finish()?;
        if done == 0 && !quiet {
            say("warning: there are no documents in the input");
        }
        if failed > 0 && !quiet {
            say(format_args!("{failed} of {done} documents failed"));
        }
        return Ok(if failed > 0 { Exit::SomeFailed } else { Exit::Success });
    }
    if let (Some(path), false) = (target.abandon(), quiet) {
        let hint = if resumable { ", `--resume` goes on there" } else { "" };
        say(format_args!("note: what was finished is in `{}`{hint}", path.display()));
    }
    match end? {
        End::Interrupted => Ok(Exit::Interrupted),
        _ => Ok(Exit::Success),
    }
}
