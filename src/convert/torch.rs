//! What `torch.save` writes, and directories of it: tensors under their names, their numbers as they are.
//!
//! | question | module |
//! |---|---|
//! | which files are meant, and what lies beside them? | `place` |
//! | where in a file are its numbers? | `zip`, `legacy` |
//! | which of the values is the model? | `state` |
//! | how does a view of a storage become a tensor of its own? | `tensor` |
//!
//! Nothing is run: the pickle inside is read by [`pickle`](super::pickle).

mod file;
mod legacy;
mod place;
mod state;
mod tensor;
mod zip;

use super::numbers::Kind;
use super::pickle::Element;
use super::staging::Staging;
use super::write::{Planned, Writer};
use super::{Done, Watch};
use crate::error::{Error, Result};
use crate::report;
use file::File;
use place::Place;
use std::path::Path;
use tensor::Tensor;

/// Bytes that may be written for each byte that was read: tensors that share numbers are written one by one, so a small file could ask for
/// any amount.
const UNFOLDED: u64 = 64;
/// What is put before the names by wrappers of PyTorch: data parallelism, `torch.compile`.
const PREFIXES: [&str; 2] = ["module.", "_orig_mod."];
/// What goes along with the weights. Of SentencePiece's files, or of vocab.json and merges.txt, Python's transformers make a tokenizer.json.
const BESIDE: [&str; 12] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "source.spm",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
];
/// Names in a list of them that is told.
const TOLD: usize = 8;

/// A checkpoint of PyTorch to be converted.
pub struct Request<'r> {
    /// A file, or a directory of them.
    pub checkpoint: &'r Path,
    /// config.json, where the one beside the checkpoint is not meant or not there.
    pub config: Option<&'r Path>,
    /// Where it goes.
    pub target: &'r Path,
    /// Kind of the numbers with a point; none: the checkpoint's own.
    pub kind: Option<Kind>,
    /// Whether files that are there may be replaced.
    pub force: bool,
}

/// Writes the tensors of a checkpoint as a directory, and tells what it did; none where `watch` wanted no more. Fails on whatever is no
/// checkpoint of PyTorch; then nothing is left behind.
pub fn convert(request: &Request, watch: &mut Watch) -> Result<Option<(Done, Vec<String>)>> {
    let place = Place::find(request.checkpoint)?;
    let beside = beside(request.config, &place.dir)?;
    let mut source = Source::open(&place)?;
    source.strip()?;
    let stored = |t: &Tensor| t.stored(request.kind);
    // the widest numbers first, so that all of them lie where their width divides
    source.tensors.sort_by_key(|(_, t)| std::cmp::Reverse(stored(t).size));
    let bytes = source.room(request.kind)?;
    let staging = Staging::create(request.target, request.force, bytes + (1 << 20))?;
    let plan: Vec<Planned> = source.tensors.iter().map(|(name, t)| Planned { name: name.clone(), shape: t.shape.clone() }).collect();
    let parameters = plan.iter().map(Planned::numbers).sum::<u64>();
    let mut writer = Writer::create(&staging.path().join("model.safetensors"), &plan, "pt")?;
    let (mut written, mut kinds) = (0, Vec::new());
    for (name, tensor) in &source.tensors {
        let kind: Element = stored(tensor);
        if !kinds.contains(&kind.name) {
            kinds.push(kind.name);
        }
        writer.tensor(name, kind, &tensor.shape)?;
        let file = &source.files[tensor.file];
        let mut count = |n: u64| watch(written + n, parameters);
        if !tensor.write(&file.bytes, request.kind, &mut writer, &mut count).map_err(|e| e.at(format!("{}: `{name}`", file.name)))? {
            return Ok(None);
        }
        written += tensor.numbers();
    }
    let bytes = writer.finish()?;
    for (name, contents) in &beside {
        staging.write(name, contents)?;
    }
    staging.finish()?;
    source.tell_shared();
    source.tell_beside(&beside);
    Ok(Some((Done { parameters, tensors: plan.len(), bytes, kinds }, source.said)))
}

/// All files of a checkpoint.
struct Source {
    files: Vec<File>,
    tensors: Vec<(String, Tensor)>,
    /// What there is to be said of it.
    said: Vec<String>,
}

impl Source {
    fn open(place: &Place) -> Result<Self> {
        let mut source = Self { files: Vec::new(), tensors: Vec::new(), said: place.said.clone() };
        let mut seen = rustc_hash::FxHashMap::default();
        for path in &place.files {
            let (file, found) = file::open(path, source.files.len())?;
            for (name, _) in &found.tensors {
                if let Some(other) = seen.insert(name.clone(), source.files.len()) {
                    let other = source.files.get(other).map_or(&file.name, |f| &f.name);
                    return Err(Error::new(format!("{}: `{}` is in `{other}` too", file.name, shown(name)))
                        .hint("the files belong to different checkpoints: keep those of one in the directory, or name one file"));
                }
            }
            source.tensors.extend(found.tensors);
            source.said.extend(found.said);
            source.files.push(file);
        }
        if let Some(name) = place.promised.iter().find(|name| !seen.contains_key(*name)) {
            return Err(Error::new(format!("{}: `{}` is in none of its files", place.name, shown(name)))
                .hint("a shard belongs to another checkpoint, or is damaged: fetch all of them again"));
        }
        if source.tensors.is_empty() {
            return Err(Error::new(format!("{}: it holds no tensors", place.name)).hint("name the file that has the model's weights"));
        }
        Ok(source)
    }

