//! From the numbers of a file to those of another: kinds, orders of bytes, orders of indices.

use super::pickle::{Array, Element, Number};
use crate::error::{Error, Result};
use half::{bf16, f16};
use std::borrow::Cow;

/// What numbers can be made here; model.safetensors may hold others as they came ([`Element`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IEEE single precision.
    F32,
    /// The upper half of that.
    Bf16,
}

impl Kind {
    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Kind::F32 => 4,
            Kind::Bf16 => 2,
        }
    }

    /// As one of the kinds that a file can hold.
    pub fn element(self) -> Element {
        Element { name: self.name(), size: self.size() }
    }

    /// Its name in a safetensors file.
    pub fn name(self) -> &'static str {
        match self {
            Kind::F32 => "F32",
            Kind::Bf16 => "BF16",
        }
    }

    /// What holds numbers of this kind without loss.
    pub fn of(number: Number) -> Self {
        if number == Number::Bf16 { Kind::Bf16 } else { Kind::F32 }
    }

    /// Numbers as bytes.
    pub fn encode(self, numbers: &[f32], out: &mut Vec<u8>) {
        out.clear();
        match self {
            Kind::F32 => out.extend(numbers.iter().flat_map(|x| x.to_le_bytes())),
            Kind::Bf16 => out.extend(numbers.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes())),
        }
    }
}

/// The numbers of an array as bytes of `kind`, the last index fastest; `axes` says which index of the array stands where. Fails if the array
/// holds integers.
pub fn bytes<'a>(array: &'a Array<Cow<'_, [u8]>>, kind: Kind, axes: &[usize]) -> Result<Cow<'a, [u8]>> {
    let native = matches!((array.number, kind), (Number::F32, Kind::F32) | (Number::Bf16, Kind::Bf16));
    let straight = axes.iter().enumerate().all(|(i, axis)| i == *axis) && !array.fortran;
    if native && straight && !array.big_endian {
        return Ok(Cow::Borrowed(&array.data));
    }
    let mut numbers = decode(array)?;
    if !straight {
        numbers = gather(&numbers, &array.shape, array.fortran, axes);
    }
    let mut out = Vec::with_capacity(numbers.len() * kind.size());
    kind.encode(&numbers, &mut out);
    Ok(Cow::Owned(out))
}

fn decode(array: &Array<Cow<'_, [u8]>>) -> Result<Vec<f32>> {
    let big = array.big_endian;
    let each = array.data.chunks_exact(array.number.size().max(1));
    fn ordered<const N: usize>(b: &[u8], big: bool) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(b);
        if big {
            out.reverse();
        }
        out
    }
    Ok(match array.number {
        Number::F64 => each.map(|b| f64::from_le_bytes(ordered(b, big)) as f32).collect(),
        Number::F32 => each.map(|b| f32::from_le_bytes(ordered(b, big))).collect(),
        Number::F16 => each.map(|b| f16::from_le_bytes(ordered(b, big)).to_f32()).collect(),
        Number::Bf16 => each.map(|b| bf16::from_le_bytes(ordered(b, big)).to_f32()).collect(),
        Number::Other(_) => return Err(Error::new("it holds integers, not weights")),
    })
}

/// Numbers in another order of indices, the last of them fastest.
fn gather(numbers: &[f32], shape: &[usize], fortran: bool, axes: &[usize]) -> Vec<f32> {
    let mut strides = vec![1; shape.len()];
    if fortran {
        (1..shape.len()).for_each(|i| strides[i] = strides[i - 1] * shape[i - 1]);
    } else {
        (1..shape.len()).rev().for_each(|i| strides[i - 1] = strides[i] * shape[i]);
    }
    let sides: Vec<(usize, usize)> = axes.iter().map(|&a| (shape[a], strides[a])).collect();
    let mut out = Vec::with_capacity(numbers.len());
    let mut at = vec![0; sides.len()];
    let mut from = 0;
    while out.len() < numbers.len() {
        out.push(numbers[from]);
        for (i, &(side, stride)) in sides.iter().enumerate().rev() {
            at[i] += 1;
            from += stride;
            if at[i] < side {
                break;
            }
            from -= side * stride;
            at[i] = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(number: Number, big_endian: bool, shape: &[usize], fortran: bool, data: Vec<u8>) -> Array<Cow<'static, [u8]>> {
        Array { number, big_endian, shape: shape.to_vec(), fortran, data: Cow::Owned(data) }
    }

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    #[test]
    fn every_kind_and_order_of_bytes() {
        let values = [1.0f32, -2.5, 0.15625];
        let straight = [0];
        let kinds: [(Number, Vec<u8>, Vec<u8>); 4] = [
            (
                Number::F64,
                values.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect(),
                values.iter().flat_map(|x| f64::from(*x).to_be_bytes()).collect(),
            ),
            (Number::F32, values.iter().flat_map(|x| x.to_le_bytes()).collect(), values.iter().flat_map(|x| x.to_be_bytes()).collect()),
            (Number::F16, vec![0x00, 0x3C, 0x00, 0xC1, 0x00, 0x31], vec![0x3C, 0x00, 0xC1, 0x00, 0x31, 0x00]),
            (Number::Bf16, vec![0x80, 0x3F, 0x20, 0xC0, 0x20, 0x3E], vec![0x3F, 0x80, 0xC0, 0x20, 0x3E, 0x20]),
        ];
        for (number, little, big) in kinds {
            assert_eq!(floats(&bytes(&array(number, false, &[3], false, little), Kind::F32, &straight).unwrap()), values, "{number:?}");
            assert_eq!(floats(&bytes(&array(number, true, &[3], false, big), Kind::F32, &straight).unwrap()), values, "{number:?}");
        }
        // to bf16 by rounding to the nearest, ties to even
        let ties = [1.0 + 1.0f32 / 256.0, 1.0 + 3.0 / 256.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(*bytes(&array(Number::F32, false, &[2], false, ties), Kind::Bf16, &straight).unwrap(), [0x80, 0x3F, 0x82, 0x3F]);
        assert!(bytes(&array(Number::Other(4), false, &[1], false, vec![0; 4]), Kind::F32, &straight).is_err());
    }

    #[test]
    fn every_order_of_indices() {
        // the number at [i, j, k] is 100 i + 10 j + k, shape [2, 3, 2]
        let at = |i: usize, j: usize, k: usize| (100 * i + 10 * j + k) as f32;
        let order = |outer: usize, middle: usize, inner: usize, f: &dyn Fn(usize, usize, usize) -> f32| {
            let mut out = Vec::new();
            (0..outer).for_each(|x| (0..middle).for_each(|y| (0..inner).for_each(|z| out.push(f(x, y, z)))));
            out
        };
        let straight = order(2, 3, 2, &at);
        let fortran = order(2, 3, 2, &|k, j, i| at(i, j, k));
        let rows = order(3, 2, 2, &|j, k, i| at(i, j, k));
        assert_eq!(gather(&fortran, &[2, 3, 2], true, &[0, 1, 2]), straight);
        assert_eq!(gather(&straight, &[2, 3, 2], false, &[1, 2, 0]), rows);
        assert_eq!(gather(&fortran, &[2, 3, 2], true, &[1, 2, 0]), rows);
        assert_eq!(gather(&[7.0], &[], true, &[]), [7.0]);
        assert_eq!(gather(&[], &[0, 3], true, &[0, 1]), [0f32; 0]);
    }
}
