//! AMX: tiles of 16 rows × 16 outputs, bf16 and int8.
//!
//! 16 lines of a panel are a tile of weights, 1 KiB in a row; 64 bytes of up to 16 rows of x are a tile of operands; a tile of sums
//! takes their product in one instruction. Up to 16 rows go against four panels side by side, all lines at a stretch: the same loop
//! serves one row, where it streams four panels, and 16. More rows go in pairs of tiles against two panels, `BLOCK` lines at a time,
//! so that the slab of two panels stays in the first-level cache; between two blocks the sums wait in `out`, as the bits that they are.
//!
//! Stable Rust has no intrinsics for tiles, hence the assembly. What it relies on:
//! - **Permission.** Linux gives a process its tiles only when asked; [`available`] asks once. Without it the first instruction traps.
//! - **Numbers in tiles** live within one `asm!` block, which loads or zeroes every tile it reads and names all that it writes.
//! - **The tiles' sizes** are the one state that stays between blocks: `Sizes::set` loads them, the functions of this module run
//!   no other code between that and the blocks that need them, and `Sizes::drop` releases the tiles, so that none stay for the
//!   kernel to save. The compiler itself uses no tiles. A switch of threads keeps them, as it keeps every register.

use super::product::{Kernel, LINE, Operand, Product, WIDTH};
use crate::kernel::precision::Precision;
use std::arch::asm;
use std::sync::OnceLock;

/// Lines of a tile.
const TILE: usize = 16;
/// Rows of a tile at most.
const ROWS: usize = 16;
/// Lines that more than 32 rows take at a time: 20 KiB of two panels, and as much of 32 rows.
const BLOCK: usize = 10 * TILE;

/// Whether this machine has the instructions and Linux lets this process use them; asks for it the first time.
pub fn available() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| instructions() && permission())
}

/// The processor has tiles with bf16 and int8, and the system saves them.
fn instructions() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const TILES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    const OSXSAVE: u32 = 1 << 27;
    const STATE: u64 = 1 << 17 | 1 << 18;
    // `cpuid` is on every x86-64, and safe to call since Rust 1.94
    #[allow(unused_unsafe)]
    // SAFETY: as said
    let (most, one, seven) = unsafe { (__cpuid(0).eax, __cpuid(1), __cpuid_count(7, 0)) };
    // SAFETY: OSXSAVE says that `xgetbv` is there
    most >= 0x1d && one.ecx & OSXSAVE != 0 && seven.edx & TILES == TILES && unsafe { state() } & STATE == STATE
}

/// The registers that the system saves.
///
/// # Safety
/// The processor has `xgetbv` and the system allows it.
#[target_feature(enable = "xsave")]
unsafe fn state() -> u64 {
    // SAFETY: the caller's promise
    unsafe { std::arch::x86_64::_xgetbv(0) }
}

/// Asks Linux for the tiles' data; all threads of the process, later ones too, have them then.
#[cfg(target_os = "linux")]
fn permission() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: takes two numbers, touches no memory of ours
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
fn permission() -> bool {
    false
}

/// The path's kernels; there is none for f32.
pub fn kernel(precision: Precision) -> Kernel {
    match precision {
        Precision::F32 | Precision::Bf16 => Kernel { operand: Operand::Bf16, run: bf16 },
        Precision::Int8 => Kernel { operand: Operand::Int8, run: int8 },
    }
}

/// bf16 weights, x bf16: each 16 lines add two chains of 16 fused products, of the even and of the odd inputs, ascending from 0, then
/// their sum to the sums before; denormals count as zero and become zero, in operands and sums.
///
/// # Safety
/// As [`Product`] says; AMX is [`available`].
pub unsafe fn bf16(p: &Product) {
    // SAFETY: handed on
    unsafe { run::<Bf16>(p) }
}

/// int8 weights, x int8, exact.
///
/// # Safety
/// As [`Product`] says; AMX is [`available`].
pub unsafe fn int8(p: &Product) {
    // SAFETY: handed on
    unsafe { run::<Int8>(p) }
}

