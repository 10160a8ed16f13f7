//! Porter's stemmer (Porter 1980, "An algorithm for suffix stripping") with NLTK's extensions, as `nltk.stem.PorterStemmer()` has it
//! by default and rouge_score uses it. Not Porter2, which Snowball calls `english`.
//!
//! A word is a string over `a-z0-9`; digits are consonants. Of a list of rules the first whose suffix the word has decides: if
//! its condition fails, the word stays as it is.

/// Replaces a word by its stem.
pub fn stem(word: &mut Vec<u8>) {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(irregular, _)| irregular.as_bytes() == word.as_slice()) {
        replace(word, 0, stem);
        return;
    }
    if word.len() <= 2 {
        return;
    }
    plurals(word);
    participles(word);
    final_y(word);
    suffixes(word);
    apply(word, STEP_3);
    apply(word, STEP_4);
    final_e(word);
    if word.ends_with(b"ll") && measure(&word[..word.len() - 1]) > 1 {
        word.pop();
    }
}

/// What must hold of the word without the suffix.
#[derive(Clone, Copy)]
enum If {
    /// m > n, with m the word's [`measure`].
    Measure(usize),
    /// m > 1 and the last letter is `s` or `t`.
    AfterSOrT,
    /// m > 0, where the suffix's first letter counts as the stem's: short stems as `geo` are stems too.
    WithOneLetter,
}

struct Rule(&'static str, &'static str, If);

const fn when(least: usize, suffix: &'static str, replacement: &'static str) -> Rule {
    Rule(suffix, replacement, If::Measure(least))
}

#[rustfmt::skip]
const IRREGULAR: &[(&str, &str)] = &[
    ("sky", "sky"), ("skies", "sky"), ("dying", "die"), ("lying", "lie"), ("tying", "tie"), ("news", "news"),
    ("innings", "inning"), ("inning", "inning"), ("outings", "outing"), ("outing", "outing"), ("cannings", "canning"),
    ("canning", "canning"), ("howe", "howe"), ("proceed", "proceed"), ("exceed", "exceed"), ("succeed", "succeed"),
];

#[rustfmt::skip]
const STEP_2: &[Rule] = &[
    when(0, "ational", "ate"), when(0, "tional", "tion"), when(0, "enci", "ence"), when(0, "anci", "ance"), when(0, "izer", "ize"),
    when(0, "bli", "ble"), when(0, "entli", "ent"), when(0, "eli", "e"), when(0, "ousli", "ous"),
    when(0, "ization", "ize"), when(0, "ation", "ate"), when(0, "ator", "ate"), when(0, "alism", "al"), when(0, "iveness", "ive"),
    when(0, "fulness", "ful"), when(0, "ousness", "ous"), when(0, "aliti", "al"), when(0, "iviti", "ive"), when(0, "biliti", "ble"),
    when(0, "fulli", "ful"), Rule("logi", "log", If::WithOneLetter),
];

#[rustfmt::skip]
const STEP_3: &[Rule] = &[
    when(0, "icate", "ic"), when(0, "ative", ""), when(0, "alize", "al"), when(0, "iciti", "ic"), when(0, "ical", "ic"),
    when(0, "ful", ""), when(0, "ness", ""),
];

#[rustfmt::skip]
const STEP_4: &[Rule] = &[
    when(1, "al", ""), when(1, "ance", ""), when(1, "ence", ""), when(1, "er", ""), when(1, "ic", ""), when(1, "able", ""),
    when(1, "ible", ""), when(1, "ant", ""), when(1, "ement", ""), when(1, "ment", ""), when(1, "ent", ""),
    Rule("ion", "", If::AfterSOrT), when(1, "ou", ""), when(1, "ism", ""), when(1, "ate", ""), when(1, "iti", ""),
    when(1, "ous", ""), when(1, "ive", ""), when(1, "ize", ""),
];

fn apply(word: &mut Vec<u8>, rules: &[Rule]) {
    let Some(Rule(suffix, replacement, condition)) = rules.iter().find(|rule| word.ends_with(rule.0.as_bytes())) else { return };
    let at = word.len() - suffix.len();
    let holds = match condition {
        If::Measure(least) => measure(&word[..at]) > *least,
        If::AfterSOrT => measure(&word[..at]) > 1 && matches!(word[..at], [.., b's' | b't']),
        If::WithOneLetter => measure(&word[..at + 1]) > 0,
    };
    if holds {
        replace(word, at, replacement);
    }
}

/// Replaces everything from `at` on.
fn replace(word: &mut Vec<u8>, at: usize, end: &str) {
    word.truncate(at);
    word.extend_from_slice(end.as_bytes());
}

