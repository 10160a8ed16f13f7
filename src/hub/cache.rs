//! Snapshots of the cache, and what is missing in them.

use super::env::Env;
use super::name::{Name, is_commit};
use super::{Found, Snapshot};
use crate::error::{Error, Result};
use crate::files;
use crate::weights;
use std::path::{Path, PathBuf};

/// The weights in one file.
pub const WEIGHTS: &str = "model.safetensors";
/// The index of weights in shards.
pub const INDEX: &str = "model.safetensors.index.json";
/// What a model needs besides, and what it may have.
pub const CONFIG: &str = "config.json";
pub const OPTIONAL: [&str; 3] = ["generation_config.json", TEXTS[0], TEXTS[1]];
/// Missed by who reads text: token ids do without.
const TEXTS: [&str; 2] = ["tokenizer.json", "tokenizer_config.json"];

/// The snapshot of a name. Fails, with what to do, if it is not there or not whole.
pub fn look(name: &Name, env: &Env, weights: bool) -> Result<Found> {
    let cache = env.cache()?;
    let repository = cache.join(name.folder());
    let remedy = |error: Error| match env.offline {
        _ if error.remedy().is_some() => error,
        Some(variable) => {
            error.hint(format!("{variable} is set: unset it and say `--download` to fetch what is missing, or name a directory"))
        }
        None => error.hint("`--download` fetches what is missing; a directory is named with its path"),
    };
    if !repository.is_dir() {
        return Err(remedy(Error::new(format!(
            "`{}`: no such directory, and not in the Hugging Face cache `{}`",
            name.id,
            cache.display()
        ))));
    }
    let commit = commit(name, &repository).map_err(remedy)?;
    let dir = repository.join("snapshots").join(&commit);
    if !dir.is_dir() {
        let at = if name.is_pinned() { String::new() } else { format!(", commit {commit}") };
        let what = format!("`{}`: the cache `{}` has no files of revision `{}`{at}", name.id, cache.display(), name.revision);
        return Err(remedy(Error::new(what)));
    }
    whole(&dir, weights).map_err(|e| remedy(e.at(format!("`{}`", name.id))))?;
    Ok(Found { dir, snapshot: Some(Snapshot { name: name.id.clone(), commit }) })
}

/// The commit of the revision.
fn commit(name: &Name, repository: &Path) -> Result<String> {
    if name.is_pinned() {
        return Ok(name.revision.clone());
    }
    let refs = repository.join("refs");
    let file = refs.join(&name.revision);
    // a branch may be the folder of others
    let read = if file.is_dir() { None } else { files::read(&file).map_err(|e| e.at(format!("`{}`", name.id)))? };
    let Some(text) = read else {
        let mut known = branches(&refs, "");
        known.sort();
        let known = match known.as_slice() {
            [] => String::new(),
            known => format!("; there is {}", known.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")),
        };
        return Err(Error::new(format!("`{}`: the cache `{}` has no revision `{}`{known}", name.id, repository.display(), name.revision)));
    };
    let commit = String::from_utf8_lossy(&text);
    let commit = commit.trim();
    match is_commit(commit) {
        true => Ok(commit.to_owned()),
        false => Err(Error::new(format!("`{}`: `{}` holds no commit", name.id, file.display()))),
    }
}

/// The names below `refs`.
fn branches(dir: &Path, before: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let each = entries.flatten().flat_map(|entry| {
        let name = format!("{before}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() { branches(&entry.path(), &format!("{name}/")) } else { vec![name] }
    });
    each.collect()
}

/// Fails if a file that the program reads is missing in a snapshot, or is a link that leads nowhere.
fn whole(dir: &Path, weights: bool) -> Result<()> {
    if !has(dir, CONFIG)? {
        return Err(Error::new(format!("`{}` has no {CONFIG}", dir.display())));
    }
    for file in OPTIONAL.into_iter().filter(|f| !TEXTS.contains(f)) {
        has(dir, file)?;
    }
    if !weights || has(dir, WEIGHTS)? {
        return Ok(());
    }
    if !has(dir, INDEX)? {
        return Err(Error::new(format!("`{}` has no weights, neither {WEIGHTS} nor {INDEX}", dir.display())));
    }
    for shard in shards(dir)? {
        if !has(dir, &shard)? {
            return Err(Error::new(format!("`{}` has no {shard}, which {INDEX} names", dir.display())));
        }
    }
    Ok(())
}

/// Whether a file is there. Fails if a link is there whose file is not.
fn has(dir: &Path, file: &str) -> Result<bool> {
    let path = dir.join(file);
    files::regular(&path)?;
    match (path.is_file(), path.symlink_metadata().is_ok()) {
        (true, _) => Ok(true),
        (false, false) => Ok(false),
        (false, true) => {
            Err(Error::new(format!("`{}` leads to a file that is not there: it was removed, or never fetched", path.display())))
        }
    }
}

/// The files that the index of a snapshot names.
pub fn shards(dir: &Path) -> Result<Vec<String>> {
    let files: Vec<PathBuf> = weights::shards_named(dir, &dir.join(INDEX))?;
    Ok(files.iter().filter_map(|f| f.file_name()?.to_str().map(str::to_owned)).collect())
}
