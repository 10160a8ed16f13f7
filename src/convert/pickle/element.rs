//! The kinds of numbers that PyTorch stores and safetensors can hold.

/// A kind of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Its name in a safetensors file.
    pub name: &'static str,
    /// Bytes of one.
    pub size: usize,
}

/// Class of storages, kind of numbers, name in a safetensors file, bytes.
const KINDS: &[(&str, &str, &str, usize)] = &[
    ("DoubleStorage", "float64", "F64", 8),
    ("FloatStorage", "float32", "F32", 4),
    ("HalfStorage", "float16", "F16", 2),
    ("BFloat16Storage", "bfloat16", "BF16", 2),
    ("LongStorage", "int64", "I64", 8),
    ("IntStorage", "int32", "I32", 4),
    ("ShortStorage", "int16", "I16", 2),
    ("CharStorage", "int8", "I8", 1),
    ("ByteStorage", "uint8", "U8", 1),
    ("BoolStorage", "bool", "BOOL", 1),
    ("ComplexFloatStorage", "complex64", "C64", 8),
    // these have no class of their own: their storages are bytes
    ("", "uint16", "U16", 2),
    ("", "uint32", "U32", 4),
    ("", "uint64", "U64", 8),
    ("", "float8_e4m3fn", "F8_E4M3", 1),
    ("", "float8_e5m2", "F8_E5M2", 1),
    ("UntypedStorage", "", "U8", 1),
];

impl Element {
    /// The kind of a class of storages in `torch`.
    pub fn of_storage(class: &str) -> Option<Self> {
        Self::find(|kind| !class.is_empty() && kind.0 == class)
    }

    /// The kind of a `torch.dtype`.
    pub fn of_dtype(name: &str) -> Option<Self> {
        Self::find(|kind| !name.is_empty() && kind.1 == name)
    }

    /// The kind of a name in a safetensors file.
    pub fn of_safetensors(name: &str) -> Option<Self> {
        Self::find(|kind| kind.2 == name)
    }

    fn find(is: impl Fn(&(&str, &str, &str, usize)) -> bool) -> Option<Self> {
        KINDS.iter().find(|kind| is(kind)).map(|&(_, _, name, size)| Self { name, size })
    }
}