/// Step 1a; NLTK keeps `ie` in words of four letters: `dies` → `die`, but `flies` → `fli`.
fn plurals(word: &mut Vec<u8>) {
    let drop = match word.as_slice() {
        [.., b's', b's', b'e', b's'] => 2,
        [_, b'i', b'e', b's'] => 1,
        [.., b'i', b'e', b's'] => 2,
        [.., b's', b's'] => 0,
        [.., b's'] => 1,
        _ => 0,
    };
    word.truncate(word.len() - drop);
}

/// Step 1b; NLTK adds `died` → `die`, `spied` → `spi`.
fn participles(word: &mut Vec<u8>) {
    let length = word.len();
    match word.as_slice() {
        [_, b'i', b'e', b'd'] => word.truncate(length - 1),
        [.., b'i', b'e', b'd'] => word.truncate(length - 2),
        [stem @ .., b'e', b'e', b'd'] if measure(stem) > 0 => word.truncate(length - 1),
        [.., b'e', b'e', b'd'] => {}
        [stem @ .., b'e', b'd'] if has_vowel(stem) => repair(word, length - 2),
        [stem @ .., b'i', b'n', b'g'] if has_vowel(stem) => repair(word, length - 3),
        _ => {}
    }
}

/// The rest of step 1b: cuts the word to `length` and gives it an ending that later steps know.
fn repair(word: &mut Vec<u8>, length: usize) {
    word.truncate(length);
    match word.as_slice() {
        [.., b'a', b't'] | [.., b'b', b'l'] | [.., b'i', b'z'] => word.push(b'e'),
        // after two equal consonants the next rule never applies
        [.., a, b] if a == b && !matches!(b, b'l' | b's' | b'z') && is_consonant(word, length - 1) => word.truncate(length - 1),
        _ if measure(word) == 1 && ends_short(word) => word.push(b'e'),
        _ => {}
    }
}

/// Step 1c in NLTK's form: `happy` → `happi`, but `enjoy` and `by` stay.
fn final_y(word: &mut [u8]) {
    if let [stem @ .., b'y'] = &*word
        && stem.len() > 1
        && is_consonant(stem, stem.len() - 1)
    {
        let last = word.len() - 1;
        word[last] = b'i';
    }
}

/// Step 2; NLTK applies `alli` → `al` first, then the other rules to what is left.
fn suffixes(word: &mut Vec<u8>) {
    if let [stem @ .., b'a', b'l', b'l', b'i'] = word.as_slice()
        && measure(stem) > 0
    {
        word.truncate(word.len() - 2);
    }
    apply(word, STEP_2);
}

/// Step 5a: both conditions are tried, unlike in a list of rules.
fn final_e(word: &mut Vec<u8>) {
    if let [stem @ .., b'e'] = word.as_slice()
        && (measure(stem) > 1 || (measure(stem) == 1 && !ends_short(stem)))
    {
        word.pop();
    }
}

fn is_vowel(letter: u8) -> bool {
    matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u')
}

/// Whether each letter in turn is a consonant: `y` is one at the beginning and after a vowel.
fn consonants(word: &[u8]) -> impl Iterator<Item = bool> {
    word.iter().scan(false, |before, &letter| {
        *before = if letter == b'y' { !*before } else { !is_vowel(letter) };
        Some(*before)
    })
}

fn is_consonant(word: &[u8], at: usize) -> bool {
    consonants(&word[..=at]).last() == Some(true)
}

fn has_vowel(word: &[u8]) -> bool {
    consonants(word).any(|consonant| !consonant)
}

/// Porter's m: how often a vowel is followed by a consonant.
fn measure(word: &[u8]) -> usize {
    let mut after_vowel = false;
    consonants(word).filter(|&consonant| std::mem::replace(&mut after_vowel, !consonant) && consonant).count()
}

/// Porter's *o: the end is consonant, vowel, consonant, the last not `w`, `x`, `y`. NLTK adds two letters, vowel and consonant.
fn ends_short(word: &[u8]) -> bool {
    let mut last = [true; 3];
    for consonant in consonants(word) {
        last = [last[1], last[2], consonant];
    }
    match word {
        [_, _] => last[1..] == [false, true],
        [.., _, _, end] => last == [true, false, true] && !matches!(end, b'w' | b'x' | b'y'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stems by NLTK 3.10 of words that use every rule, with and without its condition.
    const STEMS: &str = include_str!("../../../fixtures/text/porter.tsv");

    #[test]
    fn stems_are_nltks() {
        let mut seen = 0;
        for line in STEMS.lines().filter(|line| !line.starts_with('#')) {
            let (word, expected) = line.split_once('\t').unwrap();
            let mut got = word.as_bytes().to_vec();
            stem(&mut got);
            assert_eq!(String::from_utf8(got).unwrap(), expected, "stem of `{word}`");
            seen += 1;
        }
        assert!(seen > 1000, "{seen} words");
    }
}
