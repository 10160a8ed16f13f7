//! The random numbers of numpy's `default_rng(seed)`: `SeedSequence`, PCG64 (XSL-RR 128/64), and the rules by which `Generator`
//! makes bounded integers and booleans of them. With these, resampled figures and p-values can be equal to sacreBLEU's.
//!
//! Sources: numpy/random/bit_generator.pyx (`SeedSequence`), src/pcg64, src/distributions/distributions.c (`random_bounded_*_fill`).

use rand_pcg::Lcg128Xsl64;
use rand_pcg::rand_core::Rng;

/// numpy's generator: 64-bit draws, of which 32-bit ones are the halves, lower half first.
#[derive(Debug, Clone)]
pub struct Generator {
    pcg: Lcg128Xsl64,
    half: Option<u32>,
}

impl Generator {
    /// `numpy.random.default_rng(seed)`.
    pub fn new(seed: u64) -> Self {
        let [a, b, c, d] = seed_sequence(seed);
        let wide = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        Self { pcg: Lcg128Xsl64::new(wide(a, b), wide(c, d)), half: None }
    }

    /// The same after it has drawn `coins` booleans at once, as [`Coins`] are.
    pub fn after_coins(seed: u64, coins: u64) -> Self {
        let mut generator = Self::new(seed);
        let draws = coins.div_ceil(32);
        generator.pcg.advance(u128::from(draws / 2));
        if draws % 2 == 1 {
            generator.u32();
        }
        generator
    }

    fn u64(&mut self) -> u64 {
        self.pcg.next_u64()
    }

    fn u32(&mut self) -> u32 {
        self.half.take().unwrap_or_else(|| {
            let both = self.u64();
            self.half = Some((both >> 32) as u32);
            both as u32
        })
    }

    /// One of 0…n−1, as `integers(0, n)` and `choice(n)` draw it (Lemire 2019). `n` is at least 1; 1 draws nothing.
    pub fn below(&mut self, n: u64) -> u64 {
        if n <= 1 {
            return 0;
        }
        match u32::try_from(n) {
            Ok(n) => u64::from(self.below_u32(n)),
            Err(_) if n == 1 << 32 => u64::from(self.u32()),
            Err(_) => self.below_u64(n),
        }
    }

    fn below_u32(&mut self, n: u32) -> u32 {
        let mut product = u64::from(self.u32()) * u64::from(n);
        if (product as u32) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u32) < threshold {
                product = u64::from(self.u32()) * u64::from(n);
            }
        }
        (product >> 32) as u32
    }

    fn below_u64(&mut self, n: u64) -> u64 {
        let mut product = u128::from(self.u64()) * u128::from(n);
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = u128::from(self.u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }
}

/// The booleans of `integers(2, size=…, dtype=bool)`: the bits of the 32-bit draws, lowest first, from any position on.
#[derive(Debug, Clone)]
pub struct Coins {
    generator: Generator,
    bits: u32,
    left: u32,
}

impl Coins {
    /// The booleans of `default_rng(seed)` from number `start` on, found without drawing those before.
    pub fn new(seed: u64, start: u64) -> Self {
        let mut generator = Generator::new(seed);
        generator.pcg.advance(u128::from(start / 64));
        let mut coins = Self { generator, bits: 0, left: 0 };
        for _ in 0..start % 64 {
            coins.flip();
        }
        coins
    }

    /// The next boolean.
    pub fn flip(&mut self) -> bool {
        if self.left == 0 {
            self.bits = self.generator.u32();
            self.left = 32;
        }
        let coin = self.bits & 1 == 1;
        self.bits >>= 1;
        self.left -= 1;
        coin
    }
}

/// A number of an array: `float32` or `float64`.
pub trait Real: Copy + Default + std::ops::Add<Output = Self> + std::ops::AddAssign + std::ops::Neg<Output = Self> {}

impl Real for f32 {}
impl Real for f64 {}

/// The sum of an array as numpy takes it: eight running sums in blocks of at most 128 numbers, blocks added in pairs
/// (numpy/_core/src/umath, `pairwise_sum`).
pub fn sum<T: Real>(numbers: &[T]) -> T {
    match numbers.len() {
        ..8 => numbers.iter().fold(-T::default(), |sum, &x| sum + x),
        8..=128 => {
            let (eights, rest) = numbers.as_chunks::<8>();
            let mut r = eights[0];
            for eight in &eights[1..] {
                r.iter_mut().zip(eight).for_each(|(r, &x)| *r += x);
            }
            let sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
            rest.iter().fold(sum, |sum, &x| sum + x)
        }
        n => {
            let (left, right) = numbers.split_at(n / 2 - n / 2 % 8);
            sum(left) + sum(right)
        }
    }
}

const XSHIFT: u32 = 16;

/// `SeedSequence(seed).generate_state(4, uint64)`.
fn seed_sequence(seed: u64) -> [u64; 4] {
    let mut constant = 0x43b0_d7e5_u32;
    let mut hash = |value: u32| {
        let value = value ^ constant;
        constant = constant.wrapping_mul(0x931e_8875);
        let value = value.wrapping_mul(constant);
        value ^ value >> XSHIFT
    };
    let mut pool = [seed as u32, (seed >> 32) as u32, 0, 0].map(&mut hash);
    for from in 0..4 {
        for to in (0..4).filter(|&to| to != from) {
            let mixed = pool[to].wrapping_mul(0xca01_f9dd).wrapping_sub(hash(pool[from]).wrapping_mul(0x4973_f715));
            pool[to] = mixed ^ mixed >> XSHIFT;
        }
    }
    let mut constant = 0x8b51_f9dd_u32;
    let mut word = |i: usize| {
        let value = pool[i % 4] ^ constant;
        constant = constant.wrapping_mul(0x58f3_8ded);
        let value = value.wrapping_mul(constant);
        u64::from(value ^ value >> XSHIFT)
    };
    std::array::from_fn(|i| word(2 * i) | word(2 * i + 1) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coins_from_any_position_are_the_same_coins() {
        let mut coins = Coins::new(12345, 0);
        let all: Vec<bool> = (0..400).map(|_| coins.flip()).collect();
        for start in [0, 1, 31, 32, 33, 63, 64, 65, 127, 200] {
            let mut coins = Coins::new(12345, start as u64);
            assert!(all[start..].iter().all(|&c| c == coins.flip()), "from {start}");
        }
    }

    #[test]
    fn one_choice_draws_nothing() {
        let mut a = Generator::new(7);
        assert_eq!(a.below(1), 0);
        assert_eq!(a.u64(), Generator::new(7).u64());
    }
}
