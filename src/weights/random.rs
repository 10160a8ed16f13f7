//! Made-up weights: seeded, finite, and the same for a tensor whatever is loaded beside it.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

/// Numbers for the tensor `name`: norms 1, biases 0, tables and matrices N(0, 1/√inputs).
pub fn numbers(seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
    let n = shape.iter().product();
    if name.ends_with("bias") {
        return vec![0.0; n];
    }
    if shape.len() < 2 {
        return vec![1.0; n];
    }
    let scale = 1.0 / (*shape.last().unwrap_or(&1) as f32).sqrt();
    let key = name.bytes().fold(seed ^ 0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
    let mut out = vec![0.0; n];
    out.par_chunks_mut(1 << 16).enumerate().for_each(|(stream, part)| {
        let mut rng = ChaCha8Rng::seed_from_u64(key);
        rng.set_stream(stream as u64);
        // the sum of four uniform numbers is close enough to normal and cheap: variance 4/12
        part.iter_mut().for_each(|x| {
            let sum = (0..4).map(|_| (rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32 - 0.5).sum::<f32>();
            *x = sum * 3f32.sqrt() * scale;
        });
    });
    out
}
