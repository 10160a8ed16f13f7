//! Matrices on their way from a checkpoint into panels, without a copy in between.

use super::bytes::Bytes;
use super::made_up::MadeUp;
use super::moved::Moved;
use super::{Dtype, Entry, Weights, random};
use crate::error::{Error, Result};
use crate::kernel::linear::pack::{NotFinite, pack};
use crate::kernel::linear::{Layout, Numbers, Packed, View};
use crate::kernel::precision::Precision;
use crate::kernel::rows::Rows;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

/// Which part of a stored matrix is packed, and how it lies there.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// Rows of W.
    pub outputs: usize,
    /// Columns of W.
    pub inputs: usize,
    /// How the stored matrix lies.
    pub layout: Layout,
    /// W's first output among those of the stored matrix, and how many that has.
    pub of: (usize, usize),
}

impl Form {
    /// The whole of a matrix.
    pub fn whole((outputs, inputs): (usize, usize), layout: Layout) -> Self {
        Self { outputs, inputs, layout, of: (0, outputs) }
    }

    /// The shape of the stored matrix.
    fn shape(&self) -> [usize; 2] {
        match self.layout {
            Layout::OutIn => [self.of.1, self.inputs],
            Layout::InOut => [self.inputs, self.of.1],
        }
    }
}

/// Most inputs of an int8 product: 2¹⁷ products of up to 127² fit 32 bits.
const INTEGERS: usize = 1 << 17;

impl Weights {
    /// The matrix `name` as linear weights in the precision of this load, read where it lies. Fails as [`Weights::get`].
    pub fn packed(&self, name: &str, form: &Form, bias: Option<Vec<f32>>) -> Result<Packed> {
        self.packed_of(name, &form.shape(), form, bias)
    }

    /// The same of a tensor with more dimensions, `shape`, whose numbers lie as those of the matrix that `form` describes.
    pub fn packed_of(&self, name: &str, shape: &[usize], form: &Form, bias: Option<Vec<f32>>) -> Result<Packed> {
        self.packed_as(self.store.precision(), name, shape, form, bias)
    }

    /// The matrix `name` in f32, whatever the precision of this load: for what is small and stands in an exponent.
    pub fn packed_exact(&self, name: &str, form: &Form) -> Result<Packed> {
        self.packed_as(Precision::F32, name, &form.shape(), form, None)
    }

    fn packed_as(&self, precision: Precision, name: &str, shape: &[usize], form: &Form, bias: Option<Vec<f32>>) -> Result<Packed> {
        let full = self.name(name);
        if precision == Precision::Int8 && form.inputs > INTEGERS {
            return Err(Error::new(format!(
                "tensor `{full}`: int8 sums are exact for {INTEGERS} inputs at most, this has {}",
                form.inputs
            ))
            .hint("use `--dtype bf16`"));
        }
        let sizes = (form.outputs, form.inputs);
        // a bias is a tensor of its own and counted as such
        self.store.taken.fetch_add(Packed::outline(sizes, precision, None).bytes(), Relaxed);
        if self.is_blueprint() {
            self.store.note(&full, shape, form.inputs);
            return Ok(Packed::outline(sizes, precision, bias));
        }
        self.read_as(&full, shape, form, |view| pack(view, sizes, precision, bias))
    }

    /// The outputs of the matrix `name` as rows that are read one by one, in the precision of this load; `shape` and `form` as in
    /// [`Weights::packed_of`]. Fails as [`Weights::get`].
    ///
    /// With [`Held::mapped`](super::Held::mapped) they stay in their file, if there is one, and it fails where they cannot: they must lie there row by row, in
    /// the precision of this load. Then nobody has seen that they are finite: a number that is not comes out of the kernels as one that is not.
    pub fn rows(&self, name: &str, shape: &[usize], form: &Form) -> Result<Rows> {
        let (precision, full) = (self.store.precision(), self.name(name));
        if self.store.held.mapped
            && let Some(rows) = self.mapped(&full, shape, form)?
        {
            self.store.mapped.fetch_add(rows.bytes(), Relaxed);
            self.store.mark(&full);
            return Ok(rows);
        }
        let sizes = (form.outputs, form.inputs);
        let outline = Rows::outline(sizes, precision);
        // a blueprint stands for a file
        let counter = if self.is_blueprint() && self.store.held.mapped { &self.store.mapped } else { &self.store.taken };
        counter.fetch_add(outline.bytes(), Relaxed);
        if self.is_blueprint() {
            self.store.note(&full, shape, form.inputs);
            return Ok(outline);
        }
        self.read_as(&full, shape, form, |view| Rows::pack(view, sizes, precision))
    }

