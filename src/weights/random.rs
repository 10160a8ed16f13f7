//! Made-up weights: seeded, finite, and the same for a tensor whatever is loaded beside it.

use crate::kernel::linear::Numbers;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Numbers drawn from one stream of the generator.
const STREAM: usize = 1 << 16;
/// 32-bit words that a number takes.
const WORDS: usize = 4;

/// The numbers of one tensor: norms 1, biases 0, tables and matrices N(0, 1/√inputs).
pub struct Stream {
    key: u64,
    scale: f32,
    plain: Option<f32>,
}

impl Stream {
    /// For the tensor `name`.
    pub fn new(seed: u64, name: &str, shape: &[usize]) -> Self {
        let plain = match (name.ends_with("bias"), shape.len() < 2) {
            (true, _) => Some(0.0),
            (false, true) => Some(1.0),
            (false, false) => None,
        };
        let key = name.bytes().fold(seed ^ 0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
        Self { key, scale: 1.0 / (*shape.last().unwrap_or(&1) as f32).sqrt(), plain }
    }
}

impl Numbers for Stream {
    fn fill(&self, first: usize, out: &mut [f32]) {
        if let Some(plain) = self.plain {
            return out.fill(plain);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.key);
        let mut at = first;
        let mut rest = out;
        while !rest.is_empty() {
            let (here, after) = rest.split_at_mut(rest.len().min(STREAM - at % STREAM));
            rng.set_stream((at / STREAM) as u64);
            rng.set_word_pos((at % STREAM * WORDS) as u128);
            // the sum of four uniform numbers is close enough to normal and cheap: variance 4/12
            for x in here.iter_mut() {
                let sum = (0..WORDS).map(|_| (rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32 - 0.5).sum::<f32>();
                *x = sum * 3f32.sqrt() * self.scale;
            }
            at += here.len();
            rest = after;
        }
    }
}

/// All numbers for the tensor `name`.
pub fn numbers(seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
    let mut out = vec![0.0; shape.iter().product()];
    Stream::new(seed, name, shape).fill(0, &mut out);
    out
}