    /// Takes off the names what wrappers put before all of them.
    fn strip(&mut self) -> Result<()> {
        let mut off = String::new();
        while let Some(prefix) = PREFIXES.iter().find(|p| self.tensors.iter().all(|(name, _)| name.len() > p.len() && name.starts_with(*p)))
        {
            self.tensors.iter_mut().for_each(|(name, _)| drop(name.drain(..prefix.len())));
            off += prefix;
        }
        if !off.is_empty() {
            self.said.push(format!("renamed: `{off}` taken off all {} names", self.tensors.len()));
        }
        match self.tensors.iter().find(|(name, _)| name == "__metadata__") {
            Some(_) => Err(Error::new("a tensor is called `__metadata__`, which safetensors keeps for itself").hint("rename it")),
            None => Ok(()),
        }
    }

    /// Bytes that will be written, if that is in proportion.
    fn room(&self, kind: Option<Kind>) -> Result<u64> {
        let mut each = self.tensors.iter().map(|(_, t)| t.numbers().checked_mul(t.stored(kind).size as u64));
        let all = each.try_fold(0u64, |sum, n| sum.checked_add(n?)).unwrap_or(u64::MAX);
        let read = self.files.iter().map(|f| f.bytes.len() as u64).sum::<u64>();
        if all > read.saturating_mul(UNFOLDED).saturating_add(1 << 20) {
            return Err(Error::new(format!(
                "{} of numbers would unfold from {}: its tensors show the same ones again and again",
                report::bytes(usize::try_from(all).unwrap_or(usize::MAX)),
                report::bytes(read as usize)
            ))
            .hint("if you trust it, load it with PyTorch and save each tensor with `.clone()`"));
        }
        Ok(all)
    }

    /// Names whose numbers are the same ones.
    fn tell_shared(&mut self) {
        let mut spans: Vec<(usize, usize, usize, &str)> = Vec::new();
        spans.extend(self.tensors.iter().filter(|(_, t)| t.numbers() > 0).map(|(name, t)| {
            let span = t.span();
            (t.file, span.start, span.end, name.as_str())
        }));
        spans.sort_unstable();
        let (mut groups, mut end): (Vec<Vec<&str>>, _) = (Vec::new(), (usize::MAX, 0));
        for (file, from, to, name) in spans {
            match groups.last_mut() {
                Some(group) if end.0 == file && from < end.1 => group.push(name),
                _ => groups.push(vec![name]),
            }
            end = (file, if end.0 == file { to.max(end.1) } else { to });
        }
        let groups: Vec<String> = groups.iter().filter(|g| g.len() > 1).map(|g| listed(g, " = ")).collect();
        if !groups.is_empty() {
            self.said.push(format!("one storage, written once for each name: {}", plain(&groups, "; ")));
        }
    }

    fn tell_beside(&mut self, beside: &[(&str, Vec<u8>)]) {
        if !beside.is_empty() {
            self.said.push(format!("copied along: {}", beside.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")));
        }
        if !beside.iter().any(|(name, _)| *name == "config.json") {
            self.said.push("config.json is missing, without which no command can load it: `--config FILE` puts one there".to_owned());
        }
    }
}

/// Names and contents of what goes along.
fn beside(config: Option<&Path>, dir: &Path) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let mut all = Vec::new();
    for name in BESIDE {
        let path = match config {
            Some(path) if name == "config.json" => {
                if path.is_dir() {
                    path.join(name)
                } else {
                    path.to_owned()
                }
            }
            _ if dir.join(name).exists() => dir.join(name),
            _ => continue,
        };
        let Some(contents) = crate::files::read(&path)? else { continue };
        let json = name.ends_with(".json");
        if json && !matches!(serde_json::from_slice(&contents), Ok(serde_json::Value::Object(_))) {
            return Err(Error::new(format!("{}: not a JSON object", path.display())).hint(if name == "config.json" {
                "`--config FILE` takes a config.json in place of the one beside the checkpoint"
            } else {
                "mend it, or move it away"
            }));
        }
        all.push((name, contents));
    }
    Ok(all)
}

/// Names in backticks, the first of them.
fn listed<S: AsRef<str>>(names: &[S], between: &str) -> String {
    let ticked: Vec<String> = names.iter().take(TOLD + 1).map(|n| format!("`{}`", shown(n.as_ref()))).collect();
    let short = plain(&ticked, between);
    if names.len() > ticked.len() { short.replace("and 1 more", &format!("and {} more", names.len() - TOLD)) } else { short }
}

/// The first of several texts.
fn plain(texts: &[String], between: &str) -> String {
    let first = texts[..texts.len().min(TOLD)].join(between);
    if texts.len() > TOLD { format!("{first} and {} more", texts.len() - TOLD) } else { first }
}

/// A name that a file gives, fit for a terminal.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).take(120).collect()
}
