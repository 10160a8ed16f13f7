//! The random blocks that transformers draws in training, number by number: its calls of `numpy.random.permutation`, and numpy's legacy generator below them.
//!
//! Sources: numpy/random/src/mt19937/mt19937.c (`mt19937_seed`, `mt19937_gen`), numpy/random/mtrand.pyx (`shuffle`, `permutation`),
//! src/distributions/distributions.c (`random_interval`); `_bigbird_block_rand_mask` and `_bigbird_block_rand_mask_with_head` of
//! transformers:src/transformers/models/bigbird_pegasus/modeling_bigbird_pegasus.py.

use crate::error::{Error, Result};
use std::ops::Range;

/// `numpy.random.RandomState(seed)`: MT19937 (Matsumoto and Nishimura 1998).
struct RandomState {
    key: [u32; N],
    at: usize,
}

const N: usize = 624;
const M: usize = 397;

impl RandomState {
    fn new(seed: u32) -> Self {
        let mut key = [seed; N];
        for i in 1..N {
            let before = key[i - 1];
            key[i] = 1_812_433_253u32.wrapping_mul(before ^ before >> 30).wrapping_add(i as u32);
        }
        Self { key, at: N }
    }

    fn turn(&mut self) {
        for i in 0..N {
            let both = self.key[i] & 0x8000_0000 | self.key[(i + 1) % N] & 0x7fff_ffff;
            let odd = if both & 1 == 1 { 0x9908_b0df } else { 0 };
            self.key[i] = self.key[(i + M) % N] ^ both >> 1 ^ odd;
        }
        self.at = 0;
    }

    fn u32(&mut self) -> u32 {
        if self.at == N {
            self.turn();
        }
        let mut y = self.key[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }

    /// One of 0…most: bits below the leading one of `most`, drawn again where they are more.
    fn up_to(&mut self, most: u32) -> u32 {
        let mask = u32::MAX.checked_shr(most.leading_zeros()).unwrap_or(0);
        loop {
            let value = self.u32() & mask;
            if value <= most {
                return value;
            }
        }
    }

    /// `permutation(xs)`, in place.
    fn shuffle(&mut self, xs: &mut [usize]) {
        for i in (1..xs.len()).rev() {
            xs.swap(i, self.up_to(i as u32) as usize);
        }
    }
}

/// A text and what is drawn for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Its blocks, more than 5 + 2 `random`.
    pub blocks: usize,
    /// Tokens of a block.
    pub block: usize,
    /// Blocks drawn for a row block.
    pub random: usize,
    /// `max_position_embeddings`.
    pub positions: usize,
}

/// Lengths, in whole blocks, whose table is drawn as the paper's authors did.
const OLD: [usize; 3] = [1024, 3072, 4096];
/// Of such a text blocks are drawn from its first tokens alone, so many.
const LAST: usize = 1024;

/// Of every head, the blocks of row blocks 1 … m − 2, one after the other.
pub(super) fn table(seed: u32, heads: usize, sizes: Sizes) -> Result<Vec<Vec<usize>>> {
    let mut state = RandomState::new(seed);
    if sizes.random == 0 {
        return Ok(vec![Vec::new(); heads]);
    }
    if OLD.iter().any(|length| sizes.blocks.checked_mul(sizes.block) == Some(*length)) {
        return (0..heads).map(|_| old(&mut state, sizes)).collect();
    }
    Ok(new(&mut state, heads, sizes))
}

/// All rows draw from the first 5 + 2r blocks; heads take turns within a row.
fn new(state: &mut RandomState, heads: usize, Sizes { blocks, random, .. }: Sizes) -> Vec<Vec<usize>> {
    let mut table = vec![Vec::with_capacity(random * blocks.saturating_sub(2)); heads];
    let end = 2 * random + 5;
    for row in 1..blocks - 1 {
        let barred = |block: usize| {
            let ends = block == 0 || block == end - 1;
            let beside = block + 1 >= row && block <= row + 1;
            let across = (row == 1 && block == end - 2) || (row == end - 2 && block == 1);
            ends || beside || across
        };
        for head in &mut table {
            let mut drawn: Vec<usize> = (0..end).collect();
            state.shuffle(&mut drawn);
            head.extend(drawn.into_iter().filter(|block| !barred(*block)).take(random));
        }
    }
    table
}