/// The sizes (a, b) that the tiles have now: `a` rows in tiles 0 to 4, or with `b > 0` in 0, 1 and 4, and `b` in 2, 3 and 5; (0, 0) at first.
struct Sizes(usize, usize);

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start: u8,
    zero: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

impl Sizes {
    /// Loads them, unless the tiles have them. Loading takes as long as a dozen products of tiles.
    ///
    /// # Safety
    /// AMX is available; no numbers in tiles are needed any more.
    unsafe fn set(&mut self, a: usize, b: usize) {
        if (self.0, self.1) == (a, b) {
            return;
        }
        debug_assert!((1..=ROWS).contains(&a) && b <= ROWS);
        (self.0, self.1) = (a, b);
        let (a, b) = (a as u8, b as u8);
        let rows = if b == 0 { [a, a, a, a, a, 16, 16, 16] } else { [a, a, b, b, a, b, 16, 16] };
        let mut config = Config { palette: 1, start: 0, zero: [0; 14], bytes: [0; 16], rows: [0; 16] };
        config.bytes[..8].fill(LINE as u16);
        config.rows[..8].copy_from_slice(&rows);
        // SAFETY: 64 bytes as `ldtilecfg` wants them: palette 1, tiles of at most 16 rows and 64 bytes
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _)
        };
    }
}

impl Drop for Sizes {
    fn drop(&mut self) {
        // SAFETY: made by `run` alone, where AMX is available; nobody else's tiles are in use
        unsafe {
            asm!("tilerelease", options(nostack, nomem),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _)
        }
    }
}

/// Tiles of sums of the rows and panels of `p`, over `lines` lines from `at` (at least one tile).
#[derive(Clone, Copy)]
struct Part<'a> {
    p: &'a Product,
    at: usize,
    lines: usize,
}

impl Part<'_> {
    /// The operands' first byte.
    ///
    /// # Safety
    /// `at` lies within the lines.
    unsafe fn x(&self) -> *const u8 {
        // SAFETY: both formats bring four bytes to a line
        unsafe { self.p.x.add(self.at * 4) }
    }

    /// The first line of panel `c`.
    ///
    /// # Safety
    /// The product has panel `c`, and lines at `at`.
    unsafe fn w(&self, c: usize) -> *const u8 {
        // SAFETY: the caller's promise
        unsafe { self.p.panels.add(c * self.p.pitch() + self.at * LINE) }
    }
}

/// The products of one kind of number.
trait Tiles {
    /// Up to 16 rows against one panel.
    ///
    /// # Safety
    /// The product has these panels, the tiles the sizes of its rows (`b` = 0); here and in the next two.
    unsafe fn one(t: Part);
    /// Against two.
    ///
    /// # Safety
    /// As [`Tiles::one`].
    unsafe fn two(t: Part);
    /// Against four.
    ///
    /// # Safety
    /// As [`Tiles::one`].
    unsafe fn four(t: Part);
    /// 16 rows and up to 16 more against two panels.
    ///
    /// # Safety
    /// The product has two panels and more than 16 rows; the tiles have the sizes 16 and the rows past them.
    unsafe fn square(t: Part);
}

/// bf16 pairs.
struct Bf16;
/// Signed bytes by fours.
struct Int8;

/// A block of assembly around `$step`, which takes 16 lines from `{w0}` … on; `$clear`, `$load` and `$store` are for the tiles of sums.
macro_rules! block {
    ([$($clear:literal),*] [$($load:literal),*] [$($step:expr),*] [$($store:literal),*] $t:ident $($operands:tt)*) => {
        asm!(
            "test {more}, {more}",
            "jnz 2f",
            $($clear,)*
            "jmp 3f",
            "2:",
            $($load,)*
            "3:",
            "tileloadd tmm4, [{x} + {stride}*1]",
            $($step,)*
            "add {x}, 64",
            "dec {n}",
            "jnz 3b",
            $($store,)*
            more = in(reg) $t.at,
            x = inout(reg) $t.x() => _,
            stride = in(reg) $t.p.stride,
            line = in(reg) LINE,
            n = inout(reg) $t.lines / TILE => _,
            out = in(reg) $t.p.out,
            pitch = in(reg) $t.p.out_stride * size_of::<f32>(),
            $($operands)*
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack)
        )
    };
}

