//! Text in pictures and pages: how wide it is, where it breaks, and what must not be in it.

/// Escapes text for HTML and SVG, content and attributes; characters that neither may hold become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(allowed(c)),
        }
    }
    out
}

/// XML has no way to write most control characters.
pub fn allowed(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' => ' ',
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// About how wide text is in a wide sans-serif font of this size; that of the reader is seldom wider.
pub fn width(text: &str, size: f64) -> f64 {
    text.chars().map(em).sum::<f64>() * size
}

fn em(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '\'' => 0.29,
        ' ' | ',' | '.' | ':' | ';' | '·' | '|' | '/' | 'I' | 'J' | '-' => 0.37,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '!' => 0.42,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '—' | '…' => 1.0,
        'A'..='Z' | '&' => 0.76,
        '+' | '<' | '=' | '>' | '~' | '#' | '−' => 0.84,
        c if c.is_ascii() => 0.64,
        '\u{a0}'..='\u{24f}' | '\u{370}'..='\u{52f}' => 0.8,
        _ => 1.05,
    }
}

/// Breaks text into lines no wider than `most`, between words where that is possible.
pub fn wrap(text: &str, size: f64, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if width(&longer, size) <= most {
            line = longer;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            if !line.is_empty() && width(&line, size) + width(c.encode_utf8(&mut [0; 4]), size) > most {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping() {
        assert_eq!(escape("<a b=\"c\">&'\u{0}\u{1b}\n"), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;\u{fffd}\u{fffd} ");
    }

    #[test]
    fn lines_break_between_words_and_only_else_within_them() {
        assert_eq!(wrap("one two three", 10.0, width("one two", 10.0)), ["one two", "three"]);
        assert_eq!(wrap("  one ", 10.0, 1000.0), ["one"]);
        assert_eq!(wrap("abcdef gh", 10.0, width("abcd", 10.0)), ["abcd", "ef", "gh"]);
        assert_eq!(wrap("", 10.0, 10.0), Vec::<String>::new());
        assert_eq!(wrap("ab", 10.0, 0.0), ["a", "b"]);
    }
}
