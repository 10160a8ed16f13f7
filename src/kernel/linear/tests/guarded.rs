//! What the kernels' tests are made with: noise, buffers between unmapped pages, packed weights.

use crate::kernel::linear::product::{LINE, Product, WIDTH};

/// A seeded generator.
pub struct Noise(u64);

impl Noise {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// 32 random bits.
    pub fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// One of `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.bits()) * n as u64) >> 32) as usize
    }

    /// In −1..1.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    }

    /// A number of the kind.
    pub fn number(&mut self, kind: Kind) -> f32 {
        let plain = self.unit();
        match (kind, self.below(8)) {
            (Kind::Wide, _) => plain * 2f32.powi(self.below(120) as i32 - 60),
            (Kind::Small, 0..4) => plain * 2f32.powi(-(126 + self.below(23) as i32)),
            (Kind::Small, _) => plain * 2f32.powi(self.below(60) as i32 - 80),
            (Kind::Special, 0) => [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0][self.below(4)],
            (Kind::Huge, 0..4) => plain * f32::MAX,
            _ => plain,
        }
    }
}

/// What the numbers of a test are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// In −1..1.
    Plain,
    /// 2⁻⁶⁰ to 2⁶⁰: a sum of products stays finite.
    Wide,
    /// Denormals among small ones.
    Small,
    /// Infinities and NaN among plain ones.
    Special,
    /// Up to the largest f32: sums overflow on the way.
    Huge,
}

/// Bytes that end where an unmapped page begins, or begin where one ends.
pub struct Guarded {
    map: *mut u8,
    len: usize,
    start: usize,
    bytes: usize,
}

const PAGE: usize = 4096;

impl Guarded {
    /// `bytes` of `fill`, at the end of their pages or at the beginning.
    pub fn new(bytes: usize, at_end: bool, fill: u8) -> Self {
        let room = bytes.div_ceil(PAGE) * PAGE;
        let len = room + 2 * PAGE;
        // SAFETY: a fresh mapping; its first and last page are then closed
        let map = unsafe {
            let map =
                libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
            assert_ne!(map, libc::MAP_FAILED);
            let map = map.cast::<u8>();
            assert_eq!(libc::mprotect(map.cast(), PAGE, libc::PROT_NONE), 0);
            assert_eq!(libc::mprotect(map.add(PAGE + room).cast(), PAGE, libc::PROT_NONE), 0);
            map
        };
        let mut it = Self { map, len, start: PAGE + if at_end { room - bytes } else { 0 }, bytes };
        it.slice::<u8>().fill(fill);
        it
    }

    /// Its first byte.
    pub fn ptr(&mut self) -> *mut u8 {
        // SAFETY: within the mapping
        unsafe { self.map.add(self.start) }
    }

