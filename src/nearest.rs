//! Which known name somebody meant.

/// Edits between two names (Levenshtein).
pub fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let here = if x == y { before } else { 1 + before.min(row[j]).min(row[j + 1]) };
            before = std::mem::replace(&mut row[j + 1], here);
        }
    }
    row[b.len()]
}

/// The name of `known` that `name` is a slip of the keyboard away from, if there is one; of two equally near, the first.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let limit = 1 + name.len() / 4;
    // names of very different lengths are never near, and comparing them would cost the product of the lengths
    let near = known.into_iter().filter(|k| k.len().abs_diff(name.len()) <= limit && name.len() <= 100);
    let far = near.map(|k| (distance(name, k), k)).filter(|(d, k)| *d <= limit && *d < k.len());
    far.min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let keys = ["n-prompt", "n-gen", "n-depth", "seed"];
        let of = |name| nearest(name, keys);
        assert_eq!(of("n-promt"), Some("n-prompt"));
        assert_eq!(of("n_gen"), Some("n-gen"));
        assert_eq!(of("n-pormpt"), Some("n-prompt"));
        assert_eq!(of("speed"), Some("seed"));
        assert_eq!((of("colour"), of("x"), of(""), of(&"n-gen".repeat(1000))), (None, None, None, None));
    }
}
