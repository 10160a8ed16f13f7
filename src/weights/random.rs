//! Made-up weights: seeded, finite, and the same for a tensor whatever is loaded beside it.
//!
//! A matrix is drawn in the order in which it is packed, output after output, however a file would have it: what is made up has no layout, and a
//! model of billions of numbers must not wait for its generator.

use crate::kernel::linear::Numbers;
use rand_pcg::Lcg128Xsl64;
use rand_pcg::rand_core::Rng;

/// The numbers of one tensor.
pub struct Stream {
    generator: Lcg128Xsl64,
    kind: Kind,
}

/// What they are like.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// All the same.
    Plain(f32),
    /// Of mean 0 and this standard deviation, near enough to normal.
    Normal(f32),
}

impl Kind {
    /// By name and number of dimensions: biases 0, whatever their shape; multipliers as trax draws them; random features of unit variance; norms and other vectors 1; the rest as
    /// suits so many inputs.
    fn of(name: &str, dimensions: usize, inputs: usize) -> Self {
        let last = name.rsplit('.').next().unwrap_or(name);
        match last {
            "b" | "b1" | "b2" | "mb" | "start" => Kind::Plain(0.0),
            _ if last.ends_with("bias") => Kind::Plain(0.0),
            "gating" | "mult" => Kind::Normal(0.5),
            // random features of Performers
            "projection" | "projection_matrix" => Kind::Normal(1.0),
            _ if dimensions < 2 => Kind::Plain(1.0),
            _ => Kind::Normal(1.0 / (inputs as f32).sqrt()),
        }
    }
}

impl Stream {
    /// For the tensor `name`, whose outputs have so many inputs each.
    pub fn new(seed: u64, name: &str, shape: &[usize], inputs: usize) -> Self {
        let key = name.bytes().fold(seed ^ 0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
        // neighbouring names and seeds begin far from one another, each on a sequence of its own
        let (state, sequence) = (u128::from(mix(key)) << 64 | u128::from(mix(!key)), u128::from(key));
        Self { generator: Lcg128Xsl64::new(state, sequence), kind: Kind::of(name, shape.len(), inputs) }
    }
}

/// SplitMix64's finish: every bit of the key moves every bit.
fn mix(key: u64) -> u64 {
    let key = (key ^ key >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let key = (key ^ key >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    key ^ key >> 31
}

/// The sum of the four bytes of a half of `word`, less its mean: near enough to normal, and cheap.
fn sum(word: u64, half: usize) -> f32 {
    let pairs = (word & 0x00FF_00FF_00FF_00FF) + (word >> 8 & 0x00FF_00FF_00FF_00FF);
    let half = (pairs >> (32 * half)) as u32;
    ((half & 0xFFFF) + (half >> 16)) as f32 - 510.0
}

/// The variance of such a sum: four bytes of (256² − 1) / 12.
const VARIANCE: f32 = 4.0 * 65_535.0 / 12.0;

impl Numbers for Stream {
    fn fill(&self, first: usize, out: &mut [f32]) {
        let deviation = match self.kind {
            Kind::Plain(plain) => return out.fill(plain),
            Kind::Normal(deviation) => deviation,
        };
        let factor = deviation / VARIANCE.sqrt();
        let mut generator = self.generator.clone();
        generator.advance(first as u128 / 2);
        // two numbers a word; the first may be the second of its own
        let (before, rest) = out.split_at_mut(out.len().min(first % 2));
        before.iter_mut().for_each(|x| *x = factor * sum(generator.next_u64(), 1));
        let (pairs, last) = rest.as_chunks_mut::<2>();
        for pair in pairs {
            let word = generator.next_u64();
            *pair = [factor * sum(word, 0), factor * sum(word, 1)];
        }
        last.iter_mut().for_each(|x| *x = factor * sum(generator.next_u64(), 0));
    }
}

/// All numbers for the tensor `name`, whose outputs have so many inputs each.
pub fn numbers(seed: u64, name: &str, shape: &[usize], inputs: usize) -> Vec<f32> {
    let mut out = vec![0.0; shape.iter().product()];
    Stream::new(seed, name, shape, inputs).fill(0, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_is_drawn() {
        let of = |name, dimensions| Kind::of(name, dimensions, 64);
        for name in ["a.bias", "bias", "in_proj_bias", "ff.mb", "ff.b2", "b", "x.b1", "start"] {
            assert_eq!((of(name, 1), of(name, 3)), (Kind::Plain(0.0), Kind::Plain(0.0)), "{name}");
        }
        assert_eq!((of("mult.gating", 2), of("q.mult", 2)), (Kind::Normal(0.5), Kind::Normal(0.5)));
        assert_eq!((of("norm.scale", 1), of("norm.weight", 1)), (Kind::Plain(1.0), Kind::Plain(1.0)));
        assert_eq!(
            (of("norm.weight", 2), of("gating.proj", 2), of("tab", 3)),
            (Kind::Normal(0.125), Kind::Normal(0.125), Kind::Normal(0.125))
        );
    }

    #[test]
    fn mean_and_variance_are_those_asked_for_and_neighbours_are_strangers() {
        let draw = |seed, name| numbers(seed, name, &[1 << 10, 1 << 9], 1 << 9);
        let (n, want) = ((1 << 19) as f64, 1.0 / 512.0);
        let correlation = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() / n / want;
        let a = draw(1, "layers.0.w");
        let mean = a.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
        // standard errors: 1 / √n of the deviation and of a correlation, √(1.7 / n) of the variance (kurtosis 2.7)
        assert!(mean.abs() < 5.0 * (want / n).sqrt(), "{mean}");
        assert!((correlation(&a, &a) - 1.0).abs() < 5.0 * (1.7 / n).sqrt());
        for other in [
            draw(1, "layers.1.w"),
            draw(2, "layers.0.w"),
            draw(1, "layers.0.v"),
            [&a[1..], &a[..1]].concat(),
            [&a[512..], &a[..512]].concat(),
        ] {
            assert!(correlation(&a, &other).abs() < 5.0 / n.sqrt());
        }
        assert!(a.iter().all(|x| x.abs() <= 3.46 / 512f32.sqrt()) && a.iter().any(|x| x.abs() > 3.0 / 512f32.sqrt()));
    }

    #[test]
    fn a_part_is_the_same_wherever_it_begins() {
        let all = numbers(7, "w", &[30, 11], 11);
        let stream = Stream::new(7, "w", &[30, 11], 11);
        for first in 0..20 {
            for n in 0..20 {
                let mut part = vec![0.0; n];
                stream.fill(first, &mut part);
                assert_eq!(part, all[first..first + n], "{first} {n}");
            }
        }
    }
}
