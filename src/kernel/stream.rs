//! How fast this machine reads memory: what a decode step, which streams all weights once, could reach at best.
//!
//! As STREAM measures it (buffers far beyond the cache, best of several passes), but reading only, because weights are only
//! read. The buffer is what weights lie in, so that its pages are of the same kind.

use crate::kernel::buffer::Buffer;
use crate::kernel::simd::{Isa, isa};
use crate::machine::memory;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Duration;

const MIB: usize = 1 << 20;
/// Bytes of a buffer's unit, as every path adds them up.
const WORD: usize = size_of::<u64>();
/// Runs that a thread reads side by side.
const RUNS: usize = 4;
/// Words of a run: 64 KiB, so that the runs lie in pages of their own but near enough for the page tables to stay in cache.
const RUN: usize = (64 << 10) / WORD;

/// The rates at which all threads together read one buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bandwidth {
    /// Bytes a second in the fastest pass: the figure to compare with.
    pub best: f64,
    /// Bytes a second in the median pass: far below `best` when something else used the memory meanwhile.
    pub median: f64,
    /// Passes over the buffer.
    pub passes: usize,
    /// Bytes of the buffer.
    pub bytes: usize,
}

impl Bandwidth {
    /// Whether the buffer was at least four times the last-level cache (of a size in bytes), so that the figure is that of memory.
    /// Holds where the cache is not known.
    pub fn beyond_cache(&self, last_level_cache: Option<usize>) -> bool {
        last_level_cache.is_none_or(|cache| self.bytes >= cache.saturating_mul(4))
    }
}

/// Bytes for [`read_bandwidth`] to read: four times the last-level cache (all of it, in bytes), but 256 MiB at least and 1 GiB at most.
///
/// Never more than a quarter of the memory that is available, where that can be told: where memory is short the buffer is smaller
/// than it should be, and [`Bandwidth::beyond_cache`] says so.
pub fn buffer_size(last_level_cache: Option<usize>) -> usize {
    sized(last_level_cache, memory::available())
}

fn sized(last_level_cache: Option<usize>, available: Option<usize>) -> usize {
    let wanted = last_level_cache.unwrap_or(0).saturating_mul(4).clamp(256 * MIB, 1024 * MIB);
    wanted.min(available.unwrap_or(usize::MAX) / 4)
}

/// Passes over a buffer of so many bytes that read 4 GiB in all, or a little more: with the smallest buffer half a second on one
/// core of an ordinary machine. The largest takes longer than that to be touched, by one core, but few caches ask for it.
pub fn passes(bytes: usize) -> usize {
    (4096 * MIB / bytes.max(1)).clamp(8, 16)
}

