//! What a trained Punkt model knows, as NLTK stores it in `punkt_tab`.

use crate::error::{Error, Result};
use rustc_hash::{FxHashMap, FxHashSet};
use std::path::Path;

/// The four tables of a model; words are in lower case, numbers are `##number##`.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters {
    /// abbreviations, without their full stop
    abbreviations: FxHashSet<Box<str>>,
    /// words with a full stop between them that does not end a sentence: the second words of each first one
    collocations: FxHashMap<Box<str>, FxHashSet<Box<str>>>,
    /// words that often begin a sentence
    starters: FxHashSet<Box<str>>,
    /// in which places and cases a word was seen: a sum of the constants of [`seen`]
    contexts: FxHashMap<Box<str>, u32>,
}

/// Places where a word was seen with an upper-case or lower-case first letter.
pub(super) mod seen {
    /// Within a sentence, upper case.
    pub const INSIDE_UPPER: u32 = 1 << 2;
    /// At the beginning of a sentence, lower case.
    pub const FIRST_LOWER: u32 = 1 << 4;
    /// Anywhere, upper case: first, inside, or unknown where.
    pub const UPPER: u32 = 1 << 1 | INSIDE_UPPER | 1 << 3;
    /// Anywhere, lower case.
    pub const LOWER: u32 = FIRST_LOWER | 1 << 5 | 1 << 6;
}

impl Parameters {
    /// Reads `abbrev_types.txt`, `collocations.tab`, `sent_starters.txt` and `ortho_context.tab`.
    pub fn open(dir: &Path) -> Result<Self> {
        let mut own = Self::default();
        lines(dir, "abbrev_types.txt", |word| {
            own.abbreviations.insert(word.into());
            Some(())
        })?;
        lines(dir, "sent_starters.txt", |word| {
            own.starters.insert(word.into());
            Some(())
        })?;
        lines(dir, "collocations.tab", |line| {
            let (first, second) = line.split_once('\t')?;
            own.collocations.entry(first.into()).or_default().insert(second.into());
            Some(())
        })?;
        lines(dir, "ortho_context.tab", |line| {
            let (word, sum) = line.split_once('\t')?;
            own.contexts.insert(word.into(), sum.parse().ok()?);
            Some(())
        })?;
        Ok(own)
    }

    pub fn is_abbreviation(&self, word: &str) -> bool {
        self.abbreviations.contains(word)
    }

    pub fn is_collocation(&self, first: &str, second: &str) -> bool {
        self.collocations.get(first).is_some_and(|seconds| seconds.contains(second))
    }

    pub fn is_starter(&self, word: &str) -> bool {
        self.starters.contains(word)
    }

    /// Whether the word was seen in one of the `contexts`.
    pub fn was_seen(&self, word: &str, contexts: u32) -> bool {
        self.contexts.get(word).is_some_and(|seen| seen & contexts != 0)
    }
}

/// Hands the lines of a file on; `None` from `take` means the line is not as it should be.
fn lines(dir: &Path, name: &str, mut take: impl FnMut(&str) -> Option<()>) -> Result<()> {
    let fail = |what: String| {
        Error::new(format!("{name}: {what}")).within(dir).hint(
            "name NLTK's directory of the language, for instance ~/nltk_data/tokenizers/punkt_tab/english; \
             `python -m nltk.downloader punkt_tab` fetches it",
        )
    };
    let text = std::fs::read_to_string(dir.join(name)).map_err(|e| fail(crate::output::reason(&e)))?;
    for (number, line) in text.lines().enumerate() {
        take(line).ok_or_else(|| fail(format!("line {} is not two columns as `word<tab>…`", number + 1)))?;
    }
    Ok(())
}
