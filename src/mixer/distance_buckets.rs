//! T5's buckets of distances (Raffel et al. 2020, <https://arxiv.org/abs/1910.10683>, section 2.1): each head has a number for each bucket, which is added to
//! the scores of the keys that lie as far from their query.
//!
//! With r = j − i from query i to key j, N buckets and D the greatest distance that is told apart, a = |r| falls on its side of n buckets into
//!
//! ```text
//! a                                              for a < m = ⌊n / 2⌋
//! min(n − 1, m + ⌊ln(a / m) / ln(D / m) (n − m)⌋)  from there on
//! ```
//!
//! A decoder has one side, n = N. An encoder has two, n = ⌊N / 2⌋, and later keys (r > 0) get n more. From D on, and some way before it, all distances
//! are in the side's last bucket, so a table of a few hundred distances stands for all of them.
//!
//! | here | paper, config.json |
//! |---|---|
//! | `count` | N, `relative_attention_num_buckets` |
//! | `max_distance` | D, `relative_attention_max_distance` |
//!
//! Loads: `relative_attention_bias` of T5 and LongT5, and `global_relative_attention_bias` of LongT5, where distances are counted in blocks
//! (transformers:src/transformers/models/t5/modeling_t5.py `_relative_position_bucket`). The logarithm and what follows are f32 as there, the logarithm rounded
//! once: a distance at the edge of a bucket falls where the reference has it.

use crate::error::{Error, Result};
use crate::kernel::attention::Biases;

/// How distances fall into buckets.
#[derive(Debug, Clone, Copy)]
pub struct DistanceBuckets {
    count: usize,
    max_distance: usize,
}

/// What a side's buckets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// Earlier keys alone: a decoder's.
    Past,
    /// Earlier and later keys: an encoder's.
    Both,
}

/// Distances beyond this are typing errors.
const MOST: usize = 1 << 20;

impl DistanceBuckets {
    /// `count` buckets over distances below `max_distance`. Fails where the formula has no sense.
    pub fn new(count: usize, max_distance: usize) -> Result<Self> {
        if !(4..=MOST).contains(&count) {
            return Err(Error::new(format!("config.json: `relative_attention_num_buckets` is {count}, not between 4 and {MOST}"))
                .hint("each direction needs an exact bucket and a logarithmic one; T5 has 32"));
        }
        if max_distance <= count / 2 || max_distance > MOST {
            let least = count / 2 + 1;
            return Err(Error::new(format!(
                "config.json: `relative_attention_max_distance` is {max_distance}, not between {least} and {MOST}"
            ))
            .hint(format!(
                "half of the {count} `relative_attention_num_buckets` are exact, the others tell greater distances apart; T5 has 128"
            )));
        }
        Ok(Self { count, max_distance })
    }

    /// DistanceBuckets in all.
    pub fn count(self) -> usize {
        self.count
    }

    /// The most distances that a table of them has.
    pub fn most(self) -> usize {
        2 * self.max_distance + 1
    }

    /// DistanceBuckets of a side.
    fn of_side(self, sides: Sides) -> usize {
        if sides == Sides::Both { self.count / 2 } else { self.count }
    }

    /// The bucket of distance `a` on a side of n.
    fn on_side(self, a: usize, n: usize) -> usize {
        let exact = n / 2;
        if a < exact {
            return a;
        }
        let log = f64::from(a as f32 / exact as f32).ln() as f32;
        let whole = (self.max_distance as f64 / exact as f64).ln() as f32;
        // at a = 2^20 the quotient is far below 2^24, and never below 0
        (exact + (log / whole * (n - exact) as f32) as usize).min(n - 1)
    }

    /// The bucket of a key that lies `r` behind its query.
    pub(super) fn bucket(self, r: isize, sides: Sides) -> usize {
        let n = self.of_side(sides);
        match sides {
            Sides::Both if r > 0 => n + self.on_side(r.unsigned_abs(), n),
            Sides::Past if r > 0 => 0,
            _ => self.on_side(r.unsigned_abs(), n),
        }
    }