/// Reads `bytes` bytes `passes` times (once at least) with all threads of the current rayon pool, each its own part.
///
/// `now` is a clock that never goes back; it is asked on the calling thread, before and after each pass. The parts are first
/// touched by the threads that read them, as memory belongs to the processor that touches it first.
pub fn read_bandwidth(bytes: usize, passes: usize, now: &dyn Fn() -> Duration) -> Bandwidth {
    let buffer = touched(bytes / WORD);
    let bytes = buffer.len();
    let isa = isa();
    let mut rates: Vec<f64> = (0..passes.max(1))
        .map(|_| {
            let start = now();
            black_box(total(black_box(view(&buffer)), isa));
            let took = now().saturating_sub(start);
            bytes as f64 / took.max(Duration::from_nanos(1)).as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    let (low, high) = (rates[(rates.len() - 1) / 2], rates[rates.len() / 2]);
    Bandwidth { best: rates[rates.len() - 1], median: (low + high) / 2.0, passes: rates.len(), bytes }
}

/// Words of one thread's part.
fn part(words: usize) -> usize {
    words.div_ceil(rayon::current_num_threads()).max(1)
}

/// What stands at a place of the buffer: numbers with bits all over, so that a word left out or read twice shows in the sum.
fn word(place: usize) -> u64 {
    (place as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The words of a buffer.
fn view(buffer: &Buffer) -> &[u64] {
    // SAFETY: any eight bytes are a word; buffers are aligned to more than that
    unsafe { buffer.align_to().1 }
}

fn view_mut(buffer: &mut Buffer) -> &mut [u64] {
    // SAFETY: as above
    unsafe { buffer.align_to_mut().1 }
}

/// A buffer whose parts have been written by the threads that read them.
fn touched(words: usize) -> Buffer {
    let mut buffer = Buffer::new(words * WORD);
    let part = part(words);
    let parts: Vec<Mutex<&mut [u64]>> = view_mut(&mut buffer).chunks_mut(part).map(Mutex::new).collect();
    rayon::broadcast(|thread| {
        // each thread locks its own, so nobody waits
        let Some(Ok(mut own)) = parts.get(thread.index()).map(Mutex::lock) else { return };
        for (i, w) in own.iter_mut().enumerate() {
            *w = word(thread.index() * part + i);
        }
    });
    drop(parts);
    buffer
}

/// The sum of the buffer modulo 2⁶⁴, each thread adding up its own part.
fn total(buffer: &[u64], isa: Isa) -> u64 {
    let part = part(buffer.len());
    let sums = rayon::broadcast(|thread| buffer.chunks(part).nth(thread.index()).map_or(0, |own| sum(own, isa)));
    sums.into_iter().fold(0, u64::wrapping_add)
}

/// The sum of a slice modulo 2⁶⁴, by the instruction set `isa` where this machine has it.
fn sum(x: &[u64], isa: Isa) -> u64 {
    match isa.lanes() {
        // SAFETY: this machine has it
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if isa.available() => unsafe { sum_avx512(x) },
        // SAFETY: as above
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 if isa.available() => unsafe { sum_avx2(x) },
        _ => add_up::<16>(x),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn sum_avx512(x: &[u64]) -> u64 {
    add_up::<64>(x)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sum_avx2(x: &[u64]) -> u64 {
    add_up::<32>(x)
}

/// Adds up with `N` sums that do not wait for one another, eight registers full.
///
/// [`RUNS`] runs are read side by side: a core that reads a single one has too few lines under way to use all that memory gives.
#[inline(always)]
fn add_up<const N: usize>(x: &[u64]) -> u64 {
    let (tiles, rest) = x.as_chunks::<{ RUNS * RUN }>();
    let read: u64 = tiles.iter().map(side_by_side::<N>).fold(0, u64::wrapping_add);
    rest.iter().fold(read, |a, b| a.wrapping_add(*b))
}

/// The sum of one tile of [`RUNS`] runs.
#[inline(always)]
fn side_by_side<const N: usize>(tile: &[u64; RUNS * RUN]) -> u64 {
    let (a, rest) = tile.split_at(RUN);
    let (b, rest) = rest.split_at(RUN);
    let (c, d) = rest.split_at(RUN);
    let mut sums = [0u64; N];
    for ((a, b), (c, d)) in lines::<N>(a).iter().zip(lines::<N>(b)).zip(lines::<N>(c).iter().zip(lines::<N>(d))) {
        for (i, s) in sums.iter_mut().enumerate() {
            *s = s.wrapping_add(a[i]).wrapping_add(b[i]).wrapping_add(c[i]).wrapping_add(d[i]);
        }
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

/// A run in pieces of `N` words, of which it is a multiple.
#[inline(always)]
fn lines<const N: usize>(run: &[u64]) -> &[[u64; N]] {
    const { assert!(RUN.is_multiple_of(N)) };
    run.as_chunks().0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn naive(x: &[u64]) -> u64 {
        let mut sum = 0u64;
        for w in x {
            sum = sum.wrapping_add(*w);
        }
        sum
    }

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    #[test]
    fn every_path_adds_up_every_word_once() {
        for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
            for n in (0..200).chain([1023, RUNS * RUN - 1, RUNS * RUN, 3 * RUNS * RUN + 77]) {
                let x: Vec<u64> = (0..n + 3).map(word).collect();
                // begins off the alignment of a vector register
                for x in [&x[..n], &x[3..]] {
                    assert_eq!(sum(x, isa), naive(x), "{isa:?} {n}");
                }
            }
        }
    }

    #[test]
    fn threads_share_the_buffer_without_gap_or_overlap() {
        for threads in [1, 2, 3, 7] {
            for n in [0, 1, 2, 6, 7, 8, 1000, 5 * RUNS * RUN + 1] {
                let want: Vec<u64> = (0..n).map(word).collect();
                let (got, total) = pool(threads).install(|| {
                    let got = touched(n);
                    let total = total(view(&got), isa());
                    (view(&got).to_vec(), total)
                });
                assert!(got == want, "{threads} {n}");
                assert_eq!(total, naive(&want), "{threads} {n}");
            }
        }
    }

    #[test]
    fn rates_are_those_of_the_passes() {
        // 0.1, 0.4, 0.2 and 0.8 s
        let looks = [0, 100, 1000, 1400, 2000, 2200, 3000, 3800].map(Duration::from_millis);
        let got = pool(2).install(|| {
            let at = Cell::new(0);
            read_bandwidth(8003, 4, &|| looks[at.replace(at.get() + 1)])
        });
        assert_eq!((got.passes, got.bytes), (4, 8000));
        assert!((got.best - 80_000.0).abs() < 1e-6, "{got:?}");
        assert!((got.median - 30_000.0).abs() < 1e-6, "{got:?}");
    }

    #[test]
    fn a_clock_that_stands_still_or_no_pass_gives_a_number() {
        let got = read_bandwidth(0, 0, &|| Duration::ZERO);
        assert_eq!((got.best, got.median, got.passes, got.bytes), (0.0, 0.0, 1, 0));
        assert!(read_bandwidth(800, 2, &|| Duration::ZERO).best.is_finite());
    }

    #[test]
    fn the_buffer_is_beyond_the_cache_and_within_memory() {
        const GIB: usize = 1024 * MIB;
        assert_eq!(sized(None, None), 256 * MIB);
        assert_eq!(sized(Some(32 * MIB), Some(16 * GIB)), 256 * MIB);
        assert_eq!(sized(Some(96 * MIB), Some(16 * GIB)), 384 * MIB);
        assert_eq!(sized(Some(usize::MAX), Some(16 * GIB)), GIB);
        assert_eq!(sized(Some(96 * MIB), Some(GIB)), 256 * MIB);
        assert_eq!(sized(Some(32 * MIB), Some(100 * MIB)), 25 * MIB);
        let of = |bytes| Bandwidth { best: 1.0, median: 1.0, passes: 1, bytes };
        assert!(of(128 * MIB).beyond_cache(Some(32 * MIB)) && of(1).beyond_cache(None));
        assert!(!of(128 * MIB - 1).beyond_cache(Some(32 * MIB)));
    }

    #[test]
    fn passes_read_a_few_gibibytes_in_all() {
        assert_eq!([0, MIB, 256 * MIB, 512 * MIB, 1024 * MIB, usize::MAX].map(passes), [16, 16, 16, 8, 8, 8]);
    }
}
