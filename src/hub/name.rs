//! Names of repositories and their revisions, as the hub allows them: nothing else becomes part of a path or an address.

use crate::error::{Error, Result};
use std::path::Path;

/// The longest name, and the longest revision.
const LONGEST: usize = 96;
const LONGEST_REVISION: usize = 200;

/// A repository at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// `org/name`, or `name`.
    pub id: String,
    /// Branch, tag or commit.
    pub revision: String,
}

impl Name {
    /// Of `org/name`, `name` or either with `@revision`. Fails if it is no name: then it was a directory that is not there.
    pub fn parse(model: &Path, revision: Option<&str>) -> Result<Self> {
        let nothing = || {
            Error::new(format!("{}: no such directory, and no name of a repository", model.display())).hint(
                "`--model` takes a directory with config.json, tokenizer.json and model.safetensors, or `org/name` of the Hugging Face hub",
            )
        };
        let text = model.to_str().ok_or_else(nothing)?;
        let (id, own) = match text.split_once('@') {
            Some((id, own)) => (id, Some(own)),
            None => (text, None),
        };
        if !is_id(id) {
            return Err(nothing());
        }
        if let (Some(own), Some(asked)) = (own, revision) {
            return Err(Error::usage(format!("`{text}` names the revision `{own}`, `--revision` names `{asked}`")).hint("name one of them"));
        }
        let revision = own.or(revision).unwrap_or("main");
        if !is_revision(revision) {
            return Err(Error::usage(format!("`{}` is no revision", revision.escape_debug()))
                .hint("a revision is a branch, a tag, or the 40 figures of a commit"));
        }
        // a commit is a number, however its figures are written
        let lower = revision.to_ascii_lowercase();
        let revision = if is_commit(&lower) { lower } else { revision.to_owned() };
        Ok(Self { id: id.to_owned(), revision })
    }

    /// Its folder in the cache.
    pub fn folder(&self) -> String {
        format!("models--{}", self.id.replace('/', "--"))
    }

    /// Whether the revision is a commit itself.
    pub fn is_pinned(&self) -> bool {
        is_commit(&self.revision)
    }
}

/// Whether it is the full hash of a commit.
pub fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// As `validate_repo_id` of huggingface_hub.
fn is_id(id: &str) -> bool {
    let parts: Vec<&str> = id.split('/').collect();
    let word = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let part = |p: &&str| {
        let bytes = p.as_bytes();
        word(bytes.first()) && word(bytes.last()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(b))
    };
    parts.len() <= 2 && id.len() <= LONGEST && parts.iter().all(part) && !id.contains("--") && !id.contains("..") && !id.ends_with(".git")
}

fn is_revision(text: &str) -> bool {
    let part = |p: &str| !p.is_empty() && !p.starts_with('.') && !p.ends_with('.') && !p.contains("..");
    let letter = |c: char| c.is_ascii_alphanumeric() || "_-./+".contains(c);
    text.len() <= LONGEST_REVISION && text.chars().all(letter) && text.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, revision: Option<&str>) -> Result<(String, String)> {
        Name::parse(Path::new(text), revision).map(|n| (n.id, n.revision))
    }

    #[test]
    fn names_and_revisions() {
        let ok = |text, revision, id: &str, at: &str| assert_eq!(parse(text, revision).unwrap(), (id.to_owned(), at.to_owned()));
        ok("gpt2", None, "gpt2", "main");
        ok("org/na-me_1.5", None, "org/na-me_1.5", "main");
        ok("org/name@v2", None, "org/name", "v2");
        ok("org/name", Some("refs/pr/1"), "org/name", "refs/pr/1");
        let commit = "0123456789abcdef0123456789abcdef01234567";
        ok("org/name@0123456789ABCDEF0123456789abcdef01234567", None, "org/name", commit);
        ok("org/name@V2-ABC", None, "org/name", "V2-ABC");
        assert_eq!(Name::parse(Path::new("org/name"), None).unwrap().folder(), "models--org--name");
        assert_eq!(Name::parse(Path::new("gpt2"), None).unwrap().folder(), "models--gpt2");
        let both = parse("org/name@v2", Some("v3")).unwrap_err();
        assert_eq!((both.exit_code(), both.message()), (2, "`org/name@v2` names the revision `v2`, `--revision` names `v3`"));
    }

    #[test]
    fn what_is_no_name_is_no_path() {
        for text in [
            "../x", "a/b/c", "/a", "./a", "a/", "a//b", "", "a/..", "..", ".", "-a", "a-", "a/.b", "a--b", "a..b", "a b", "a.git", "ü",
            "a\\b", "a/b\n", "~",
        ] {
            let error = parse(text, None).unwrap_err();
            assert!(error.message().ends_with("no such directory, and no name of a repository"), "{text}: {error}");
        }
        for revision in ["", "..", "a/../b", "../a", "/a", "a/", ".hidden", "a\nb", "a b", "a%2e", "a?b", "a#b"] {
            assert_eq!(parse("org/name", Some(revision)).unwrap_err().exit_code(), 2, "{revision}");
            assert!(parse(&format!("org/name@{revision}"), None).is_err(), "{revision}");
        }
        assert!(is_commit(&"0a".repeat(20)) && !is_commit(&"0A".repeat(20)) && !is_commit("abc"));
    }
}
