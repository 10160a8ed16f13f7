//! The tokenisers as sacreBLEU runs them: rewriting the line, pass after pass.

use super::{Tokenizer, is_space};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

pub fn words(tokenizer: Tokenizer, text: &str) -> Vec<String> {
    let text = text.trim_end_matches(is_space);
    let line = match tokenizer {
        Tokenizer::V13a => western(format!(" {} ", plain(text)).chars().collect()),
        Tokenizer::Intl => international(text.chars().collect()),
        Tokenizer::Char => spaced(&text.chars().collect::<Vec<_>>(), |_| true),
        Tokenizer::Zh => {
            let text: Vec<char> = text.trim_matches(is_space).chars().collect();
            western(spaced(&text, |c| super::zh::class(c) != super::mteval::class(c)))
        }
        Tokenizer::None => text.chars().collect(),
    };
    let line: String = line.into_iter().collect();
    line.split(is_space).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

fn plain(line: &str) -> String {
    let line = line.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    line.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
}

fn western(line: Vec<char>) -> Vec<char> {
    let stop = |c| c == '.' || c == ',';
    let digit = |c: char| c.is_ascii_digit();
    let line = spaced(&line, |c| matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/'));
    let line = pairs(&line, |c| !digit(c), stop, ["", " ", " "]);
    let line = pairs(&line, stop, |c| !digit(c), [" ", " ", ""]);
    pairs(&line, digit, |c| c == '-', ["", " ", " "])
}

fn international(line: Vec<char>) -> Vec<char> {
    let is = |group| move |c: char| c.general_category_group() == group;
    let (stop, symbol, number) =
        (is(GeneralCategoryGroup::Punctuation), is(GeneralCategoryGroup::Symbol), is(GeneralCategoryGroup::Number));
    let line = pairs(&line, |c| !number(c), stop, ["", " ", " "]);
    let line = pairs(&line, stop, |c| !number(c), [" ", " ", ""]);
    spaced(&line, symbol)
}

/// Every character that `is` so, between two spaces.
fn spaced(line: &[char], is: impl Fn(char) -> bool) -> Vec<char> {
    line.iter().flat_map(|&c| if is(c) { vec![' ', c, ' '] } else { vec![c] }).collect()
}

/// Every two neighbours that are `first` and `second`, with what is put before, between and after them; no match overlaps another.
fn pairs(line: &[char], first: impl Fn(char) -> bool, second: impl Fn(char) -> bool, put: [&str; 3]) -> Vec<char> {
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(&a) = line.get(at) {
        match line.get(at + 1) {
            Some(&b) if first(a) && second(b) => {
                out.extend(format!("{}{a}{}{b}{}", put[0], put[1], put[2]).chars());
                at += 2;
            }
            _ => {
                out.push(a);
                at += 1;
            }
        }
    }
    out
}
