//! What keys and values are stored in: cache lines, and the numbers of either precision in them.

/// A cache line of either precision: runs begin at one, so that no register is filled from two.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::kernel) struct Line([u32; 16]);

impl Line {
    /// All zeros.
    pub(in crate::kernel) const ZERO: Self = Line([0; 16]);
}

/// How a number lies in a run.
pub(in crate::kernel) trait Element: Copy {
    /// The nearest number that the run can hold, ties to even.
    fn round(x: f32) -> Self;
}

impl Element for f32 {
    fn round(x: f32) -> Self {
        x
    }
}

/// bf16, the upper half of an f32.
impl Element for u16 {
    fn round(x: f32) -> Self {
        let bits = x.to_bits();
        // a half, less one unit where the upper half is even: ties go to even; NaN must not become infinite
        let up = bits.wrapping_add(0x7FFF + (bits >> 16 & 1));
        (if x.is_nan() { bits | 0x40_0000 } else { up } >> 16) as u16
    }
}

/// The numbers in `lines`.
pub(in crate::kernel) fn numbers<E: Element>(lines: &[Line]) -> &[E] {
    // SAFETY: f32 and u16 take any bits, need no more than a line's alignment, and fill lines evenly
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines) / size_of::<E>()) }
}

/// See [`numbers`].
pub(in crate::kernel) fn numbers_mut<E: Element>(lines: &mut [Line]) -> &mut [E] {
    // SAFETY: as in `numbers`; the borrow is exclusive
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines) / size_of::<E>()) }
}