macro_rules! tiles {
    ($unit:ident, $dot:literal) => {
        impl Tiles for $unit {
            unsafe fn one(t: Part) {
                // SAFETY: reads 64 bytes of each row and 1 KiB of the panel a turn, `lines / 16` turns; reads and writes 16 sums a row
                unsafe {
                    block!(
                        ["tilezero tmm0"]
                        ["tileloadd tmm0, [{out} + {pitch}*1]"]
                        ["tileloadd tmm5, [{w0} + {line}*1]", concat!($dot, " tmm0, tmm4, tmm5"), "add {w0}, 1024"]
                        ["tilestored [{out} + {pitch}*1], tmm0"]
                        t w0 = inout(reg) t.w(0) => _,
                    )
                }
            }

            unsafe fn two(t: Part) {
                // SAFETY: as `one`, of two panels
                unsafe {
                    block!(
                        ["tilezero tmm0", "tilezero tmm1"]
                        ["tileloadd tmm0, [{out} + {pitch}*1]", "tileloadd tmm1, [{out} + {pitch}*1 + 64]"]
                        [
                            "tileloadd tmm5, [{w0} + {line}*1]", concat!($dot, " tmm0, tmm4, tmm5"), "add {w0}, 1024",
                            "tileloadd tmm6, [{w1} + {line}*1]", concat!($dot, " tmm1, tmm4, tmm6"), "add {w1}, 1024"
                        ]
                        ["tilestored [{out} + {pitch}*1], tmm0", "tilestored [{out} + {pitch}*1 + 64], tmm1"]
                        t w0 = inout(reg) t.w(0) => _, w1 = inout(reg) t.w(1) => _,
                    )
                }
            }

            unsafe fn four(t: Part) {
                // SAFETY: as `one`, of four panels
                unsafe {
                    block!(
                        ["tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3"]
                        [
                            "tileloadd tmm0, [{out} + {pitch}*1]", "tileloadd tmm1, [{out} + {pitch}*1 + 64]",
                            "tileloadd tmm2, [{out} + {pitch}*1 + 128]", "tileloadd tmm3, [{out} + {pitch}*1 + 192]"
                        ]
                        [
                            "tileloadd tmm5, [{w0} + {line}*1]", concat!($dot, " tmm0, tmm4, tmm5"), "add {w0}, 1024",
                            "tileloadd tmm6, [{w1} + {line}*1]", concat!($dot, " tmm1, tmm4, tmm6"), "add {w1}, 1024",
                            "tileloadd tmm7, [{w2} + {line}*1]", concat!($dot, " tmm2, tmm4, tmm7"), "add {w2}, 1024",
                            "tileloadd tmm5, [{w3} + {line}*1]", concat!($dot, " tmm3, tmm4, tmm5"), "add {w3}, 1024"
                        ]
                        [
                            "tilestored [{out} + {pitch}*1], tmm0", "tilestored [{out} + {pitch}*1 + 64], tmm1",
                            "tilestored [{out} + {pitch}*1 + 128], tmm2", "tilestored [{out} + {pitch}*1 + 192], tmm3"
                        ]
                        t w0 = inout(reg) t.w(0) => _, w1 = inout(reg) t.w(1) => _, w2 = inout(reg) t.w(2) => _, w3 = inout(reg) t.w(3) => _,
                    )
                }
            }

            unsafe fn square(t: Part) {
                // SAFETY: as `two`, for the rows of tile 0 and, 16 rows on, of tile 2
                unsafe {
                    block!(
                        ["tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3"]
                        [
                            "tileloadd tmm0, [{out} + {pitch}*1]", "tileloadd tmm1, [{out} + {pitch}*1 + 64]",
                            "tileloadd tmm2, [{below} + {pitch}*1]", "tileloadd tmm3, [{below} + {pitch}*1 + 64]"
                        ]
                        [
                            "tileloadd tmm6, [{w0} + {line}*1]", concat!($dot, " tmm0, tmm4, tmm6"), "add {w0}, 1024",
                            "tileloadd tmm5, [{y} + {stride}*1]", concat!($dot, " tmm2, tmm5, tmm6"), "add {y}, 64",
                            "tileloadd tmm7, [{w1} + {line}*1]", concat!($dot, " tmm1, tmm4, tmm7"), "add {w1}, 1024",
                            concat!($dot, " tmm3, tmm5, tmm7")
                        ]
                        [
                            "tilestored [{out} + {pitch}*1], tmm0", "tilestored [{out} + {pitch}*1 + 64], tmm1",
                            "tilestored [{below} + {pitch}*1], tmm2", "tilestored [{below} + {pitch}*1 + 64], tmm3"
                        ]
                        t w0 = inout(reg) t.w(0) => _, w1 = inout(reg) t.w(1) => _,
                        y = inout(reg) t.x().add(ROWS * t.p.stride) => _,
                        below = in(reg) t.p.out.add(ROWS * t.p.out_stride),
                    )
                }
            }
        }
    };
}
tiles!(Bf16, "tdpbf16ps");
tiles!(Int8, "tdpbssd");

