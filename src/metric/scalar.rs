//! Numbers as Python with numpy ≥ 2 computes with them (NEP 50).

use super::Sums;
use std::ops::{Add, Div, Mul};

/// A Python number: a `float` or `int` of 64 bits, or a numpy `float32`, which wins over a `float` it meets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    /// 64 bits as long as it meets its like only.
    Double(f64),
    /// 32 bits; so is every number computed with it.
    Single(f32),
}

impl Scalar {
    /// All sums, each in its own width.
    pub fn all(sums: Sums<'_>) -> Vec<Self> {
        match sums {
            Sums::Single(sums) => sums.iter().copied().map(Self::Single).collect(),
            Sums::Double(sums) => sums.iter().copied().map(Self::Double).collect(),
        }
    }

    /// Its value; exact for both widths.
    pub fn get(self) -> f64 {
        match self {
            Self::Double(x) => x,
            Self::Single(x) => f64::from(x),
        }
    }

    fn single(self) -> f32 {
        match self {
            Self::Double(x) => x as f32,
            Self::Single(x) => x,
        }
    }

    fn with(self, other: Self, double: impl Fn(f64, f64) -> f64, single: impl Fn(f32, f32) -> f32) -> Self {
        match (self, other) {
            (Self::Double(a), Self::Double(b)) => Self::Double(double(a, b)),
            (a, b) => Self::Single(single(a.single(), b.single())),
        }
    }
}

impl Add for Scalar {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.with(other, |a, b| a + b, |a, b| a + b)
    }
}

impl Mul for Scalar {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        self.with(other, |a, b| a * b, |a, b| a * b)
    }
}

impl Div for Scalar {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        self.with(other, |a, b| a / b, |a, b| a / b)
    }
}

#[cfg(test)]
mod tests {
    use super::Scalar::{Double, Single};

    #[test]
    fn single_wins_once_it_is_met() {
        assert_eq!(Double(0.1) + Double(0.2), Double(0.30000000000000004));
        assert_eq!(Double(0.1) * Single(3.0), Single(0.3));
        // the product of the doubles comes first, and only then is rounded
        assert_eq!(Double(100.0) * Double(0.3) / Single(7.0), Single(4.285714));
        assert_eq!((Single(1.0) / Single(3.0)).get(), 0.3333333432674408);
    }
}
