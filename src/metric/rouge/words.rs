//! Texts as numbers of words.
//!
//! rouge_score 0.1.2 lower-cases the whole text, takes runs of `a-z0-9` as words and, with a stemmer, stems those longer than three
//! characters. Of all characters beyond ASCII only two have a lower case with an ASCII letter in it: U+0130 `İ` becomes `i` and
//! a combining dot, which ends the word, and U+212A, the Kelvin sign, becomes `k`.

use super::porter;
use super::unicode;
use crate::metric::ngram::Words;
use rustc_hash::FxHashMap;
use std::borrow::Cow;

/// Which words a text has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Words are stemmed.
    pub stem: bool,
    /// Words are runs of letters of any script, not of `a-z0-9`.
    pub unicode: bool,
}

/// Numbers words; each distinct one is stemmed once.
#[derive(Debug)]
pub(super) struct Vocabulary {
    rules: Rules,
    /// lower-cased words of `a-z0-9`, up to 16 of them as the bytes of an integer, to the numbers of their stems
    short: FxHashMap<u128, u32>,
    /// all other words
    long: FxHashMap<Box<[u8]>, u32>,
    stems: Words,
}

impl Vocabulary {
    pub fn new(rules: Rules) -> Self {
        Self { rules, short: FxHashMap::default(), long: FxHashMap::default(), stems: Words::default() }
    }

    /// Appends the numbers of the words of `text`; equal numbers are equal stems.
    pub fn read(&mut self, text: &str, out: &mut Vec<u32>) {
        if !self.rules.unicode || text.is_ascii() {
            ascii_words(with_ascii_lower_case(text).as_bytes(), |key, word| out.push(self.number_of_ascii(key, word)));
        } else {
            out.extend(unicode::words(&text.to_lowercase()).map(|word| self.number(word.as_bytes())));
        }
    }

    fn number_of_ascii(&mut self, key: u128, word: &[u8]) -> u32 {
        if word.len() > 16 {
            return self.number(&word.to_ascii_lowercase());
        }
        if let Some(&number) = self.short.get(&key) {
            return number;
        }
        let number = self.number_of_stem(&word.to_ascii_lowercase());
        self.short.insert(key, number);
        number
    }

    fn number(&mut self, word: &[u8]) -> u32 {
        if let Some(&number) = self.long.get(word) {
            return number;
        }
        let number = self.number_of_stem(word);
        self.long.insert(word.into(), number);
        number
    }

    fn number_of_stem(&mut self, word: &[u8]) -> u32 {
        if !(self.rules.stem && word.len() > 3 && word.iter().all(u8::is_ascii_alphanumeric)) {
            return self.stems.number(word);
        }
        let mut stem = word.to_vec();
        porter::stem(&mut stem);
        self.stems.number(&stem)
    }
}

/// Whether `text` has characters, but no word for rouge_score, as a text in Chinese or Greek: its scores are 0.
pub fn has_no_ascii_words(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(|c: char| c.is_ascii_alphanumeric() || matches!(c, '\u{130}' | '\u{212a}'))
}

/// Calls `take` with each run of `a-zA-Z0-9`, before it its last 16 bytes in lower case.
fn ascii_words(text: &[u8], mut take: impl FnMut(u128, &[u8])) {
    let (mut key, mut start) = (0, 0);
    for (at, &byte) in text.iter().enumerate() {
        let lower = LOWER[usize::from(byte)];
        if lower != 0 {
            key = key << 8 | u128::from(lower);
            continue;
        }
        if key != 0 {
            take(key, &text[start..at]);
            key = 0;
        }
        start = at + 1;
    }
    if key != 0 {
        take(key, &text[start..]);
    }
}

/// Letters and digits of ASCII in lower case, 0 for all other bytes.
static LOWER: [u8; 256] = {
    let mut lower = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            lower[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    lower
};

/// Replaces the two characters beyond ASCII whose lower case has an ASCII letter.
fn with_ascii_lower_case(text: &str) -> Cow<'_, str> {
    match !text.is_ascii() && text.contains(['\u{130}', '\u{212a}']) {
        true => text.replace('\u{130}', "i\u{307}").replace('\u{212a}', "k").into(),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, rules: Rules) -> Vec<u32> {
        let mut out = Vec::new();
        Vocabulary::new(rules).read(text, &mut out);
        out
    }

    #[test]
    fn only_ascii_letters_and_digits_make_words() {
        let plain = Rules { stem: false, unicode: false };
        let same = |a: &str, b: &str| assert_eq!(words(&format!("{a}|{b}"), plain), words(&format!("{b}|{b}"), plain), "{a}");
        same("Crème Brûlée’s", "cr me br l e s"); // accented letters split words
        same("\u{212a}elvin \u{212a}", "kelvin k");
        same("\u{130}stanbul", "i stanbul");
        same("e\u{301}a ΣΑΣ _x_ 3.5%", "e a x 3 5");
        assert!(words("北京 Ω ½ ٣ …\n", plain).is_empty());
        // longer than a key
        assert_eq!(words("a23456789012345678 b23456789012345678 A23456789012345678 23456789012345678", plain), [0, 1, 0, 2]);
        assert_eq!(words("a2345678901234567 b2345678901234567 2345678901234567", plain), [0, 1, 2]);
    }

    #[test]
    fn words_longer_than_three_characters_are_stemmed() {
        let stemmed = Rules { stem: true, unicode: false };
        assert_eq!(words("Skies skies SKY sky dies die ties tie", stemmed), [0, 0, 0, 0, 1, 1, 2, 2]);
        assert_eq!(words("was wa uses use sky skies", stemmed), [0, 1, 2, 2, 3, 3]); // `was` is too short
    }

    #[test]
    fn unicode_words_are_stemmed_only_in_ascii() {
        let rules = Rules { stem: true, unicode: true };
        assert_eq!(words("boats Boat ΣΑΣ σας cafés café", rules), [0, 0, 1, 1, 2, 3]);
    }

    #[test]
    fn warns_of_texts_without_words() {
        assert!(has_no_ascii_words("北京是中国的首都") && has_no_ascii_words(" … ") && has_no_ascii_words("Ω"));
        assert!(!has_no_ascii_words("") && !has_no_ascii_words(" \n\u{3000}") && !has_no_ascii_words("北京 2008"));
        assert!(!has_no_ascii_words("\u{212a}") && !has_no_ascii_words("\u{130}"));
    }
}
