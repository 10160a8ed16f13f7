//! The unit that a block's logits choose.

use crate::kernel::elementwise::{Loop, Wide};
use crate::kernel::simd::Lanes;

/// The place of the greatest number, the first if there are several; none where one is not a number.
pub(super) struct Choose<'a>(pub &'a [f32]);

/// Maxima side by side.
const LANES: usize = 16;

impl Loop for Choose<'_> {
    type Out = Option<usize>;
    /// Plain loops that the compiler turns into the path's registers.
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Wide>(self) -> Option<usize> {
        // beyond infinity, without their signs, lie the bits of what is no number
        let largest = self.0.iter().fold(0, |most, x| (x.to_bits() & 0x7FFF_FFFF).max(most));
        if largest > f32::INFINITY.to_bits() {
            return None;
        }
        let (whole, rest) = self.0.as_chunks::<LANES>();
        let mut most = [f32::NEG_INFINITY; LANES];
        for x in whole {
            for (most, x) in most.iter_mut().zip(x) {
                *most = if *x > *most { *x } else { *most };
            }
        }
        let most = most.iter().chain(rest).fold(f32::NEG_INFINITY, |most, x| if *x > most { *x } else { most });
        self.0.iter().position(|x| *x == most)
    }
}
