//! Models by name: `org/name` as the Hugging Face hub calls them, found in the cache that its tools share, fetched only when asked.
//!
//! | question | file |
//! |---|---|
//! | which variables of the environment count? | `env` |
//! | what is a name, and a revision? | `name` |
//! | is it in the cache, and is it whole? | `cache` |
//! | how does what is missing get there? | `fetch` |
//! | how do bytes come from a server, and whom does the token see? | `transfer` |
//! | are they what their name says? | `sum` |
//!
//! The cache is `models--org--name` with `refs/REVISION` (a commit), `snapshots/COMMIT/FILE` (links) and `blobs/ETAG` (the files), as
//! huggingface_hub lays it out: <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>. A directory of the name always goes first.

mod cache;
mod env;
#[cfg(feature = "hub")]
mod fetch;
mod name;
#[cfg(feature = "hub")]
mod sum;
#[cfg(feature = "hub")]
mod transfer;

pub use env::Env;
pub use name::Name;

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// A directory, `org/name`, `name` or `org/name@revision`.
    pub model: &'a Path,
    /// Branch, tag or commit of a name; none: `main`.
    pub revision: Option<&'a str>,
    /// Whether what is missing may be fetched.
    pub download: bool,
    /// Whether weights are needed: made-up ones need config.json alone.
    pub weights: bool,
}

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The directory that was named, or a snapshot of the cache.
    pub dir: PathBuf,
    /// What it is a snapshot of.
    pub snapshot: Option<Snapshot>,
}

/// A state of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// `org/name`, or `name`.
    pub name: String,
    /// The commit.
    pub commit: String,
}

impl std::fmt::Display for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name, self.commit)
    }
}

impl Found {
    fn directory(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), snapshot: None }
    }
}

/// Sees what is fetched.
pub trait Watch {
    /// A file of so many bytes begins.
    fn begin(&self, file: &str, bytes: Option<u64>);
    /// So many bytes of it are there.
    fn reach(&self, bytes: u64);
    /// Something that is worth a line.
    fn note(&self, line: &str);
}

/// The directory of what is asked for: one that exists, else a whole snapshot of the cache, after fetching what is missing if that is wanted.
///
/// Fails with the remedy where there is neither, where the cache has only a part, and for names that no repository can have; such a name
/// never becomes part of a path.
pub fn find(request: &Request, env: &Env, watch: &dyn Watch) -> Result<Found> {
    if request.model.is_dir() {
        return match request.revision {
            None => Ok(Found::directory(request.model)),
            Some(_) => Err(Error::usage(format!("`--revision` is for names, `{}` is a directory", request.model.display()))
                .hint("leave it out; a repository of that name is found where no directory is in the way")),
        };
    }
    if request.model.exists() {
        return Err(Error::new(format!("{}: a file, not a directory", request.model.display()))
            .hint("`--model` takes the directory with config.json, tokenizer.json and model.safetensors"));
    }
    let name = Name::parse(request.model, request.revision)?;
    if !request.download {
        return cache::look(&name, env, request.weights);
    }
    if let Some(variable) = env.offline {
        return Err(Error::usage(format!("`--download` contradicts {variable}")).hint("leave out one of them"));
    }
    fetched(&name, env, request.weights, watch)
}

#[cfg(feature = "hub")]
fn fetched(name: &Name, env: &Env, weights: bool, watch: &dyn Watch) -> Result<Found> {
    match fetch::fetch(name, env, weights, watch) {
        Ok(()) => cache::look(name, env, weights),
        Err(fetch::Trouble::Unreachable(error)) => match cache::look(name, env, weights) {
            Ok(found) => {
                watch.note(&format!("warning: {error}; `{}` is taken from the cache", name.id));
                Ok(found)
            }
            Err(_) => Err(error),
        },
        Err(fetch::Trouble::Broken(error) | fetch::Trouble::Other(error)) => Err(error),
    }
}

#[cfg(not(feature = "hub"))]
fn fetched(name: &Name, _: &Env, _: bool, _: &dyn Watch) -> Result<Found> {
    Err(Error::usage("this program was built without `--download`")
        .hint(format!("fetch it into the cache with `hf download {}`, or build with the feature `hub`", name.id)))
}
