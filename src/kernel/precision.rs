//! The kinds of numbers that weights and caches are kept in.

/// How a number is stored. All sums are f32 (int8 products: exact 32-bit integers, then f32).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// 24 bits of mantissa.
    #[default]
    F32,
    /// The upper half of an f32: 8 bits of mantissa.
    Bf16,
    /// Integers −127..=127 times a factor a row.
    Int8,
}

impl Precision {
    /// The name that options and records use.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        }
    }

    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
            Precision::Int8 => 1,
        }
    }
}
