//! Punkt's words: what NLTK's `PunktLanguageVars` takes for one, and the type it counts them by.

use crate::space::is_space;
use regex::Regex;
use std::borrow::Cow;
use std::sync::LazyLock;

/// Characters that end a word and a sentence's context: quotes, brackets and some punctuation, no full stop or comma.
pub(super) fn is_non_word(c: char) -> bool {
    matches!(c, ')' | '"' | ';' | '}' | ']' | '*' | ':' | '@' | '\'' | '(' | '{' | '[' | '?' | '!' | '‘' | '’' | '“' | '”' | '«' | '»')
}

fn may_begin_word(c: char) -> bool {
    !matches!(c, '(' | '"' | '`' | '{' | '[' | ':' | ';' | '&' | '#' | '*' | '@' | ')' | '}' | ']' | '-' | ',')
}

/// The words of a text, line after line.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').filter(|line| !line.chars().all(is_space)).flat_map(|line| {
        let mut rest = line;
        std::iter::from_fn(move || {
            rest = rest.trim_start();
            let (word, after) = rest.split_at(word_length(rest)?);
            rest = after;
            Some(word)
        })
    })
}

/// How long the word is with which `text` begins; `None` at the end.
fn word_length(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    if let Some(length) = marks_length(text) {
        return Some(length);
    }
    if !may_begin_word(first) {
        return Some(first.len_utf8());
    }
    let ends = |(at, c): &(usize, char)| ends_word(*c, &text[*at..]);
    Some(text.char_indices().skip(1).find(ends).map_or(text.len(), |(at, _)| at))
}

/// Whether a word ends before `rest`, which begins with `c`.
fn ends_word(c: char, rest: &str) -> bool {
    let stops = |c: char, rest: &str| c.is_whitespace() || is_non_word(c) || marks_length(rest).is_some();
    let comma_ends = || rest[1..].chars().next().is_none_or(|next| stops(next, &rest[1..]));
    stops(c, rest) || (c == ',' && comma_ends())
}

/// Length of the marks of several characters with which `text` begins: `--`, `...`, `. . .`.
fn marks_length(text: &str) -> Option<usize> {
    let run = |mark: char| text.len() - text.trim_start_matches(mark).len();
    match text.as_bytes().first()? {
        b'-' => Some(run('-')).filter(|&n| n >= 2),
        b'.' if text[1..].starts_with('.') => Some(run('.')),
        b'.' => spaced_stops(text),
        _ => None,
    }
}

/// Length of three or more full stops with one white space between each two.
fn spaced_stops(text: &str) -> Option<usize> {
    let (mut stops, mut length) = (1, 1);
    let mut rest = text[1..].chars();
    while let (Some(space), Some('.')) = (rest.next().filter(|&c| c.is_whitespace()), rest.next()) {
        stops += 1;
        length += space.len_utf8() + 1;
    }
    (stops >= 3).then_some(length)
}

/// A word with what its form alone says of it.
#[derive(Debug)]
pub(super) struct Token<'t> {
    pub text: &'t str,
    /// lower case; `##number##` for numbers
    kind: Cow<'static, str>,
    pub is_abbreviation: bool,
    pub is_ellipsis: bool,
    pub ends_sentence: bool,
}

impl<'t> Token<'t> {
    /// The first pass (Kiss and Strunk 2006, section 3): `is_abbreviation` tells of a word in lower case, without its full stop.
    pub fn new(text: &'t str, is_abbreviation: impl Fn(&str) -> bool) -> Self {
        let lower = text.to_lowercase();
        let kind = if NUMBER.is_match(&lower) { Cow::Borrowed("##number##") } else { Cow::Owned(lower) };
        let mut own = Self { text, kind, is_abbreviation: false, is_ellipsis: false, ends_sentence: false };
        if matches!(text, "." | "?" | "!") {
            own.ends_sentence = true;
        } else if text.len() > 1 && text.bytes().all(|b| b == b'.') {
            own.is_ellipsis = true;
        } else if let Some(word) = text.strip_suffix('.').filter(|word| !word.ends_with('.')) {
            let word = word.to_lowercase();
            own.is_abbreviation = is_abbreviation(&word) || word.rsplit('-').next().is_some_and(is_abbreviation);
            own.ends_sentence = !own.is_abbreviation;
        }
        own
    }

    pub fn kind_without_stop(&self) -> &str {
        self.kind.strip_suffix('.').filter(|kind| !kind.is_empty()).unwrap_or(&self.kind)
    }

    /// The type, without the full stop where that ends a sentence.
    pub fn kind(&self) -> &str {
        if self.ends_sentence { self.kind_without_stop() } else { &self.kind }
    }

    pub fn is_number(&self) -> bool {
        self.kind == "##number##"
    }

    /// One letter and a full stop.
    pub fn is_initial(&self) -> bool {
        INITIAL.is_match(self.text)
    }

    pub fn is_upper(&self) -> bool {
        self.text.starts_with(char::is_uppercase)
    }

    pub fn is_lower(&self) -> bool {
        self.text.starts_with(char::is_lowercase)
    }
}

static NUMBER: LazyLock<Regex> = LazyLock::new(|| regex(r"^-?[.,]?\p{Nd}[\p{Nd},.-]*$"));
static INITIAL: LazyLock<Regex> = LazyLock::new(|| regex(r"^[\w--\d]\.$"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|e| unreachable!("{e}"))
}
