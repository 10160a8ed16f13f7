//! What a pickle can hold here.

use super::element::Element;
use crate::error::{Error, Result};

/// Values at most in one pickle; a checkpoint of a thousand layers with a long history has a fifth of it.
const MOST: usize = 500_000;
/// Tuples in tuples at most, where a value is walked through.
const DEEPEST: usize = 100;
/// Leaves at most.
const LEAVES: usize = 1_000_000;

/// A value's number in its arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(u32);

/// The kinds of numbers in an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// IEEE double precision.
    F64,
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    Bf16,
    /// Whatever else, of so many bytes.
    Other(u8),
}

impl Number {
    /// From numpy's short name, `f4` or `<f4`; the bool says whether the first byte is the highest.
    pub fn parse(name: &str) -> Option<(Self, bool)> {
        let short = name.trim_start_matches(['<', '>', '|', '=']);
        let size = short.get(1..)?.parse::<u8>().ok().filter(|n| *n <= 32)?;
        let number = match short.as_bytes().first()? {
            b'f' if size == 8 => Number::F64,
            b'f' if size == 4 => Number::F32,
            b'f' if size == 2 => Number::F16,
            // trax writes bf16 as 16-bit integers, numpy as two bytes without a type; there are no others in a checkpoint
            b'u' | b'V' if size == 2 => Number::Bf16,
            b'f' | b'i' | b'u' | b'b' | b'V' | b'c' => Number::Other(size),
            _ => return None,
        };
        Some((number, name.starts_with('>')))
    }

    /// Bytes of one.
    pub fn size(self) -> usize {
        match self {
            Number::F64 => 8,
            Number::F32 => 4,
            Number::F16 | Number::Bf16 => 2,
            Number::Other(n) => n.into(),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Number::F64 => "f64",
            Number::F32 => "f32",
            Number::F16 => "f16",
            Number::Bf16 => "bf16",
            Number::Other(_) => "integers",
        }
    }
}

/// An array. Its bytes are as many as its shape says.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<B> {
    /// Kind of its numbers.
    pub number: Number,
    /// Whether the first byte of a number is the highest.
    pub big_endian: bool,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Whether the first index is the fastest.
    pub fortran: bool,
    /// Its bytes.
    pub data: B,
}

impl<B> Array<B> {
    /// Bytes of an array of this shape, if that is a number at all.
    pub fn bytes(number: Number, shape: &[usize]) -> Option<usize> {
        shape.iter().try_fold(number.size(), |n, size| n.checked_mul(*size))
    }
}

/// Numbers beside a pickle of PyTorch.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    /// Kind of its numbers; bytes where the tensors have to say what they are.
    pub element: Element,
    /// Its name, a text.
    pub key: Id,
    /// Where it begins in the storage of that name, in numbers.
    pub first: u64,
    /// Its numbers.
    pub numbers: u64,
}

/// A tensor: what it shows of a storage.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The storage.
    pub storage: Id,
    /// Kind of its numbers.
    pub element: Element,
    /// Its first number in the storage.
    pub offset: u64,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Numbers from an index to the next, of each side.
    pub strides: Vec<usize>,
}

/// The names a pickle may use. Each is a tag; nothing is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Global {
    /// numpy's empty array, to be filled.
    Reconstruct,
    /// numpy's single number.
    Scalar,
    /// numpy's array over a buffer.
    FromBuffer,
    /// The class of arrays.
    NdArray,
    /// The class of kinds of numbers.
    Dtype,
    /// The kind bf16.
    Bfloat16,
    /// jax's wrapper around numpy's array.
    JaxArray,
    /// Text to bytes, for protocols that have no bytes.
    Encode,
    /// Bytes.
    ByteString,
    /// Dictionaries with manners.
    Mapping,
    /// PyTorch's tensor over a storage of its kind of numbers,
    RebuildTensor,
    /// and over mere bytes.
    RebuildTensorAs,
    /// A tensor that is trained.
    RebuildParameter,
    /// A tensor with a class or attributes of its own.
    RebuildFromType,
    /// A class of tensors.
    Class,
    /// A class of storages.
    Storage(Element),
    /// A kind of numbers of PyTorch's.
    Numbers(Element),
    /// Nothing that a weight depends on.
    Inert,
}

impl Global {
    /// The tag of a name, if it is one that a checkpoint has reason to use.
    pub fn of(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Global::Reconstruct,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Global::Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Global::FromBuffer,
            ("numpy", "ndarray") => Global::NdArray,
            ("numpy", "dtype") => Global::Dtype,
            ("ml_dtypes" | "jaxlib.xla_extension" | "jaxlib.xla_client" | "jax.numpy", "bfloat16") => Global::Bfloat16,
            ("jax._src.array", "_reconstruct_array") | ("jax._src.device_array", "reconstruct_device_array") => Global::JaxArray,
            ("_codecs", "encode") => Global::Encode,
            ("builtins" | "__builtin__", "bytes" | "bytearray") => Global::ByteString,
            ("collections", "OrderedDict" | "defaultdict") => Global::Mapping,
            ("trax.shapes", "ShapeDtype") | ("copyreg" | "copy_reg", "_reconstructor") => Global::Inert,
            ("builtins" | "__builtin__", "list" | "dict" | "object" | "set" | "frozenset" | "complex" | "int" | "float") => Global::Inert,
            _ => return None,
        })
    }
}

