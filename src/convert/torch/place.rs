//! Which files are meant by a path.

use crate::error::{Error, Result};
use crate::output::reason;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What a directory of transformers calls its weights, in the order in which it looks for them.
const USUAL: [&str; 4] = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];
/// Ends of names of checkpoints.
const ENDS: [&str; 5] = ["bin", "pt", "pth", "ckpt", "safetensors"];
/// Beginnings of names of what trainers keep beside them.
const OTHERS: [&str; 6] = ["training_args", "optimizer", "scheduler", "rng_state", "random_states", "scaler"];

/// The files of a checkpoint.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The path that was given.
    pub name: String,
    /// The directory that they are in.
    pub dir: PathBuf,
    /// The files.
    pub files: Vec<PathBuf>,
    /// Tensors that an index says are in them.
    pub promised: Vec<String>,
    /// What is to be said of the choice.
    pub said: Vec<String>,
}

impl Place {
    /// The files of a path: a file, the index of several, or a directory with one checkpoint.
    pub fn find(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        if !path.exists() {
            return Err(
                Error::new(format!("{name}: no such file or directory")).hint("name a file that `torch.save` wrote, or its directory")
            );
        }
        if !path.is_dir() {
            let dir = path.parent().map(Path::to_owned).unwrap_or_default();
            return Self { name, dir, ..Self::default() }.with(path);
        }
        let place = Self { name, dir: path.to_owned(), ..Self::default() };
        let names = place.names()?;
        let usual: Vec<&str> = USUAL.into_iter().filter(|u| names.iter().any(|n| n == u)).collect();
        if let Some(first) = usual.first() {
            let mut place = place;
            if usual.iter().any(|u| u.starts_with("model.") != first.starts_with("model.")) {
                place.said.push(format!("taken: `{first}`, not the others in the directory"));
            }
            return place.with(&path.join(first));
        }
        if let Some(shards) = shards(&place.name, &names)? {
            return Ok(Self { files: shards.iter().map(|n| path.join(n)).collect(), ..place });
        }
        let is = |n: &&String| ENDS.iter().any(|end| n.ends_with(&format!(".{end}"))) && !OTHERS.iter().any(|o| n.starts_with(o));
        let all: Vec<&String> = names.iter().filter(is).collect();
        match all.as_slice() {
            [one] => place.with(&path.join(one)),
            [] => Err(Error::new(format!("{}: no checkpoint here", place.name))
                .hint("it is a file with the ending .bin, .pt, .pth, .ckpt or .safetensors")),
            several => Err(Error::new(format!("{}: several checkpoints here: {}", place.name, super::listed(several, ", ")))
                .hint("name the file that is meant")),
        }
    }

    /// The names in the directory, sorted.
    fn names(&self) -> Result<Vec<String>> {
        let failed = |e: std::io::Error| Error::new(format!("{}: {}", self.name, reason(&e)));
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(failed)? {
            names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// With a file, or with those of an index.
    fn with(mut self, file: &Path) -> Result<Self> {
        if !file.to_string_lossy().ends_with(".index.json") {
            self.files.push(file.to_owned());
            return Ok(self);
        }
        let name = file.display().to_string();
        let bad =
            |what: &str| Error::new(format!("{name}: {what}")).hint("an index has `weight_map`, from names of tensors to names of files");
        let text = std::fs::read(file).map_err(|e| Error::new(format!("{name}: {}", reason(&e))))?;
        let index: Value = serde_json::from_slice(&text).map_err(|e| bad(&format!("not valid JSON ({e})")))?;
        let map = index.get("weight_map").and_then(Value::as_object).ok_or_else(|| bad("no `weight_map`"))?;
        for (tensor, shard) in map {
            let shard = shard.as_str().filter(|s| Path::new(s).file_name().is_some_and(|n| n == *s));
            let shard = self.dir.join(shard.ok_or_else(|| bad(&format!("`{}` is in no file beside it", super::shown(tensor))))?);
            if !self.files.contains(&shard) {
                self.files.push(shard);
            }
            self.promised.push(tensor.clone());
        }
        if self.files.is_empty() {
            return Err(bad("`weight_map` is empty"));
        }
        Ok(self)
    }
}

/// The shards `…-00001-of-00003.…` of a directory without their index; fails if one is missing.
fn shards<'n>(dir: &str, names: &'n [String]) -> Result<Option<Vec<&'n String>>> {
    let parts = |name: &str| -> Option<(String, usize)> {
        let (stem, end) = name.rsplit_once('.')?;
        let (stem, of) = stem.rsplit_once("-of-")?;
        let (stem, number) = stem.rsplit_once('-')?;
        let counted = ENDS.contains(&end) && number.parse::<usize>().is_ok();
        counted.then_some((format!("{stem}.{end}"), of.parse().ok()?))
    };
    let mut first: Option<(String, usize)> = None;
    let mut found = Vec::new();
    for name in names {
        let Some(family) = parts(name) else { continue };
        match &first {
            Some(other) if *other != family => {
                return Err(Error::new(format!("{dir}: shards of several checkpoints here: `{}` and `{}`", other.0, family.0))
                    .hint("keep those of one in the directory"));
            }
            _ => first = Some(family),
        }
        found.push(name);
    }
    match first {
        Some((_, wanted)) if found.len() != wanted => {
            Err(Error::new(format!("{dir}: {} shards of {wanted}", found.len())).hint("fetch the others too"))
        }
        Some(_) => Ok(Some(found)),
        None => Ok(None),
    }
}
