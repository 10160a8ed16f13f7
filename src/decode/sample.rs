//! Sampling: a token is drawn with the probability that the softmax of the processed scores gives it.
//!
//! Gumbel-max: the token with the greatest s + g is such a draw when each g = −ln(−ln u) with u uniform in (0, 1) (Gumbel 1954;
//! Maddison et al. 2014, arXiv 1411.0030); the K greatest are K draws without replacement (Kool et al. 2019, arXiv 1903.06059). The
//! u come from ChaCha8, seeded by the document's seed, stream = number of the sequence, one for each token that is not removed, in
//! the order of ids. So a text depends on nothing but its document, its seed and the settings; but it is not the text that
//! `torch.multinomial` would give: only the distributions agree.
//!
//! trax (trax:trax/layers/core.py `logsoftmax_sample`) takes argmax(ln p + T g), T the temperature. As ln p = s − const, that is T times s / T + g but for
//! what all tokens share: the same token for the same u. It cuts its u to [10⁻⁶, 1 − 10⁻⁶), and so never draws what is less likely than about that.

use super::rows::Pick;
use crate::error::{Error, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The seed of a document: a stable function of the run's seed and the document's id, so that neighbours do not matter.
///
/// FNV-1a (64 bits) over the seed's 8 bytes, lowest first, and the id's UTF-8; then SplitMix64's finalizer, because FNV leaves
/// similar ids similar.
pub fn seed_of(seed: u64, id: &str) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut x = seed.to_le_bytes().into_iter().chain(id.bytes()).fold(0xcbf2_9ce4_8422_2325, fold);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The randomness of one sequence.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// Sequence number `sequence` of the document with this seed.
    pub fn new(seed: u64, sequence: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(sequence as u64);
        Self(rng)
    }

    /// A score with Gumbel noise; removed tokens stay removed and take no randomness.
    pub fn perturb(&mut self, score: f32) -> f64 {
        if score == f32::NEG_INFINITY {
            return f64::NEG_INFINITY;
        }
        let u = ((self.0.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64; // in (0, 1)
        f64::from(score) - (-u.ln()).ln()
    }
}

impl Pick for Draw {
    fn pick(&mut self, scores: &[f32]) -> Result<u32> {
        let mut best = (f64::NEG_INFINITY, None);
        for (token, &score) in scores.iter().enumerate() {
            let perturbed = self.perturb(score);
            if perturbed > best.0 {
                best = (perturbed, Some(token as u32));
            }
        }
        best.1.ok_or_else(|| {
            Error::new("no token is left to draw from: the settings forbid all of them")
                .hint("look at `suppress_tokens`, `bad_words_ids` and `no_repeat_ngram_size`")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The temperature as it divides scores here, and as trax multiplies the noise with it: the same token, given the same u.
    #[test]
    fn the_draw_is_that_of_trax() {
        let mut tokens = std::collections::BTreeSet::new();
        for temperature in [0.25, 0.5, 0.7, 1.0, 2.0] {
            for seed in 0..200u64 {
                let logits: Vec<f32> =
                    (0..50).map(|i| (seed as f32 + 1.0) * 0.01 * (i as f32 * 1.7).sin() + (i % 7) as f32 * 0.3).collect();
                let scaled: Vec<f32> = logits.iter().map(|s| s / temperature).collect();
                let here = Draw::new(seed, 0).pick(&scaled).unwrap();
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let sum = logits.iter().map(|s| f64::from(*s).exp()).sum::<f64>().ln();
                let noisy = logits.iter().map(|s| {
                    let u = ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
                    f64::from(*s) - sum - f64::from(temperature) * (-u.ln()).ln()
                });
                let trax = noisy.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(token, _)| token as u32);
                assert_eq!(Some(here), trax, "T {temperature}, seed {seed}");
                tokens.insert(here);
            }
        }
        assert!(tokens.len() > 25, "one token is always chosen: {tokens:?}");
    }
}
