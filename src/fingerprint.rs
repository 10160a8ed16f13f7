//! Content in one number, to tell whether it is still the same: no protection against whoever wants two contents to have one.

/// A number that depends on all of these bytes, and on where each part ends: FNV-1a (64 bits) with words of eight, turned so that the high
/// bits of each count.
pub fn fingerprint(parts: &[&[u8]]) -> u64 {
    let fold = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    let word = |part: &[u8]| part.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    parts.iter().fold(0xcbf2_9ce4_8422_2325, |hash, bytes| bytes.chunks(8).map(word).fold(fold(hash, bytes.len() as u64), fold))
}
