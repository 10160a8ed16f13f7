//! Punkt (Kiss and Strunk 2006, "Unsupervised Multilingual Sentence Boundary Detection"), as `nltk.sent_tokenize` of NLTK 3.10 applies a
//! trained model; rouge_score splits so with `split_summaries=True`. The model is the user's own copy of NLTK's `punkt_tab` data.
//!
//! NLTK before 3.10 does not take `‘’“”«»` for closing quotes.

mod parameters;
mod token;

use crate::error::Result;
use crate::space::is_space;
use parameters::{Parameters, seen};
use std::path::Path;
use token::{Token, is_non_word, words};

/// A trained model for one language.
#[derive(Debug, Clone)]
pub struct Punkt {
    parameters: Parameters,
}

/// A mark `.`, `?` or `!` that may end a sentence.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// where the word before begins
    word: usize,
    /// behind the mark
    stop: usize,
    /// where the next sentence would begin
    next: usize,
    /// behind the next word, or the punctuation behind the mark
    end: usize,
}

impl Punkt {
    /// Reads the directory of a language in NLTK's `punkt_tab`: `abbrev_types.txt`, `collocations.tab`, `ortho_context.tab`,
    /// `sent_starters.txt`. Fails if one of them is missing or no table.
    pub fn open(dir: &Path) -> Result<Self> {
        Ok(Self { parameters: Parameters::open(dir)? })
    }

    /// The sentences of `text`, without the white space between them.
    pub fn sentences<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut slices = Vec::new();
        let mut start = 0;
        for candidate in candidates(text) {
            if self.breaks(&text[candidate.word..candidate.end]) {
                slices.push((start, candidate.stop));
                start = candidate.next;
            }
        }
        slices.push((start, text.trim_end_matches(is_space).len().max(start)));
        realigned(text, &slices)
    }

    /// Whether a sentence ends in `context`, but for its last word.
    fn breaks(&self, context: &str) -> bool {
        let tokens: Vec<Token> = words(context).map(|word| Token::new(word, |kind| self.parameters.is_abbreviation(kind))).collect();
        tokens.windows(2).any(|pair| self.ends_sentence(&pair[0], &pair[1]))
    }

    /// The second pass (section 4 of the paper): whether a sentence ends between two words.
    fn ends_sentence(&self, token: &Token, next: &Token) -> bool {
        if !token.text.ends_with('.') {
            return token.ends_sentence;
        }
        // 4.1.2, collocations
        if self.parameters.is_collocation(token.kind_without_stop(), next.kind()) {
            return false;
        }
        let (initial, starts) = (token.is_initial(), self.starts_sentence(next));
        // 4.2, abbreviations and ellipses
        if (token.is_abbreviation || token.is_ellipsis) && !initial {
            let starter = next.is_upper() && self.parameters.is_starter(next.kind());
            if starts == Some(true) || starter {
                return true;
            }
        }
        // 4.3, initials and ordinals
        if initial || token.is_number() {
            let always_upper = initial && next.is_upper() && !self.parameters.was_seen(next.kind(), seen::LOWER);
            if starts == Some(false) || (starts.is_none() && always_upper) {
                return false;
            }
        }
        token.ends_sentence
    }

    /// 4.1.1, the orthographic heuristic: whether the word's case says that it begins a sentence, or that it does not.
    fn starts_sentence(&self, token: &Token) -> Option<bool> {
        if matches!(token.text, ";" | ":" | "," | "." | "!" | "?") {
            return Some(false);
        }
        let was_seen = |contexts| self.parameters.was_seen(token.kind(), contexts);
        if token.is_upper() && was_seen(seen::LOWER) && !was_seen(seen::INSIDE_UPPER) {
            return Some(true);
        }
        if token.is_lower() && (was_seen(seen::UPPER) || !was_seen(seen::FIRST_LOWER)) {
            return Some(false);
        }
        None
    }
}

/// All marks that may end a sentence; of several in one word the last.
fn candidates(text: &str) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    let (mut word, mut mark) = (0, 0);
    for (at, _) in text.match_indices(['.', '?', '!']) {
        let Some((next, end)) = after(text, at + 1) else { continue };
        // NLTK takes white space at the very beginning of the text for none
        let space = text[mark..at].rfind([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']).filter(|&space| space > 0);
        let begins = space.map_or(word, |space| mark + space + 1);
        if begins < mark {
            found.pop();
        }
        found.push(Candidate { word: begins, stop: at + 1, next, end });
        (word, mark) = (begins, at);
    }
    found
}

/// Behind a mark that ends at `stop`: where a next sentence would begin, and where the punctuation or the next word ends.
fn after(text: &str, stop: usize) -> Option<(usize, usize)> {
    let behind = &text[stop..];
    if let Some(mark) = behind.chars().next().filter(|&c| is_non_word(c)) {
        return Some((stop, stop + mark.len_utf8()));
    }
    let word = behind.trim_start();
    let next = text.len() - word.len();
    let length = word.find(char::is_whitespace).unwrap_or(word.len());
    (next > stop && length > 0).then_some((next, next + length))
}

/// Gives quotes and brackets with which a sentence begins to the one before, if they stand alone there.
fn realigned<'t>(text: &'t str, slices: &[(usize, usize)]) -> Vec<&'t str> {
    let mut sentences = Vec::new();
    let mut moved = 0;
    for (number, &(start, end)) in slices.iter().enumerate() {
        let start = start + moved;
        moved = 0;
        let sentence = text.get(start..end).unwrap_or_default();
        let Some(&(next, next_end)) = slices.get(number + 1) else {
            sentences.push(sentence);
            break;
        };
        match closing(&text[next..next_end]) {
            Some((closers, with_space)) => {
                sentences.push(text.get(start..next + closers).unwrap_or_default());
                moved = with_space;
            }
            None => sentences.push(sentence),
        }
    }
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

/// Length of the closing quotes and brackets with which `sentence` begins, alone and with the white space behind them, if white space,
/// `--` or nothing follows.
fn closing(sentence: &str) -> Option<(usize, usize)> {
    let rest = sentence.trim_start_matches(['"', '\'', ')', ']', '}', '‘', '’', '“', '”', '«', '»']);
    let closers = sentence.len() - rest.len();
    let spaces = rest.len() - rest.trim_start().len();
    (closers > 0 && (spaces > 0 || rest.is_empty() || rest.starts_with("--"))).then_some((closers, closers + spaces))
}
