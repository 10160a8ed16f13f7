//! Words of any script, which rouge_score does not know.
//!
//! A word is a run of letters, marks and numbers that begins with a letter or number. Characters of Chinese and Japanese, which are
//! written without spaces, are a word each, with the marks after them. There is no normalisation: `é` in one character and in two
//! are different words.

use regex::Regex;
use std::sync::LazyLock;

static WORD: LazyLock<Regex> = LazyLock::new(|| {
    let alone = r"[\p{L}\p{N}&&[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Bopomofo}]]";
    let pattern = format!(r"{alone}\p{{M}}*|[\p{{L}}\p{{N}}--{alone}][\p{{L}}\p{{M}}\p{{N}}--{alone}]*");
    Regex::new(&pattern).unwrap_or_else(|e| unreachable!("{e}"))
});

/// The words of a text that is lower-cased already.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    WORD.find_iter(text).map(|word| word.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn letters_marks_and_numbers() {
        check("crème brûlée’s 3.5% _x_ x² ½ ⅷ", &["crème", "brûlée", "s", "3", "5", "x", "x²", "½", "ⅷ"]);
        check("cafe\u{301} e\u{301}\u{323}a \u{301}b", &["cafe\u{301}", "e\u{301}\u{323}a", "b"]);
        check("हिन्दी العَرَبِيَّة עִבְרִית ١٢٣", &["हिन्दी", "العَرَبِيَّة", "עִבְרִית", "١٢٣"]);
        check("🙂 → \u{feff}", &[]);
    }

    #[test]
    fn chinese_and_japanese_characters_are_words() {
        check("北京2008年，gpu。", &["北", "京", "2008", "年", "gpu"]);
        check("ラーメン々か\u{3099}〇", &["ラ", "ー", "メ", "ン", "々", "か\u{3099}", "〇"]);
        check("한국어 문장", &["한국어", "문장"]);
    }
}
