//! Sentences by a few rules, for those who have no NLTK data. Not NLTK's sentences, nor meant to be.
//!
//! A sentence ends at a newline, and after `.`, `!`, `?` or `…` with the quotes and brackets that close behind them, where white
//! space follows and then an upper-case letter, a digit, or a quote or bracket that opens. It does not end after a full stop that
//! belongs to a common abbreviation (`Dr.`, `Fig.`), to an initial (`J.`), to letters with stops between them (`e.g.`, `U.S.`), or
//! to `No.` before a digit.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Abbreviations, in lower case, that rarely end a sentence.
static ABBREVIATIONS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "adm al approx apr aug ave bros ca capt cf ch chap cmdr co col corp dec dept dr ed eds eq eqs est etc feb fig figs ft gen gov hon inc \
     jan jr lt ltd maj messrs mr mrs ms mt nov oct op pp prof rd ref refs rep rev sec sen sep sept sgt sr st tab univ viz vol vols vs"
        .split_whitespace()
        .collect()
});

/// The sentences of `text`, without the white space between them where a rule cuts.
pub(super) fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(of_line)
}

fn of_line(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let (sentence, after) = match end(text) {
            Some(at) => (&text[..at], Some(text[at..].trim_start())),
            None => (text, None),
        };
        rest = after;
        Some(sentence)
    })
}

/// Where the first sentence of `text` ends, if another follows it.
fn end(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = text[from..].find(is_stop) {
        let stop = from + found;
        let behind = text[stop..].trim_start_matches(is_stop);
        let after = behind.trim_start_matches(closes);
        from = text.len() - after.len();
        let next = after.trim_start();
        let begins = next.len() < after.len() && next.starts_with(|c: char| c.is_uppercase() || c.is_numeric() || opens(c));
        let only = &text[stop..text.len() - behind.len()] == ".";
        if begins && !(only && is_abbreviation(&text[..stop], next)) {
            return Some(from);
        }
    }
    None
}

fn is_stop(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…')
}

fn closes(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '}' | '’' | '”' | '»' | '›')
}

fn opens(c: char) -> bool {
    matches!(c, '"' | '\'' | '(' | '[' | '{' | '‘' | '“' | '„' | '«' | '‹' | '¿' | '¡')
}

/// Whether the full stop behind `before` belongs to its last word.
fn is_abbreviation(before: &str, next: &str) -> bool {
    let word = before.rsplit(|c: char| !c.is_alphanumeric() && c != '.').next().unwrap_or_default();
    let letters = |word: &str| word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    if letters(word) || (word.contains('.') && word.split('.').all(letters)) {
        return true;
    }
    let word = word.to_lowercase();
    ABBREVIATIONS.contains(word.as_str()) || (matches!(word.as_str(), "no" | "nos") && next.starts_with(char::is_numeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(sentences(text).collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn after_stops_and_what_closes_behind_them() {
        check("It ends. It ends! Does it? It does… 3 ends.", &["It ends.", "It ends!", "Does it?", "It does…", "3 ends."]);
        check("(It ended.) “So?” she said. “Yes.”  «Ah!» ¿No?", &["(It ended.)", "“So?” she said.", "“Yes.”", "«Ah!»", "¿No?"]);
        check("a. b 3.5 ends.It ends?! Ends... Then", &["a. b 3.5 ends.It ends?!", "Ends...", "Then"]);
        check("one\n\ntwo. Three\n", &["one", "", "two.", "Three", ""]);
        check("", &[""]);
        check("...", &["..."]);
    }

    #[test]
    fn not_after_abbreviations_and_initials() {
        check(
            "Mr. Smith and J. S. Bach met Dr. Who (cf. Fig. 3) in the U.S. Army, i.e. Here. There",
            &["Mr. Smith and J. S. Bach met Dr. Who (cf. Fig. 3) in the U.S. Army, i.e. Here.", "There"],
        );
        check("See No. 5. No. So no. Jones et al. Vol. 2", &["See No. 5.", "No.", "So no.", "Jones et al. Vol. 2"]);
        check("It is 3. We left. He is etc.! Now", &["It is 3.", "We left.", "He is etc.!", "Now"]);
    }
}
