//! Tercom's tokeniser as sacreBLEU 2.6 has it (`tokenizers/tokenizer_ter.py`): a chain of substitutions over the whole line, then
//! a split at white space.
//!
//! Two of its steps never do anything and are left out. The rules that would part hiragana and katakana from their neighbours are
//! tied to the start of the line, where the normalised line has a space. The possessive `'s` at the end of the line is
//! likewise always followed by a space.

use super::TerOptions;
use crate::space::is_space;

/// Calls `word` with every word of a hypothesis, in order.
pub(super) fn words(segment: &str, options: &TerOptions, mut word: impl FnMut(&str)) {
    let mut line = segment.trim_end_matches(is_space).to_owned();
    if !options.case_sensitive {
        line = if line.is_ascii() { line.to_ascii_lowercase() } else { line.to_lowercase() };
    }
    if options.normalized {
        line = normalize(&line);
        if options.asian_support {
            line = surround(&line, |c| is_asian(c) || is_asian_punctuation(c));
        }
    }
    if options.no_punct {
        line.retain(|c| !matches!(c, '.' | ',' | '?' | ':' | ';' | '!' | '"' | '(' | ')'));
        if options.asian_support {
            line.retain(|c| !is_asian_punctuation(c));
        }
    }
    line.split(is_space).filter(|w| !w.is_empty()).for_each(&mut word);
}

/// The same of a reference, which sacreBLEU tokenises twice over (`_cache_references`, `_extract_reference_info`). That shows where
/// normalisation leaves text that it would change again, such as `&amp;amp;`.
pub(super) fn reference_words(segment: &str, options: &TerOptions, word: impl FnMut(&str)) {
    if !options.normalized {
        return words(segment, options, word);
    }
    let mut once = String::with_capacity(2 * segment.len());
    words(segment, options, |w| {
        once.push_str(w);
        once.push(' ');
    });
    words(&once, options, word);
}

/// Joins lines, resolves four XML entities and sets punctuation apart. The order of the steps counts: `&amp;lt;` ends as `<`.
fn normalize(line: &str) -> String {
    let joined = line.replace("\n-", "").replace('\n', " ");
    let plain = joined.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    let apart = surround(&format!(" {plain} "), |c| matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/'));
    let apart = apart.replace("'s ", " 's ");
    let apart = stops_after_other_than_digits(&apart);
    let apart = stops_before_other_than_digits(&apart);
    dashes_after_digits(&apart)
}

fn surround(line: &str, set: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(2 * line.len());
    for c in line.chars() {
        if set(c) {
            out.extend([' ', c, ' ']);
        } else {
            out.push(c);
        }
    }
    out
}

fn is_stop(c: char) -> bool {
    matches!(c, '.' | ',')
}

/// `([^0-9])([.,])` → `\1 \2 `. A match eats both characters, so in a run of stops only every second pair counts.
fn stops_after_other_than_digits(line: &str) -> String {
    let mut out = String::with_capacity(2 * line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if !c.is_ascii_digit()
            && let Some(stop) = chars.next_if(|&c| is_stop(c))
        {
            out.extend([' ', stop, ' ']);
        }
    }
    out
}

/// `([.,])([^0-9])` → ` \1 \2`. Again a match eats both.
fn stops_before_other_than_digits(line: &str) -> String {
    let mut out = String::with_capacity(2 * line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if is_stop(c)
            && let Some(next) = chars.next_if(|c| !c.is_ascii_digit())
        {
            out.extend([' ', c, ' ', next]);
        } else {
            out.push(c);
        }
    }
    out
}

/// `([0-9])(-)` → `\1 \2 `.
fn dashes_after_digits(line: &str) -> String {
    let mut out = String::with_capacity(2 * line.len());
    let mut after_digit = false;
    for c in line.chars() {
        if c == '-' && after_digit {
            out.push_str(" - ");
        } else {
            out.push(c);
        }
        after_digit = c.is_ascii_digit();
    }
    out
}

/// Characters that become words of their own.
fn is_asian(c: char) -> bool {
    matches!(c,
        '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' // CJK unified ideographs, extension A
        | '\u{31c0}'..='\u{31ef}' | '\u{2e80}'..='\u{2eff}' // strokes, radicals supplement
        | '\u{3300}'..='\u{33ff}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}' // compatibility
        | '\u{3200}'..='\u{32ff}') // enclosed letters and months
}

fn is_asian_punctuation(c: char) -> bool {
    matches!(c,
        '\u{3001}' | '\u{3002}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301f}' | '\u{ff61}'..='\u{ff65}' | '\u{30fb}'
        | '．' | '，' | '？' | '：' | '；' | '！' | '＂' | '（' | '）')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(segment: &str, options: TerOptions) -> String {
        let mut out = Vec::new();
        words(segment, &options, |w| out.push(w.to_owned()));
        out.join(" ")
    }

    /// Lines as sacreBLEU 2.6.0's `TercomTokenizer` gives them.
    #[test]
    fn tokens_are_sacrebleus() {
        let plain = TerOptions::default();
        let normalized = TerOptions { normalized: true, case_sensitive: true, ..plain };
        let asian = TerOptions { asian_support: true, ..normalized };
        for (options, line, expected) in [
            (plain, "The CAT's\u{1c}İ\u{a0}ΑΣ \u{1f}", "the cat's i\u{307} ας"),
            (TerOptions { no_punct: true, ..plain }, "(No.) \"Why?!\"; a:b, 3.5-", "no why ab 35-"),
            (normalized, "Ann's 1,000.5... a.-b, 10-20 'S [x]'s", "Ann 's 1,000.5 . . . a . -b , 10 - 20 'S [ x ] 's"),
            (normalized, "&amp;lt; re\n-read\nnow 5. 6,", "< reread now 5 . 6 ,"),
            (asian, "漢字かなABC。x㿿", "漢 字 かなABC 。 x 㿿"),
            (TerOptions { no_punct: true, ..asian }, "漢字、かな（A）", "漢 字 かな A"),
        ] {
            assert_eq!(tokens(line, options), expected, "{line:?}");
        }
    }
}
