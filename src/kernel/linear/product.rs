//! What every kernel computes: a few rows times a few panels.
//!
//! A panel holds 16 outputs of a weight matrix, `lines` lines of [`LINE`] bytes. A line holds, for each output in turn, [`inputs`] consecutive
//! inputs: 1 f32, 2 bf16 or 4 int8. A line is one cache line, one AVX-512 register and one row of an AMX tile.
//!
//! The bits of out(r, o) depend on row r of x and row o of the weights alone, never on the rows and panels beside them nor on how a
//! caller cuts them into calls: every kernel keeps one order of addition for each output.

use crate::kernel::precision::Precision;
use crate::kernel::simd::Isa;

/// Outputs of a panel.
pub const WIDTH: usize = 16;
/// Bytes of a line.
pub const LINE: usize = 64;
/// Lines of bf16 and int8 panels come in multiples of this: the rows of an AMX tile.
pub const TILE: usize = 16;

/// Inputs of a line.
pub fn inputs(precision: Precision) -> usize {
    LINE / WIDTH / precision.bytes()
}

/// What a kernel takes for x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// f32.
    F32,
    /// bf16, rounded to nearest even.
    Bf16,
    /// Integers −127..=127.
    Int8,
}

impl Operand {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Operand::F32 => 4,
            Operand::Bf16 => 2,
            Operand::Int8 => 1,
        }
    }
}

/// Rows times panels, written to `out`.
#[derive(Clone, Copy)]
pub struct Product {
    /// First row of x in the kernel's [`Operand`], as many numbers as the panels have inputs.
    pub x: *const u8,
    /// Bytes from one row of x to the next.
    pub stride: usize,
    /// Rows.
    pub rows: usize,
    /// First panel, aligned to [`LINE`]; the others follow.
    pub panels: *const u8,
    /// Panels.
    pub count: usize,
    /// Lines of a panel: a multiple of [`TILE`] but for f32; at most 32,768 for int8, so that no sum leaves 32 bits.
    pub lines: usize,
    /// int8 alone: the sum of the weights of each output, for instructions that want one operand unsigned.
    pub sums: *const i32,
    /// First row of the output, [`WIDTH`] · `count` numbers a row; overwritten. int8 writes 32-bit integers here.
    pub out: *mut f32,
    /// Numbers from one row of the output to the next.
    pub out_stride: usize,
}

/// A product on one path.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// What it takes for x.
    pub operand: Operand,
    /// Runs it.
    ///
    /// # Safety
    /// The pointers of [`Product`] are valid for what its fields say, `out` overlaps nothing, the machine has the path.
    pub run: unsafe fn(&Product),
}

impl Product {
    /// Bytes of a panel.
    #[inline(always)]
    pub fn pitch(&self) -> usize {
        self.lines * LINE
    }

    /// The same for panels `first .. first + count`.
    ///
    /// # Safety
    /// This product is sound and has these panels.
    #[inline(always)]
    pub unsafe fn of_panels(&self, first: usize, count: usize) -> Self {
        let sums = if self.sums.is_null() { self.sums } else { self.sums.wrapping_add(first * WIDTH) };
        // SAFETY: the panels and their columns of out lie within what this product describes
        let (panels, out) = unsafe { (self.panels.add(first * self.pitch()), self.out.add(first * WIDTH)) };
        Self { panels, count, sums, out, ..*self }
    }

    /// The same for rows `first .. first + rows`.
    ///
    /// # Safety
    /// This product is sound and has these rows.
    #[inline(always)]
    pub unsafe fn of_rows(&self, first: usize, rows: usize) -> Self {
        // SAFETY: the rows lie within what this product describes
        let (x, out) = unsafe { (self.x.add(first * self.stride), self.out.add(first * self.out_stride)) };
        Self { x, rows, out, ..*self }
    }
}

impl Kernel {
    /// The kernel of a path for weights of one precision.
    pub fn of(isa: Isa, precision: Precision) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx if precision != Precision::F32 => super::amx::kernel(precision),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx | Isa::Avx512Bf16 | Isa::Avx512 => super::avx512::kernel(isa, precision),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => super::avx2::kernel(precision),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => super::neon::kernel(precision),
            _ => super::portable::kernel(precision),
        }
    }
}