    /// The rows where they lie; none where there is no file. Fails if they cannot be read there.
    fn mapped(&self, full: &str, shape: &[usize], form: &Form) -> Result<Option<Rows>> {
        if self.store.made_up.is_some() {
            return Ok(None);
        }
        let (path, bytes, entry) = self.find(full, shape)?;
        if !bytes.is_file() {
            return Ok(None);
        }
        let refused =
            |why: String, hint: &str| Err(Error::new(format!("{path}: tensor `{full}` cannot stay in its file: {why}")).hint(hint));
        if self.store.changed(full) {
            return refused("the adapter changes it".to_string(), "leave `--mapped` out");
        }
        let stored = match entry.dtype {
            Dtype::F32 => Precision::F32,
            Dtype::Bf16 => Precision::Bf16,
            other => return refused(format!("it holds {}", other.name()), "only f32 and bf16 are read where they lie: convert the tensor"),
        };
        let held = self.store.precision();
        if stored != held {
            let (stored, held) = (stored.name(), held.name());
            return refused(format!("it holds {stored}, the model would hold {held}"), &format!("use `--dtype {stored}`"));
        }
        if form.layout != Layout::OutIn {
            let why = "its rows are not what is read one by one, its columns are".to_string();
            return refused(why, "write the checkpoint with `effattn convert --rows`, which stores `ff.w1_rows`, or leave `--mapped` out");
        }
        let start = entry.range.start + form.of.0 * form.inputs * held.bytes();
        Ok(Rows::mapped(bytes.clone(), start, (form.outputs, form.inputs), held))
    }

    /// Linear weights (outputs, inputs) of numbers that a caller has put in that order, in the precision of this load. For small tensors of odd layouts.
    pub fn made(&self, numbers: Vec<f32>, sizes: (usize, usize)) -> Packed {
        self.made_with(numbers, sizes, None)
    }

    /// The same with a bias, which is counted already.
    pub fn made_with(&self, numbers: Vec<f32>, sizes: (usize, usize), bias: Option<Vec<f32>>) -> Packed {
        let precision = self.store.precision();
        let view = View { numbers: &&numbers[..], first: 0, apart: sizes.1, layout: Layout::OutIn };
        self.store.taken.fetch_add(Packed::outline(sizes, precision, None).bytes(), Relaxed);
        if self.is_blueprint() { Packed::outline(sizes, precision, bias) } else { pack(&view, sizes, precision, bias).0 }
    }

    fn is_blueprint(&self) -> bool {
        self.store.is_blueprint()
    }

    /// Hands a tensor's numbers, made up or where they lie, to `f`; fails if one is not finite, or too large for what `f` makes of it.
    fn read_as<T>(&self, full: &str, shape: &[usize], form: &Form, f: impl FnOnce(&View) -> (T, Option<NotFinite>)) -> Result<T> {
        if let Some(MadeUp::Random(seed)) = self.store.made_up {
            self.store.note(full, shape, form.inputs);
            let numbers = &random::Stream::new(seed, full, shape, form.inputs);
            // drawn in the order of the packed outputs
            return Ok(f(&View { numbers, first: form.of.0 * form.inputs, apart: form.inputs, layout: Layout::OutIn }).0);
        }
        let (apart, first) = match form.layout {
            Layout::OutIn => (form.inputs, form.of.0 * form.inputs),
            Layout::InOut => (form.of.1, form.of.0),
        };
        let (path, bytes, entry) = self.find(full, shape)?;
        let (one, read) = reader(entry.dtype).ok_or_else(|| not_a_weight(path, full, entry.dtype))?;
        let stored = &Stored { bytes, start: entry.range.start, one, read };
        let merged = self.store.merged(full, stored, (shape, Some(form.layout)))?;
        let numbers = merged.as_ref().map_or(stored as &dyn Numbers, |m| m);
        let moved = self.store.moved.map(|seed| Moved::new(numbers, full, seed));
        let numbers = moved.as_ref().map_or(numbers, |m| m);
        let (made, bad) = f(&View { numbers, first, apart, layout: form.layout });
        self.store.mark(full);
        let whose = |b: &NotFinite| {
            let mut own = [0.0];
            stored.fill(b.index, &mut own);
            merged.is_some() && own[0].is_finite()
        };
        match bad {
            None => Ok(made),
            Some(b) if whose(&b) => {
                let what = if b.value.is_finite() { ", beyond the largest bf16" } else { "" };
                Err(self.store.overdone(full, (b.index, b.value), what))
            }
            Some(b) if b.value.is_finite() => {
                Err(Error::new(format!("{path}: tensor `{full}` holds {:e} at index {}, beyond the largest bf16", b.value, b.index))
                    .hint("use `--dtype f32`"))
            }
            Some(b) => Err(damaged(path, full, b.index, b.value)),
        }
    }
}

