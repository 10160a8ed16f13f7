//! Weights moved by a unit in their last place, up or down: what rounding alone does to a model.

use crate::kernel::linear::Numbers;
use std::ops::Range;

/// Numbers of a tensor, each a unit in its last place away from what it was; zeros stay.
pub(super) struct Moved<'a> {
    numbers: &'a dyn Numbers,
    seed: u64,
}

impl<'a> Moved<'a> {
    /// Of the tensor `name`; another seed moves other numbers up.
    pub(super) fn new(numbers: &'a dyn Numbers, name: &str, seed: u64) -> Self {
        // FNV-1a: tensors of one size must not move alike
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Self { numbers, seed: hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }
}

impl Numbers for Moved<'_> {
    fn fill(&self, first: usize, out: &mut [f32]) {
        self.numbers.fill(first, out);
        out.iter_mut().enumerate().for_each(|(i, x)| *x = moved(*x, coin(self.seed.wrapping_add((first + i) as u64))));
    }

    fn done(&self, numbers: Range<usize>) {
        self.numbers.done(numbers);
    }
}

/// One bit of SplitMix64.
fn coin(x: u64) -> bool {
    let z = x.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) & 1 == 1
}

fn moved(x: f32, up: bool) -> f32 {
    let next = f32::from_bits(if up { x.to_bits().wrapping_add(1) } else { x.to_bits().wrapping_sub(1) });
    if x == 0.0 || !next.is_finite() { x } else { next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_moves_by_a_unit_and_zeros_stay() {
        let x: Vec<f32> = (0..999).map(|i| (i as f32 - 400.0) * 0.37).chain([f32::MAX, 1e-45, f32::NAN, f32::INFINITY]).collect();
        let numbers = &&x[..];
        let read = |seed, first: usize, n: usize| {
            let mut out = vec![0.0; n];
            Moved::new(numbers, "a.weight", seed).fill(first, &mut out);
            out
        };
        let all = read(1, 0, x.len());
        let finite = x.iter().zip(&all).filter(|(x, _)| x.is_finite() && x.abs() < f32::MAX);
        finite.for_each(|(x, y)| assert_eq!(x.to_bits().abs_diff(y.to_bits()), u32::from(*x != 0.0), "{x} {y}"));
        assert!(all[1001].is_nan() && all[1002] == f32::INFINITY && all[999].is_finite());
        assert_eq!(read(1, 500, 40), all[500..540], "whatever part is read");
        let up = x.iter().zip(&all).take(999).filter(|(x, y)| y.abs() > x.abs()).count();
        assert!((400..600).contains(&up), "{up}");
        assert_ne!(read(2, 0, 999), all[..999]);
    }
}