    /// What scores get by distance: `rows` (buckets, heads), or none at all, a blueprint's, for the same sizes.
    pub fn biases(self, rows: &[f32], heads: usize, sides: Sides) -> Biases {
        let last = self.of_side(sides) - 1;
        let reach = (0..self.max_distance).find(|a| self.on_side(*a, last + 1) == last).unwrap_or(self.max_distance) as isize;
        let ahead = if sides == Sides::Both { reach } else { 0 };
        let buckets: Vec<usize> = (-reach..=ahead).map(|r| self.bucket(r, sides)).collect();
        let number = |head: usize, bucket: usize| rows.get(bucket * heads + head).copied().unwrap_or(0.0);
        let numbers: Vec<f32> = (0..heads).flat_map(|head| buckets.iter().map(move |bucket| number(head, *bucket))).collect();
        Biases::new(heads, &numbers, reach as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where each run of distances begins that falls into one bucket: buckets in all, greatest distance, sides, (r, bucket).
    ///
    /// Made with transformers 5.23 (torch 2.15, CPU): `T5Attention._relative_position_bucket(torch.arange(-n, n + 1), True, 32, 128)` with n = D + 40, and
    /// `torch.arange(-n, 1), False` for the past alone; the first number of each run.
    type Runs = (usize, usize, Sides, &'static [(isize, usize)]);
    #[rustfmt::skip]
    const REFERENCE: &[Runs] = &[
        (32, 128, Sides::Both, &[(-168, 15), (-90, 14), (-63, 13), (-45, 12), (-31, 11), (-22, 10), (-15, 9), (-11, 8), (-7, 7), (-6, 6), (-5, 5), (-4, 4), (-3, 3), (-2, 2), (-1, 1),
            (0, 0), (1, 17), (2, 18), (3, 19), (4, 20), (5, 21), (6, 22), (7, 23), (8, 24), (12, 25), (16, 26), (23, 27), (32, 28), (46, 29), (64, 30), (91, 31)]),
        (32, 128, Sides::Past, &[(-168, 31), (-112, 30), (-98, 29), (-86, 28), (-76, 27), (-66, 26), (-58, 25), (-51, 24), (-45, 23), (-39, 22), (-34, 21), (-30, 20), (-26, 19), (-23, 18),
            (-20, 17), (-18, 16), (-15, 15), (-14, 14), (-13, 13), (-12, 12), (-11, 11), (-10, 10), (-9, 9), (-8, 8), (-7, 7), (-6, 6), (-5, 5), (-4, 4), (-3, 3), (-2, 2), (-1, 1), (0, 0)]),
        (16, 20, Sides::Both, &[(-60, 7), (-13, 6), (-8, 5), (-5, 4), (-3, 3), (-2, 2), (-1, 1), (0, 0), (1, 9), (2, 10), (3, 11), (4, 12), (6, 13), (9, 14), (14, 15)]),
        (16, 20, Sides::Past, &[(-60, 15), (-17, 14), (-15, 13), (-14, 12), (-12, 11), (-11, 10), (-10, 9), (-8, 8), (-7, 7), (-6, 6), (-5, 5), (-4, 4), (-3, 3), (-2, 2), (-1, 1), (0, 0)]),
        (8, 5, Sides::Both, &[(-45, 3), (-3, 2), (-1, 1), (0, 0), (1, 5), (2, 6), (4, 7)]),
        (5, 9, Sides::Both, &[(-49, 1), (0, 0), (1, 3)]),
        (5, 9, Sides::Past, &[(-49, 4), (-5, 3), (-3, 2), (-1, 1), (0, 0)]),
    ];

    #[test]
    fn distances_fall_where_the_reference_has_them() {
        for (count, max_distance, sides, runs) in REFERENCE {
            let buckets = DistanceBuckets::new(*count, *max_distance).unwrap();
            let n = *max_distance as isize + 40;
            for r in -n..=if *sides == Sides::Both { n } else { 0 } {
                let (_, want) = runs.iter().rev().find(|(from, _)| *from <= r).unwrap();
                assert_eq!(buckets.bucket(r, *sides), *want, "{count} buckets to {max_distance}, {sides:?}, distance {r}");
            }
        }
    }

    /// The table may end where the last bucket begins: nothing beyond falls elsewhere.
    #[test]
    fn the_last_bucket_is_the_last() {
        for count in [4, 5, 6, 7, 8, 12, 31, 32, 33, 64, 100] {
            for max_distance in [count / 2 + 1, count, 20, 128, 129, 1000, 4096, MOST] {
                let Ok(buckets) = DistanceBuckets::new(count, max_distance) else { continue };
                for sides in [Sides::Past, Sides::Both] {
                    let last = buckets.of_side(sides) - 1;
                    let first = (0..=max_distance).find(|a| buckets.on_side(*a, last + 1) == last);
                    let first = first.unwrap_or_else(|| panic!("{count} buckets to {max_distance}: never in the last"));
                    let beyond = (first..first + 300).chain([max_distance, 2 * max_distance, 1 << 30, usize::MAX]);
                    beyond.for_each(|a| assert_eq!(buckets.on_side(a, last + 1), last, "{count} buckets to {max_distance}, {a}"));
                }
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (count, max_distance, key) in [
            (0, 128, "num_buckets"),
            (3, 128, "num_buckets"),
            (usize::MAX, 128, "num_buckets"),
            (32, 0, "max_distance"),
            (32, 16, "max_distance"),
            (32, usize::MAX, "max_distance"),
        ] {
            let failed = DistanceBuckets::new(count, max_distance).unwrap_err();
            assert!(failed.message().contains(key), "{count}, {max_distance}: {failed}");
        }
        assert!(DistanceBuckets::new(32, 17).is_ok() && DistanceBuckets::new(4, 3).is_ok());
    }
}
