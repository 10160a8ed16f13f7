//! Alone in its program, as other tests take memory of the same process.

use effattn::machine::memory::{Gauge, Process, give_back};
use std::hint::black_box;

const MIB: usize = 1 << 20;

/// Touches every page of so many bytes, in pieces of `piece` bytes.
fn take(bytes: usize, piece: usize) -> Vec<Vec<u8>> {
    black_box((0..bytes / piece).map(|i| vec![i as u8 | 1; piece]).collect())
}

#[test]
fn the_mark_follows_what_is_taken_and_given_back() {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return;
    }
    let slack = 8 * MIB;
    for piece in [64 * MIB, MIB, 16 << 10] {
        give_back();
        assert!(Process.reset_peak());
        let before = Process.resident().unwrap();
        assert!(Process.peak().unwrap().abs_diff(before) < slack);

        let taken = take(64 * MIB, piece);
        let grown = Process.peak().unwrap() - before;
        assert!(grown.abs_diff(64 * MIB) < slack, "{piece}: {grown}");
        assert!((Process.resident().unwrap() - before).abs_diff(64 * MIB) < slack, "{piece}");

        // what lives on above the rest, too large for a gap below it, keeps the allocator from cutting its heap by itself
        let above = black_box(vec![1u8; 100_000]);
        drop(taken);
        give_back();
        assert!(Process.resident().unwrap().abs_diff(before) < slack, "{piece}");
        assert!((Process.peak().unwrap() - before).abs_diff(64 * MIB) < slack, "the mark stays until it is set back, {piece}");
        assert!(Process.reset_peak());
        assert!(Process.peak().unwrap().abs_diff(before) < slack, "{piece}");
        drop(above);
    }
}