/// A value; others inside it by their numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// `None`.
    None,
    /// A truth.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values in order, fixed.
    Tuple(Vec<Id>),
    /// Values in order.
    List(Vec<Id>),
    /// Keys and values.
    Dict(Vec<(Id, Id)>),
    /// A name.
    Global(Global),
    /// A kind of numbers; whether big-endian.
    Dtype(Number, bool),
    /// An array that is not filled yet.
    Empty,
    /// An array; `data` is the number of its bytes.
    Array(Array<Id>),
    /// Numbers that lie beside the pickle.
    Storage(Storage),
    /// A tensor.
    View(View),
    /// Something that no weight depends on: numbers with a point, long integers, objects.
    Inert,
}

/// All values of a pickle, and which of them is the pickle's.
#[derive(Debug, Default)]
pub struct Values {
    items: Vec<Item>,
    root: Option<Id>,
}

impl Values {
    /// Adds one; none when there are too many.
    pub fn add(&mut self, item: Item) -> Option<Id> {
        if self.items.len() >= MOST {
            return None;
        }
        self.items.push(item);
        Some(Id(u32::try_from(self.items.len() - 1).ok()?))
    }

    /// A value by its number.
    pub fn get(&self, id: Id) -> &Item {
        &self.items[id.0 as usize]
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, id: Id) -> &mut Item {
        &mut self.items[id.0 as usize]
    }

    /// Says which value is the pickle's.
    pub fn set_root(&mut self, id: Id) {
        self.root = Some(id);
    }

    /// The pickle's value.
    pub fn root(&self) -> Option<Id> {
        self.root
    }

    /// All values in the order in which they were made.
    pub fn all(&self) -> impl Iterator<Item = &Item> {
        self.items.iter()
    }

    /// The value of a text key in a dictionary.
    pub fn key(&self, dict: Id, key: &str) -> Option<Id> {
        let Item::Dict(pairs) = self.get(dict) else { return None };
        // of a key that comes twice the last counts
        pairs.iter().rev().find(|(k, _)| matches!(self.get(*k), Item::Text(t) if t == key)).map(|(_, v)| *v)
    }

    /// The arrays inside a value in order, with their index path; `()` and `None` hold nothing. Fails on anything else, and on a value that
    /// holds itself.
    pub fn leaves(&self, from: Id) -> Result<Vec<(String, Id)>> {
        let (mut out, mut steps) = (Vec::new(), 0);
        self.walk(from, &mut Vec::new(), &mut out, &mut steps)?;
        Ok(out)
    }

    fn walk(&self, id: Id, path: &mut Vec<usize>, out: &mut Vec<(String, Id)>, steps: &mut usize) -> Result<()> {
        *steps += 1;
        let name = || path.iter().map(usize::to_string).collect::<Vec<_>>().join(".");
        if path.len() > DEEPEST || *steps > LEAVES {
            return Err(Error::new(format!("the weights are nested too deep, or in themselves (at `{:.60}`)", name())));
        }
        let child = |i: usize| match self.get(id) {
            Item::Tuple(items) | Item::List(items) => items.get(i).copied(),
            Item::Dict(pairs) => pairs.get(i).map(|(_, value)| *value),
            _ => None,
        };
        match self.get(id) {
            Item::None | Item::Tuple(_) | Item::List(_) | Item::Dict(_) => (),
            Item::Array(_) => out.push((name(), id)),
            other => return Err(Error::new(format!("leaf `{}` of the weights is {}, not an array", name(), other.kind()))),
        }
        for i in 0.. {
            let Some(inner) = child(i) else { break };
            path.push(i);
            self.walk(inner, path, out, steps)?;
            path.pop();
        }
        Ok(())
    }
}

impl Item {
    /// What it is, for errors.
    pub fn kind(&self) -> &'static str {
        match self {
            Item::None => "none",
            Item::Bool(_) => "a truth value",
            Item::Int(_) => "a whole number",
            Item::Text(_) => "text",
            Item::Bytes(_) => "bytes",
            Item::Tuple(_) => "a tuple",
            Item::List(_) => "a list",
            Item::Dict(_) => "a dictionary",
            Item::Global(_) => "a name",
            Item::Dtype(..) => "a kind of numbers",
            Item::Empty => "an array that was never filled",
            Item::Array(_) => "an array",
            Item::Storage(_) => "a storage",
            Item::View(_) => "a tensor",
            Item::Inert => "some object",
        }
    }
}
