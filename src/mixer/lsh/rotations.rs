//! Which bucket a vector falls into.

use super::Hashing;
use crate::block::Heads;
use crate::kernel::first_greatest;
use crate::kernel::linear::{Layout, Packed};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The rotations of all heads: Rᵀ (rounds · buckets / 2, width) each. The same in every layer, whose vectors differ.
pub(super) struct Rotations {
    heads: Vec<Packed>,
    width: usize,
    rounds: usize,
}

impl Rotations {
    /// Made of the seed; a head's do not depend on how many heads there are.
    pub fn drawn(heads: &Heads, hashing: &Hashing) -> Self {
        let n = heads.width * hashing.rounds * (hashing.buckets / 2);
        let head = |h: usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(hashing.seed);
            rng.set_stream(h as u64);
            // twelve uniform numbers have variance 1, and their sum is the same on every machine
            let mut normal = || (0..12).map(|_| (rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32 - 0.5).sum::<f32>();
            (0..n).map(|_| normal()).collect()
        };
        Self::given((0..heads.count).map(head).collect(), heads.width, hashing.rounds)
    }

    /// Of one list of (width, rounds, buckets / 2) numbers a head.
    pub fn given(heads: Vec<Vec<f32>>, width: usize, rounds: usize) -> Self {
        let pack = |numbers: Vec<f32>| Packed::new(&numbers, (numbers.len() / width.max(1), width), Layout::InOut, None);
        Self { heads: heads.into_iter().map(pack).collect(), width, rounds }
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.heads.iter().map(Packed::bytes).sum()
    }

    /// Buckets of vectors (n, h w): (n, h, rounds). The first of equally near ones is a vector's.
    pub fn buckets(&self, x: &[f32]) -> Vec<u32> {
        let (count, width) = (self.heads.len(), self.width);
        let n = x.len() / (count * width).max(1);
        let mut out = vec![0; n * count * self.rounds];
        for (h, rotation) in self.heads.iter().enumerate().filter(|(_, r)| r.outputs > 0) {
            let own: Vec<f32> = x.chunks_exact(count * width).flat_map(|x| &x[h * width..(h + 1) * width]).copied().collect();
            let half = rotation.outputs / self.rounds;
            let mut both = vec![0.0; 2 * half];
            for (p, rotated) in rotation.apply(&own).chunks_exact(rotation.outputs).enumerate() {
                for (r, rotated) in rotated.chunks_exact(half).enumerate() {
                    both[..half].copy_from_slice(rotated);
                    both[half..].iter_mut().zip(rotated).for_each(|(to, x)| *to = -x);
                    out[(p * count + h) * self.rounds + r] = first_greatest(&both).unwrap_or(0) as u32; // what is no number falls anywhere, and shows in what attention makes of it
                }
            }
        }
        out
    }
}
