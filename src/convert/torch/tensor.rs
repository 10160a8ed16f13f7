//! A tensor: a view of numbers in a file, written one after the other.

use crate::convert::numbers::{self, Kind};
use crate::convert::pickle::{Array, Element, Number};
use crate::convert::write::Writer;
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::ops::Range;

/// Numbers that are written at once.
const PIECE: usize = 1 << 16;

/// A tensor whose numbers are all inside of its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Kind of its numbers.
    pub element: Element,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Which file it is in.
    pub file: usize,
    strides: Vec<usize>,
    /// Its first number's place in the file.
    start: usize,
    /// The end of its last number.
    end: usize,
}

impl Tensor {
    /// The tensor with these strides that begins `offset` numbers behind the start of `storage`. Fails if it reaches beyond its end.
    pub fn new(file: usize, storage: &Range<usize>, element: Element, offset: u64, shape: Vec<usize>, strides: Vec<usize>) -> Result<Self> {
        let beyond = || {
            Error::new(format!(
                "its shape {shape:?} with strides {strides:?} from number {offset} on reaches beyond the {} bytes of its storage",
                storage.len()
            ))
            .hint("the file is damaged; fetch it again")
        };
        let offset = usize::try_from(offset).map_err(|_| beyond())?;
        let count = shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side)).ok_or_else(beyond)?;
        let last =
            shape.iter().zip(&strides).try_fold(offset, |at, (side, stride)| at.checked_add(side.saturating_sub(1).checked_mul(*stride)?));
        let last = if count == 0 { None } else { Some(last.ok_or_else(beyond)?) };
        let place = |n: usize| n.checked_mul(element.size)?.checked_add(storage.start).filter(|at| *at <= storage.end);
        let (start, end) = match last {
            None => (storage.start, storage.start),
            Some(last) => (place(offset).ok_or_else(beyond)?, last.checked_add(1).and_then(place).ok_or_else(beyond)?),
        };
        Ok(Self { element, shape, file, strides, start, end })
    }

    /// A tensor whose numbers lie one behind the other.
    pub fn dense(file: usize, range: &Range<usize>, element: Element, shape: Vec<usize>) -> Result<Self> {
        let mut strides = vec![1usize; shape.len()];
        for i in (1..shape.len()).rev() {
            strides[i - 1] = strides[i].saturating_mul(shape[i].max(1));
        }
        Self::new(file, range, element, 0, shape, strides)
    }

    /// Its numbers.
    pub fn numbers(&self) -> u64 {
        self.shape.iter().map(|n| *n as u64).product()
    }

    /// Its bytes in the file, and those between them.
    pub fn span(&self) -> Range<usize> {
        self.start..self.end
    }

    /// The kind that it is written in, where numbers with a point become `kind`.
    pub fn stored(&self, kind: Option<Kind>) -> Element {
        match kind {
            Some(kind) if self.number().is_some() => kind.element(),
            _ => self.element,
        }
    }

    /// The kind of numbers with a point that can become others.
    fn number(&self) -> Option<Number> {
        match self.element.name {
            "F64" => Some(Number::F64),
            "F32" => Some(Number::F32),
            "F16" => Some(Number::F16),
            "BF16" => Some(Number::Bf16),
            _ => None,
        }
    }

    /// Writes it; `watch` is told how many numbers are done and says whether to go on.
    pub fn write(&self, file: &[u8], kind: Option<Kind>, writer: &mut Writer, watch: &mut dyn FnMut(u64) -> bool) -> Result<bool> {
        if kind.is_some() && self.element.name.starts_with("F8") {
            return Err(Error::new(format!("numbers of the kind {} are not converted", self.element.name.to_lowercase()))
                .hint("leave out `--dtype`"));
        }
        let mut done = 0;
        let mut put = |bytes: &[u8]| -> Result<bool> {
            match (kind, self.number()) {
                (Some(kind), Some(number)) => {
                    let shape = vec![bytes.len() / self.element.size];
                    let array = Array { number, big_endian: false, shape, fortran: false, data: Cow::Borrowed(bytes) };
                    writer.write(&numbers::bytes(&array, kind, &[0])?)?;
                }
                _ => writer.write(bytes)?,
            }
            done += (bytes.len() / self.element.size) as u64;
            Ok(watch(done))
        };
        let whole = file.get(self.span()).ok_or_else(|| Error::new("its numbers are outside of the file"))?;
        if self.is_dense() {
            for piece in whole.chunks(PIECE * self.element.size) {
                if !put(piece)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        self.gather(whole, &mut put)
    }

    /// Whether its numbers lie one behind the other.
    fn is_dense(&self) -> bool {
        if self.numbers() == 0 {
            return true;
        }
        let mut wanted = 1;
        for (side, stride) in self.shape.iter().zip(&self.strides).rev().filter(|(side, _)| **side != 1) {
            if *stride != wanted {
                return false;
            }
            wanted *= side;
        }
        true
    }

    /// Hands on the numbers in the order of the indices, the last of them fastest.
    fn gather(&self, whole: &[u8], put: &mut dyn FnMut(&[u8]) -> Result<bool>) -> Result<bool> {
        let size = self.element.size;
        let mut piece = Vec::with_capacity(PIECE * size);
        let mut at = vec![0; self.shape.len()];
        let mut from = 0;
        for n in 1..=self.numbers() {
            piece.extend_from_slice(&whole[from * size..][..size]);
            if piece.len() == PIECE * size || n == self.numbers() {
                if !put(&piece)? {
                    return Ok(false);
                }
                piece.clear();
            }
            for (i, (&side, &stride)) in self.shape.iter().zip(&self.strides).enumerate().rev() {
                at[i] += 1;
                from += stride;
                if at[i] < side {
                    break;
                }
                from -= side * stride;
                at[i] = 0;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTE: Element = Element { name: "U8", size: 1 };

    #[test]
    fn views_stay_inside_of_their_storage() {
        let storage = 100..110;
        let of = |offset: u64, shape: &[usize], strides: &[usize]| Tensor::new(0, &storage, BYTE, offset, shape.to_vec(), strides.to_vec());
        assert_eq!(of(2, &[2, 3], &[4, 1]).unwrap().span(), 102..109);
        assert_eq!(of(9, &[], &[]).unwrap().span(), 109..110);
        assert_eq!(of(0, &[1000], &[0]).unwrap().numbers(), 1000);
        // nothing is nowhere
        assert_eq!(of(u64::MAX, &[3, 0], &[usize::MAX, 1]).unwrap().span(), 100..100);
        for (offset, shape, strides) in [
            (10, &[][..], &[][..]),
            (0, &[11], &[1]),
            (1, &[10], &[1]),
            (0, &[2], &[10]),
            (u64::MAX, &[1], &[1]),
            (0, &[usize::MAX, 3], &[0, 0]),
            (0, &[3], &[usize::MAX]),
        ] {
            assert!(of(offset, shape, strides).unwrap_err().message().contains("reaches beyond the 10 bytes"), "{offset} {shape:?}");
        }
    }

    #[test]
    fn numbers_come_in_the_order_of_the_indices() {
        let file: Vec<u8> = (0..24).collect();
        let order = |shape: &[usize], strides: &[usize]| {
            let tensor = Tensor::new(0, &(0..24), BYTE, 1, shape.to_vec(), strides.to_vec()).unwrap();
            let mut out = Vec::new();
            tensor
                .gather(&file[tensor.span()], &mut |b| {
                    out.extend_from_slice(b);
                    Ok(true)
                })
                .unwrap();
            (tensor.is_dense(), out)
        };
        assert_eq!(order(&[2, 3], &[3, 1]), (true, vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(order(&[3, 2], &[1, 3]), (false, vec![1, 4, 2, 5, 3, 6]));
        assert_eq!(order(&[2, 2, 2], &[0, 7, 2]), (false, vec![1, 3, 8, 10, 1, 3, 8, 10]));
        assert_eq!(order(&[2, 1, 2], &[2, 99, 1]), (true, vec![1, 2, 3, 4]));
        assert_eq!(order(&[], &[]), (true, vec![1]));
        // sizes whose product is more than any number, and nothing all the same
        let big = usize::MAX / 2;
        assert!(Tensor::new(0, &(0..24), BYTE, 0, vec![0, big, big], vec![big, big, 1]).unwrap().is_dense());
    }
}