    /// All of it.
    pub fn slice<T: Copy>(&mut self) -> &mut [T] {
        assert!(self.ptr().cast::<T>().is_aligned());
        // SAFETY: mapped, aligned, any bits are a number
        unsafe { std::slice::from_raw_parts_mut(self.ptr().cast(), self.bytes / size_of::<T>()) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`
        unsafe { libc::munmap(self.map.cast(), self.len) };
    }
}

/// How numbers lie in panels or in rows of x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Format {
    /// f32.
    F32,
    /// bf16, two a line.
    Bf16,
    /// int8, four a line.
    Int8,
}

impl Format {
    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Format::F32 => 4,
            Format::Bf16 => 2,
            Format::Int8 => 1,
        }
    }

    /// Numbers of a line.
    pub fn k(self) -> usize {
        4 / self.size()
    }

    /// The nearest number of the format (towards zero in bf16; int8 takes −1..1 to −127..127).
    pub fn round(self, x: f32) -> f32 {
        match self {
            Format::F32 => x,
            Format::Bf16 => f32::from_bits(x.to_bits() & 0xffff_0000),
            Format::Int8 => (x * 127.0).round().clamp(-127.0, 127.0),
        }
    }

    /// Writes numbers of the format.
    pub fn write(self, numbers: &[f32], to: &mut [u8]) {
        for (x, to) in numbers.iter().zip(to.chunks_exact_mut(self.size())) {
            match self {
                Format::F32 => to.copy_from_slice(&x.to_le_bytes()),
                Format::Bf16 => to.copy_from_slice(&x.to_le_bytes()[2..]),
                Format::Int8 => to[0] = *x as i8 as u8,
            }
        }
    }
}

/// A product's numbers as the definition sees them, and its buffers.
pub struct Case {
    /// Rows × numbers of x.
    pub x: Vec<f32>,
    /// Outputs × numbers of W.
    pub w: Vec<f32>,
    /// Numbers of a row.
    pub k: usize,
    rows: usize,
    count: usize,
    lines: usize,
    stride: usize,
    out_stride: usize,
    operands: Guarded,
    panels: Guarded,
    sums: Guarded,
    integer: bool,
    out: Guarded,
}

/// What is in `out` before a kernel runs, and after it between rows.
const CANARY: u8 = 0xA5;

impl Case {
    /// A random product of `rows` rows and `count` panels of `lines` lines.
    pub fn new((weights, operands): (Format, Format), (rows, count, lines): (usize, usize, usize), kind: Kind, noise: &mut Noise) -> Self {
        let (k, size, outputs) = (lines * weights.k(), operands.size(), count * WIDTH);
        let kind = if weights == Format::Int8 { Kind::Plain } else { kind };
        // the last numbers of a row are padding more often than not, as a packed matrix has it
        let used = if weights == Format::F32 { k } else { k - noise.below(k.min(2 * weights.k() + 1).max(1)) };
        let mut draw = |n: usize, format: Format| -> Vec<f32> {
            (0..n * k).map(|at| if at % k < used { format.round(noise.number(kind)) } else { 0.0 }).collect()
        };
        let (mut x, mut w) = (draw(rows, operands), draw(outputs, weights));
        if weights == Format::Int8 && noise.below(4) == 0 {
            // the largest sums there can be
            x.iter_mut().chain(&mut w).for_each(|v| *v = if *v < 0.0 { -127.0 } else { 127.0 });
            x.iter_mut().for_each(|v| *v = v.abs());
        }
        let stride = (k + noise.below(3) * noise.below(9)) * size;
        let out_stride = outputs + noise.below(3) * noise.below(9);
        let mut end = || noise.below(3) > 0;
        let span = |n: usize, stride: usize, row: usize| if n == 0 { 0 } else { (n - 1) * stride + row };
        let mut operand = Guarded::new(span(rows, stride, k * size), end(), 0x7F);
        let mut panels = Guarded::new(count * lines * LINE, end(), 0);
        let integer = weights == Format::Int8;
        let mut sums = Guarded::new(if integer { outputs * 4 } else { 0 }, end(), 0);
        let out = Guarded::new(span(rows, out_stride, outputs) * 4, end(), CANARY);
        for (r, row) in x.chunks_exact(k.max(1)).enumerate() {
            operands.write(row, &mut operand.slice::<u8>()[r * stride..][..k * size]);
        }
        for (o, row) in w.chunks_exact(k.max(1)).enumerate() {
            for (i, numbers) in row.chunks_exact(weights.k()).enumerate() {
                let at = ((o / WIDTH) * lines + i) * LINE + o % WIDTH * 4;
                weights.write(numbers, &mut panels.slice::<u8>()[at..at + 4]);
            }
            if integer {
                sums.slice::<i32>()[o] = row.iter().map(|w| *w as i32).sum();
            }
        }
        Self { x, w, k, rows, count, lines, stride, out_stride, operands: operand, panels, sums, integer, out }
    }

    /// The product.
    pub fn product(&mut self) -> Product {
        let sums = if self.integer { self.sums.ptr().cast::<i32>().cast_const() } else { std::ptr::null() };
        Product {
            x: self.operands.ptr(),
            stride: self.stride,
            rows: self.rows,
            panels: self.panels.ptr(),
            count: self.count,
            lines: self.lines,
            sums,
            out: self.out.ptr().cast(),
            out_stride: self.out_stride,
        }
    }

    /// Fills out again, hands the product to `run`, checks that nothing between rows was written, and returns the rows' bits, one NaN for all.
    pub fn bits(&mut self, run: impl FnOnce(&Product)) -> Vec<u32> {
        self.out.slice::<u8>().fill(CANARY);
        run(&self.product());
        let (outputs, stride, integer) = (self.count * WIDTH, self.out_stride, self.integer);
        let all = self.out.slice::<u32>();
        let mut bits = Vec::new();
        for (at, b) in all.iter().enumerate() {
            if at % stride.max(1) < outputs {
                bits.push(if !integer && f32::from_bits(*b).is_nan() { f32::NAN.to_bits() } else { *b });
            } else {
                assert_eq!(*b, u32::from_le_bytes([CANARY; 4]), "written between rows, at {at}");
            }
        }
        bits
    }
}
