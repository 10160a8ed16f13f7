//! Rows of x in the numbers that a kernel takes.

use super::product::{Operand, inputs};
use super::{Packed, pack};
use crate::kernel::{Shared, pool};
use half::bf16;
use std::borrow::Cow;

/// Rows of x as a kernel takes them, each padded with zeros to the lines of the weights.
pub(in crate::kernel) struct Operands<'a> {
    /// Four bytes each, whatever numbers they hold.
    words: Cow<'a, [f32]>,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// int8: what a row's integers are multiplied by.
    pub scales: Vec<f32>,
}

impl<'a> Operands<'a> {
    /// The `n` rows of x, which stay where they lie if the kernel takes them as they are.
    pub fn new(x: &'a [f32], n: usize, w: &Packed, operand: Operand) -> Self {
        let stride = stride(w, operand);
        if operand == Operand::F32 && stride == w.inputs * size_of::<f32>() {
            return Self { words: x.into(), stride, scales: Vec::new() };
        }
        let words = stride / size_of::<f32>();
        let (mut all, mut scales) = room(n, words, operand);
        let (to, factors) = (Shared(all.as_mut_ptr()), Shared(scales.as_mut_ptr()));
        let rows = (1 << 14) / w.inputs.max(1) + 1;
        pool::each(n.div_ceil(rows), |task| {
            for r in task * rows..n.min((task + 1) * rows) {
                // SAFETY: row r of both, which no other task writes
                unsafe {
                    let to = to.add(r * words).0;
                    let factor = convert(&x[r * w.inputs..(r + 1) * w.inputs], to, words, operand);
                    if operand == Operand::Int8 {
                        *factors.add(r).0 = factor;
                    }
                }
            }
        });
        // SAFETY: the tasks have written every row and, for int8, every factor
        unsafe { filled(&mut all, &mut scales, (n, words), operand) };
        Self { words: all.into(), stride, scales }
    }

    /// `n` rows that `row` writes, one after the other, on this thread: all inputs of its row to the place that it is given.
    pub fn written(n: usize, w: &Packed, operand: Operand, mut row: impl FnMut(usize, *mut f32)) -> Self {
        let stride = stride(w, operand);
        let words = stride / size_of::<f32>();
        let (mut all, mut scales) = room(n, words, operand);
        let mut numbers = vec![0.0; if operand == Operand::F32 { 0 } else { w.inputs }];
        for r in 0..n {
            // SAFETY: row r; an f32 row has room for the inputs, and zeros behind them
            unsafe {
                let to = all.as_mut_ptr().add(r * words);
                if operand == Operand::F32 {
                    row(r, to);
                    to.add(w.inputs).write_bytes(0, words - w.inputs);
                } else {
                    row(r, numbers.as_mut_ptr());
                    let factor = convert(&numbers, to, words, operand);
                    if operand == Operand::Int8 {
                        *scales.as_mut_ptr().add(r) = factor;
                    }
                }
            }
        }
        // SAFETY: the loop has written every row and, for int8, every factor
        unsafe { filled(&mut all, &mut scales, (n, words), operand) };
        Self { words: all.into(), stride, scales }
    }

    /// Row `r` and all after it.
    pub fn row(&self, r: usize) -> *const u8 {
        self.words[r * self.stride / size_of::<f32>()..].as_ptr().cast()
    }
}

/// Bytes of a row for these weights: lines take four bytes of x, but for bf16 and int8 weights on f32.
fn stride(w: &Packed, operand: Operand) -> usize {
    (w.lines() * inputs(w.precision) * operand.bytes()).next_multiple_of(size_of::<f32>())
}

/// Room for rows and, for int8, their factors; nothing is written.
fn room(n: usize, words: usize, operand: Operand) -> (Vec<f32>, Vec<f32>) {
    (Vec::with_capacity(n * words), Vec::with_capacity(if operand == Operand::Int8 { n } else { 0 }))
}

/// All of it has been written.
///
/// # Safety
/// It has.
unsafe fn filled(all: &mut Vec<f32>, scales: &mut Vec<f32>, (n, words): (usize, usize), operand: Operand) {
    // SAFETY: as much as [`room`] made, all of it written
    unsafe {
        all.set_len(n * words);
        scales.set_len(if operand == Operand::Int8 { n } else { 0 });
    }
}

/// Writes a row and the zeros behind it; the factor of an int8 row, else 1.
///
/// # Safety
/// `to` has room for `words` words, and they for the row.
unsafe fn convert(x: &[f32], to: *mut f32, words: usize, operand: Operand) -> f32 {
    // SAFETY: the room that the caller promised, zeros at first
    let to = unsafe {
        to.write_bytes(0, words);
        std::slice::from_raw_parts_mut(to.cast::<u8>(), words * size_of::<f32>())
    };
    match operand {
        Operand::F32 => to.as_chunks_mut().0.iter_mut().zip(x).for_each(|(to, x)| *to = x.to_ne_bytes()),
        Operand::Bf16 => to.as_chunks_mut().0.iter_mut().zip(x).for_each(|(to, x)| *to = bf16::from_f32(*x).to_ne_bytes()),
        Operand::Int8 => return pack::quantise(x, to),
    }
    1.0
}