/// Runs a product.
unsafe fn run<T: Tiles>(p: &Product) {
    if p.rows == 0 || p.count == 0 {
        return;
    }
    if p.lines == 0 {
        for r in 0..p.rows {
            // SAFETY: row r of out; zero bits are 0 in both formats
            unsafe { p.out.add(r * p.out_stride).write_bytes(0, p.count * WIDTH) }
        }
        return;
    }
    debug_assert!(p.lines.is_multiple_of(TILE));
    let mut sizes = Sizes(0, 0);
    let mut at = 0;
    while at < p.count {
        let left = p.count - at;
        // SAFETY: panels at .. at + 4, 2 or 1 of the product
        unsafe {
            if p.rows > ROWS && left > 1 {
                pair::<T>(&p.of_panels(at, 2), &mut sizes);
                at += 2;
            } else {
                let n = [4, 2, 1].into_iter().find(|n| *n <= left).unwrap_or(1);
                few::<T>(&p.of_panels(at, n), &mut sizes);
                at += n;
            }
        }
    }
}

/// Two panels, tall pairs of tiles of rows; the rows past 32, 64 … afterwards, so that the tiles' sizes change twice and not each block.
unsafe fn pair<T: Tiles>(p: &Product, sizes: &mut Sizes) {
    let whole = p.rows / (2 * ROWS) * (2 * ROWS);
    let rest = p.rows - whole;
    // SAFETY: lines at .. at + lines and rows r .. r + 32 or all that are left; the sizes are those rows'
    unsafe {
        if whole > 0 {
            sizes.set(ROWS, ROWS);
            for at in (0..p.lines).step_by(BLOCK) {
                for r in (0..whole).step_by(2 * ROWS) {
                    T::square(Part { p: &p.of_rows(r, 2 * ROWS), at, lines: BLOCK.min(p.lines - at) });
                }
            }
        }
        let last = p.of_rows(whole, rest);
        if rest > ROWS {
            sizes.set(ROWS, rest - ROWS);
            T::square(Part { p: &last, at: 0, lines: p.lines });
        } else if rest > 0 {
            few::<T>(&last, sizes);
        }
    }
}

/// One, two or four panels, a tile of rows at a time.
unsafe fn few<T: Tiles>(p: &Product, sizes: &mut Sizes) {
    for r in (0..p.rows).step_by(ROWS) {
        let rows = ROWS.min(p.rows - r);
        // SAFETY: rows r .. r + rows and all lines; the sizes are those rows'
        unsafe {
            sizes.set(rows, 0);
            let part = p.of_rows(r, rows);
            let t = Part { p: &part, at: 0, lines: p.lines };
            match p.count {
                4 => T::four(t),
                2 => T::two(t),
                _ => T::one(t),
            }
        }
    }
}
