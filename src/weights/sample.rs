//! What is looked at of weights to tell whether they are still the same: reading all of them would take as long as loading them does.

use super::Store;
use crate::fingerprint::fingerprint;
use std::ops::Range;

/// Bytes of a tensor up to which all of them are looked at.
const WHOLE: usize = 1 << 16;
/// Stretches of a larger one, from its first byte to its last, and the bytes of each.
const STRETCHES: usize = 16;
const STRETCH: usize = WHOLE / STRETCHES;

impl Store {
    /// A number for the stored weights; none where they are made up. Others have another, if they differ in the size of a file, in its header
    /// (names, kinds and shapes), or in a stretch that is looked at: a tensor of 64 KiB or less is looked at whole, of a larger one 16 stretches of 4 KiB are.
    /// What differs elsewhere alone is not seen.
    pub fn fingerprint(&self) -> Option<u64> {
        if self.made_up.is_some() {
            return None;
        }
        let sizes: Vec<[u8; 8]> = self.files.iter().map(|(_, bytes)| (bytes.get().len() as u64).to_le_bytes()).collect();
        let mut parts: Vec<&[u8]> = Vec::new();
        for ((_, bytes), size) in self.files.iter().zip(&sizes) {
            parts.extend([&size[..], header(bytes.get())]);
        }
        for (file, entry) in self.tensors.values() {
            let bytes = self.files[*file].1.get();
            parts.extend(stretches(&entry.range).filter_map(|range| bytes.get(range)));
        }
        Some(fingerprint(&parts))
    }
}

/// The header of a safetensors file, with its length in front.
fn header(bytes: &[u8]) -> &[u8] {
    let length = bytes.first_chunk().map_or(0, |n| u64::from_le_bytes(*n));
    let end = usize::try_from(length).ok().and_then(|n| n.checked_add(8)).unwrap_or(usize::MAX);
    &bytes[..end.min(bytes.len())]
}

fn stretches(tensor: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
    let (start, n) = (tensor.start, tensor.len());
    let (count, length) = if n <= WHOLE { (1, n) } else { (STRETCHES, STRETCH) };
    (0..count).map(move |i| {
        let from = start + if count == 1 { 0 } else { ((n - length) as u128 * i as u128 / (count - 1) as u128) as usize };
        from..from + length
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_reach_from_the_first_byte_to_the_last() {
        for n in [WHOLE, 1, 0] {
            assert!(stretches(&(7..7 + n)).eq(std::iter::once(7..7 + n)), "{n}");
        }
        for n in [WHOLE + 1, 1 << 20, usize::MAX - 7] {
            let all: Vec<_> = stretches(&(7..7 + n)).collect();
            assert_eq!((all.len(), all[0].start, all[STRETCHES - 1].end), (STRETCHES, 7, 7 + n));
            assert!(all.iter().all(|r| r.len() == STRETCH) && all.windows(2).all(|w| w[0].end <= w[1].start), "{n}");
        }
    }
}
