//! Lists and ranges of numbers as llama-bench writes them: `1024,4096`, `1024-16384*2`, `1-8+1`, and both mixed.

/// The most numbers a list may stand for.
pub const MOST: usize = 1000;

/// The numbers of a list, each once, in the order in which they are named first; for `-p`, `-n`, `-d`.
///
/// Between commas stands a number or a range `first-last`, with `+step` or `*factor` behind it (`+1` where neither stands). A range holds `first`
/// and what the step leads to, up to and including `last`. As in llama-bench a step that stands still is refused; unlike there, so are an empty
/// list, a comma with nothing beside it and a range that runs backwards, which would all measure less than somebody meant.
pub fn list(text: &str) -> Result<Vec<usize>, String> {
    if text.trim().is_empty() {
        return Err("the list is empty".to_owned());
    }
    let mut all = Vec::new();
    for piece in text.split(',') {
        let piece = piece.trim();
        if piece.is_empty() {
            return Err("a comma has no number beside it".to_owned());
        }
        range(piece, &mut all)?;
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|n| seen.insert(*n));
    Ok(all)
}

/// A [`list`] without 0; for `-b`, `-t`.
pub fn positive(text: &str) -> Result<Vec<usize>, String> {
    let all = list(text)?;
    if all.contains(&0) { Err("must be at least 1".to_owned()) } else { Ok(all) }
}

/// Adds the numbers of one piece to `all`.
fn range(piece: &str, all: &mut Vec<usize>) -> Result<(), String> {
    let (first, rest) = piece.split_once('-').unwrap_or((piece, piece));
    let (last, step) = match rest.find(['+', '*']) {
        Some(at) if rest.len() < piece.len() => (&rest[..at], Some(&rest[at..])),
        _ => (rest, None),
    };
    let (first, last) = (number(first, piece)?, number(last, piece)?);
    let times = step.is_some_and(|s| s.starts_with('*'));
    let step = step.map_or(Ok(1), |s| number(&s[1..], piece))?;
    if last < first {
        return Err(format!("the range `{piece}` runs backwards"));
    }
    if if times { step < 2 || first == 0 } else { step == 0 } {
        return Err(format!("the step of `{piece}` leads nowhere"));
    }
    let mut at = Some(first);
    while let Some(n) = at.filter(|n| *n <= last) {
        if all.len() == MOST {
            return Err(format!("more than {} numbers", crate::report::grouped(MOST)));
        }
        all.push(n);
        at = if times { n.checked_mul(step) } else { n.checked_add(step) };
    }
    Ok(())
}

fn number(digits: &str, piece: &str) -> Result<usize, String> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{} is neither a number nor a range", super::text::shown(piece)));
    }
    digits.parse().map_err(|_| format!("{} is too large", super::text::shown(digits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ranges_and_both() {
        let of = |text| list(text).unwrap();
        assert_eq!(of("512"), [512]);
        assert_eq!(of("1024,4096"), [1024, 4096]);
        assert_eq!(of("1024-16384*2"), [1024, 2048, 4096, 8192, 16384]);
        assert_eq!(of("1-8+1"), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(of("1-4"), [1, 2, 3, 4]);
        assert_eq!(of("7-7"), [7]);
        assert_eq!(of("0-10+4"), [0, 4, 8]);
        assert_eq!(of("3-100*3"), [3, 9, 27, 81]);
        assert_eq!(of("1-4+9"), [1]);
        assert_eq!(of("5,1-3,10-40*2,0"), [5, 1, 2, 3, 10, 20, 40, 0]);
        assert_eq!(of(" 1 , 2-3 "), [1, 2, 3]);
        assert_eq!(of("007"), [7]);
    }

    #[test]
    fn a_number_named_twice_counts_once_where_it_stood_first() {
        assert_eq!(list("4,2,4,1-5").unwrap(), [4, 2, 1, 3, 5]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let of = |text: &str| list(text).unwrap_err();
        for text in ["", " "] {
            assert_eq!(of(text), "the list is empty");
        }
        for text in ["1,,2", "1,", ",1", ","] {
            assert_eq!(of(text), "a comma has no number beside it", "{text}");
        }
        for text in [
            "x", "-5", "+5", "5-", "1.5", "1e3", "1-2-3", "1-4|2", "1-4+", "1-4*", "1-4+1*2", "1-4*-2", "4+1", "4*2", "1 2", "1- 2", "٣",
            "1-*2",
        ] {
            assert_eq!(of(text), format!("`{text}` is neither a number nor a range"));
        }
        for text in ["4-1", "1-0", "16384-1024*2", "0-0,2-1"] {
            assert_eq!(of(text), format!("the range `{}` runs backwards", text.rsplit(',').next().unwrap()));
        }
        for text in ["1-4*1", "1-4*0", "1-4+0", "0-16*2", "0-0*2", "5-5*1", "5-5+0"] {
            assert_eq!(of(text), format!("the step of `{text}` leads nowhere"));
        }
        assert_eq!(of("99999999999999999999"), "`99999999999999999999` is too large");
        assert_eq!(of("1-99999999999999999999*2"), "`99999999999999999999` is too large");
    }

    #[test]
    fn at_most_a_thousand_numbers_and_no_overflow() {
        assert_eq!(list("1-1000").unwrap().len(), 1000);
        assert_eq!(list("0-1000").unwrap_err(), "more than 1,000 numbers");
        assert_eq!(list("1-600,1-401").unwrap_err(), "more than 1,000 numbers");
        let max = usize::MAX;
        assert_eq!(list(&format!("1-{max}")).unwrap_err(), "more than 1,000 numbers");
        assert_eq!(list(&format!("1-{max}*2")).unwrap().len(), 64);
        assert_eq!(list(&format!("{max}-{max}")).unwrap(), [max]);
        assert_eq!(list(&format!("1-{max}+{max}")).unwrap(), [1]);
        assert_eq!(list(&format!("2-{max}*{max}")).unwrap(), [2]);
    }

    #[test]
    fn counts_start_at_one() {
        assert_eq!(positive("1-4*2").unwrap(), [1, 2, 4]);
        assert_eq!(positive("0-4+2").unwrap_err(), "must be at least 1");
        assert_eq!(positive("x").unwrap_err(), list("x").unwrap_err());
    }
}