/// One head of the older plan, which draws for all rows of the longest text and leaves out those that this one has not. Its rows may draw blocks beside them or the
/// last block, which count twice then.
fn old(state: &mut RandomState, Sizes { blocks, block, random, positions }: Sizes) -> Result<Vec<usize>> {
    let longest = positions / block;
    if longest < blocks {
        let text = blocks * block;
        return Err(Error::new(format!(
            "texts of {text} tokens have their random blocks drawn for all {positions} positions: these are {longest} whole blocks of {block}, the text has {blocks}"
        ))
        .hint("blocks must divide `max_position_embeddings`; without `--attention paper` they need not"));
    }
    let last = if LAST > 2 * block { LAST / block - 1 } else { longest - 1 };
    // block i + 1 stands at place i
    let places = |places: Range<usize>| places.start + 1..places.end.min(longest - 2) + 1;
    let mut drawn = Vec::with_capacity(random * (blocks - 2));
    for row in 1..longest - 1 {
        let (before, behind) = match row {
            1 => (0..0, 2..last),
            2 => (0..0, 3..last),
            _ if row >= longest - 3 => (0..last, 0..0),
            _ => (0..last.min(row - 2), row + 1..last),
        };
        let mut from: Vec<usize> = places(before).chain(places(behind)).collect();
        state.shuffle(&mut from);
        let kept = row < blocks - 1;
        match from.len() {
            some if some >= random => drawn.extend(from[..random].iter().filter(|_| kept)),
            // one is written to every slot
            1 => drawn.extend(std::iter::repeat_n(from[0], if kept { random } else { 0 })),
            few => {
                let text = blocks * block;
                return Err(Error::new(format!(
                    "too few blocks for the random plan: row block {row} of a text of {text} tokens draws {random} of {few} blocks of {block}"
                ))
                .hint("smaller blocks or fewer random ones; `--attention auto` draws none"));
            }
        }
    }
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy 2: `RandomState(seed)._bit_generator.random_raw`, past two turns of the state.
    #[test]
    fn draws_are_numpys() {
        let mut state = RandomState::new(5489);
        assert_eq!([state.u32(), state.u32(), state.u32()], [3_499_211_612, 581_869_302, 3_890_346_734]);
        let mut state = RandomState::new(0);
        let all: Vec<u32> = (0..1300).map(|_| state.u32()).collect();
        assert_eq!(all[1297..], [38_359_489, 417_719_925, 387_547_707]);
    }

    /// `permutation(10)` and then `permutation(1000)[:8]` of `RandomState(0)`, `permutation(7)` of the greatest seed.
    #[test]
    fn permutations_are_numpys() {
        let drawn = |state: &mut RandomState, n: usize| {
            let mut all: Vec<usize> = (0..n).collect();
            state.shuffle(&mut all);
            all
        };
        let mut state = RandomState::new(0);
        assert_eq!(drawn(&mut state, 10), [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]);
        assert_eq!(drawn(&mut state, 1000)[..8], [722, 311, 85, 436, 204, 408, 1, 781]);
        assert_eq!(drawn(&mut RandomState::new(u32::MAX), 7), [1, 5, 0, 6, 4, 2, 3]);
        assert_eq!(drawn(&mut state, 0), [0; 0]);
    }

    fn of(seed: u32, heads: usize, tokens: usize, (block, random, positions): (usize, usize, usize)) -> Result<Vec<Vec<usize>>> {
        table(seed, heads, Sizes { blocks: tokens.div_ceil(block), block, random, positions })
    }

    /// `rand_attn` of transformers 5.23 in training.
    #[test]
    fn tables_are_the_references() {
        let flat = |rows: &[&[usize]]| rows.concat();
        let two = of(0, 2, 48, (4, 2, 256)).unwrap();
        assert_eq!(two[0], [4, 6, 5, 4, 5, 7, 1, 2, 3, 7, 3, 2, 5, 2, 4, 6, 5, 4, 7, 6]);
        assert_eq!(two[1], [3, 6, 6, 7, 7, 5, 2, 1, 1, 7, 1, 2, 4, 2, 6, 4, 5, 7, 5, 1]);
        let three = of(3, 3, 40, (4, 1, 256)).unwrap();
        assert_eq!(three, [[4, 5, 5, 2, 3, 1, 1, 4], [4, 5, 5, 1, 2, 2, 2, 5], [3, 5, 5, 1, 3, 3, 4, 5]]);
        let old = of(0, 2, 1024, (64, 3, 4096)).unwrap();
        let first: &[&[usize]] = &[&[9, 14, 7], &[9, 6, 7], &[10, 5, 14], &[6, 8, 12], &[2, 13, 1], &[4, 11, 3], &[1, 10, 5]];
        let rest: &[&[usize]] = &[&[2, 3, 15], &[13, 11, 14], &[15, 13, 8], &[9, 7, 4], &[1, 2, 5], &[8, 9, 7], &[2, 6, 5]];
        assert_eq!(old[0], [flat(first), flat(rest)].concat());
        assert_eq!((&old[1][..6], &old[1][39..]), (&[6, 11, 10, 8, 4, 12][..], &[11, 8, 10][..]));
        // the longest text of this one is the text itself: its last two rows draw from all
        let own = of(5, 1, 1024, (64, 3, 1024)).unwrap();
        assert_eq!(own[0][30..], [8, 6, 3, 8, 9, 1, 6, 8, 7, 6, 14, 7]);
        let wide = of(2, 1, 3072, (128, 3, 4096)).unwrap();
        assert_eq!(wide[0][..9], [5, 7, 4, 4, 5, 7, 7, 5, 6]);
        assert_eq!(wide[0][60..], [4, 2, 7, 5, 3, 7]);
        assert_eq!(of(4, 1, 4096, (512, 1, 4096)).unwrap(), [[3, 4, 6, 2, 5, 6]]);
        assert_eq!(of(4, 2, 48, (4, 0, 256)).unwrap(), [[0; 0]; 2]);
    }

    /// What the reference drew for a fixture: (layers, heads, blocks − 2, r).
    #[test]
    fn tables_of_a_fixture_are_drawn_again() {
        let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bigbird-train/expected.safetensors")).unwrap();
        let golden = candle_core::safetensors::load_buffer(&file, &candle_core::Device::Cpu).unwrap();
        let drawn = golden["random_blocks"].to_dtype(candle_core::DType::U32).unwrap();
        let (layers, heads, rows, random) = drawn.dims4().unwrap();
        let all: Vec<u32> = drawn.flatten_all().unwrap().to_vec1().unwrap();
        assert!(layers > 1);
        for (layer, want) in all.chunks_exact(heads * rows * random).enumerate() {
            let sizes = Sizes { blocks: rows + 2, block: 3, random, positions: 96 };
            let got: Vec<u32> = table(layer as u32, heads, sizes).unwrap().concat().iter().map(|x| *x as u32).collect();
            assert_eq!(got, want, "layer {layer}");
        }
    }

    /// Where the reference fails too: its rows get fewer blocks than they have slots, or its table has fewer rows than the text.
    #[test]
    fn what_cannot_be_drawn_says_so() {
        let few = of(7, 1, 4096, (256, 2, 4096)).unwrap_err();
        assert!(few.message().contains("draws 2 of 0 blocks of 256"), "{}", few.message());
        assert!(of(9, 1, 3072, (256, 1, 5000)).is_err());
        let narrow = of(0, 1, 1000, (64, 3, 1000)).unwrap_err();
        assert!(narrow.message().contains("15 whole blocks of 64, the text has 16"), "{}", narrow.message());
    }
}