/// The error of a tensor whose numbers cannot be weights.
pub(super) fn not_a_weight(path: &str, full: &str, dtype: Dtype) -> Error {
    Error::new(format!("{path}: tensor `{full}` holds {}", dtype.name())).hint("weights may be f32, f16 or bf16")
}

/// All numbers of a tensor as f32. Fails if it holds another kind of numbers, or one that is not finite.
pub(super) fn numbers(path: &str, full: &str, bytes: &Bytes, entry: &Entry) -> Result<Vec<f32>> {
    let (_, read) = reader(entry.dtype).ok_or_else(|| not_a_weight(path, full, entry.dtype))?;
    let mut numbers = vec![0.0; entry.shape.iter().product()];
    read(&bytes.get()[entry.range.clone()], &mut numbers);
    finite(path, full, &numbers).map(|()| numbers)
}

/// Fails if a number is not finite.
fn finite(path: &str, full: &str, numbers: &[f32]) -> Result<()> {
    let bad = numbers.iter().position(|x| !x.is_finite());
    bad.map_or(Ok(()), |i| Err(damaged(path, full, i, numbers[i])))
}

/// The error of a number that is not finite.
pub(super) fn damaged(path: &str, full: &str, index: usize, value: f32) -> Error {
    Error::new(format!("{path}: tensor `{full}` holds {value} at index {index}"))
        .hint("the weights are damaged, or were saved after training diverged")
}

/// A tensor of a file.
struct Stored<'a> {
    bytes: &'a Bytes,
    /// Its first byte.
    start: usize,
    /// Bytes of a number.
    one: usize,
    read: Read,
}

impl Stored<'_> {
    fn range(&self, numbers: Range<usize>) -> Range<usize> {
        self.start + numbers.start * self.one..self.start + numbers.end * self.one
    }
}

impl Numbers for Stored<'_> {
    fn fill(&self, first: usize, out: &mut [f32]) {
        (self.read)(&self.bytes.get()[self.range(first..first + out.len())], out);
    }

    fn done(&self, numbers: Range<usize>) {
        self.bytes.release(self.range(numbers));
    }
}

/// Reads little-endian numbers from as many bytes as there is room for.
type Read = fn(&[u8], &mut [f32]);

/// How a dtype is read, and how many bytes a number has, if it is one of weights.
pub(super) fn reader(dtype: Dtype) -> Option<(usize, Read)> {
    match dtype {
        Dtype::F32 => Some((4, |bytes, out| out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, b)| *out = f32::from_le_bytes(*b)))),
        Dtype::Bf16 => Some((2, |bytes, out| halves(bytes, out, |part, out| part.reinterpret_cast::<bf16>().convert_to_f32_slice(out)))),
        Dtype::F16 => Some((2, |bytes, out| halves(bytes, out, |part, out| part.reinterpret_cast::<f16>().convert_to_f32_slice(out)))),
        _ => None,
    }
}

/// Hands numbers of two bytes on in aligned pieces: a file need not align them.
fn halves(bytes: &[u8], out: &mut [f32], convert: impl Fn(&[u16], &mut [f32])) {
    let mut part = [0u16; 256];
    for (out, bytes) in out.chunks_mut(part.len()).zip(bytes.chunks(2 * part.len())) {
        part.iter_mut().zip(bytes.as_chunks().0).for_each(|(to, b)| *to = u16::from_le_bytes(*b));
        convert(&part[..out.len()], out);
    }
}
