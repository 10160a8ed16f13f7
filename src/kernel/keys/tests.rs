use super::*;
use crate::kernel::testing::noise;

#[test]
fn rounds_to_the_nearest_and_ties_to_even() {
    let special = [0.0, -0.0, 1.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-45, -1e-40, 3.0e-39];
    let ties = (0..4096u32).map(|i| f32::from_bits(0x3F80_0000 + i * 0x800));
    for x in special.into_iter().chain(ties).chain(noise(4096, 1)) {
        assert_eq!(u16::round(x), half::bf16::from_f32(x).to_bits(), "{x}");
    }
    for bits in [0x7F80_0001, 0xFFFF_FFFF, 0x7FC0_0000, 0x7FFF_8000] {
        assert!(f32::from_bits(u32::from(u16::round(f32::from_bits(bits))) << 16).is_nan(), "{bits:x}");
    }
}

/// What was appended lies where the layout says, in any cut into calls.
#[test]
fn lies_where_the_layout_says() {
    for (heads, width, n, cut) in [(1, 1, 1, 1), (3, 5, 70, 1), (2, 16, 64, 33), (4, 40, 500, 500), (2, 64, 1030, 7)] {
        let d = heads * width;
        let (k, v) = (noise(n * d, 1), noise(n * d, 2));
        let (mut exact, mut half) = (Keys::new(heads, width, Precision::F32), Keys::new(heads, width, Precision::Bf16));
        for (k, v) in k.chunks(cut * d).zip(v.chunks(cut * d)) {
            exact.append(k, v);
            half.append(k, v);
        }
        assert_eq!((exact.len(), half.len()), (n, n));
        for (at, (k, v)) in k.iter().zip(&v).enumerate() {
            let (p, h, f) = (at / d, at % d / width, at % width);
            let (i, j) = ((p / BLOCK * width + f) * BLOCK + p % BLOCK, p * width.next_multiple_of(16) + f);
            assert_eq!((exact.k::<f32>(h)[i], exact.v::<f32>(h)[j]), (*k, *v));
            assert_eq!((half.k::<u16>(h)[i], half.v::<u16>(h)[j]), (u16::round(*k), u16::round(*v)));
        }
        for keys in [&exact, &half] {
            let stored: usize = keys.heads.iter().map(|h| size_of_val(&h.k[..]) + size_of_val(&h.v[..])).sum();
            assert_eq!(keys.bytes(), stored);
        }
        assert_eq!(exact.bytes(), 2 * half.bytes());
        assert_eq!(exact.bytes(), n.div_ceil(32) * 32 * heads * (width + width.next_multiple_of(16)) * 4);
    }
}

/// Keys that were put together from parts of others are those of the positions named, in both precisions, and after a new beginning too.
#[test]
fn parts_of_others_are_what_they_were() {
    let (heads, width, n) = (3, 5, 90);
    let d = heads * width;
    let (k, v) = (noise(n * d, 1), noise(n * d, 2));
    for precision in [Precision::F32, Precision::Bf16] {
        let all = |parts: &[Range<usize>]| {
            let mut keys = Keys::new(heads, width, precision);
            parts.iter().for_each(|p| keys.append(&k[p.start * d..p.end * d], &v[p.start * d..p.end * d]));
            keys
        };
        let parts = [3..40, 0..0, 31..33, 60..90, 2..5];
        let (whole, want) = (all(std::slice::from_ref(&(0..n))), all(&parts));
        let mut keys = all(std::slice::from_ref(&(0..70)));
        keys.clear();
        assert_eq!((keys.len(), keys.bytes()), (0, 0));
        parts.iter().for_each(|p| keys.extend(&whole, p.clone()));
        assert_eq!(keys.len(), want.len());
        for h in 0..heads {
            let same =
                |a: &[Line], b: &[Line]| numbers::<f32>(a).iter().map(|x| x.to_bits()).eq(numbers::<f32>(b).iter().map(|x| x.to_bits()));
            assert!(same(&keys.heads[h].k, &want.heads[h].k) && same(&keys.heads[h].v, &want.heads[h].v), "{h}");
        }
    }
}

/// Where the runs lie: they move when they are allocated anew.
fn places(keys: &Keys) -> Vec<(*const Line, *const Line)> {
    keys.heads.iter().map(|h| (h.k.as_ptr(), h.v.as_ptr())).collect()
}

#[test]
fn reserved_room_is_used_and_growth_doubles() {
    let one = [1.0; 8];
    let mut keys = Keys::new(2, 4, Precision::Bf16);
    keys.append(&one, &one);
    keys.reserve(1000);
    let before = places(&keys);
    (1..1000).for_each(|_| keys.append(&one, &one));
    assert_eq!(places(&keys), before);
    let mut copy = keys.clone();
    copy.reserve(1000); // has it already
    let mut other = Keys::new(2, 4, Precision::Bf16);
    other.append(&one, &one);
    let before = places(&copy);
    copy.clone_from(&other);
    assert_eq!((copy.len(), places(&copy)), (1, before));
    let mut moves = 0;
    let mut growing = Keys::new(1, 4, Precision::F32);
    for _ in 0..10_000 {
        let before = places(&growing);
        growing.append(&one[..4], &one[..4]);
        moves += usize::from(before != places(&growing));
    }
    assert!(moves <= 10, "{moves}"); // 1 and log₂ (10 000 / 32) doublings
}

/// A window that forgets holds what one that was made of the last positions would, in bounded room, in any cut into calls.
#[test]
fn forgetting_keeps_numbers_and_boundaries_and_bounds_the_room() {
    let (heads, width, keep) = (2, 5, 70);
    let d = heads * width;
    let (k, v) = (noise(2000 * d, 1), noise(2000 * d, 2));
    for cut in [1, 3, 128, 500] {
        for precision in [Precision::F32, Precision::Bf16] {
            let mut keys = Keys::new(heads, width, precision);
            keys.reserve(Keys::room_for(keep));
            let room = |keys: &Keys| keys.heads.iter().map(|h| (h.k.capacity(), h.v.capacity())).collect::<Vec<_>>();
            let reserved = room(&keys);
            for (k, v) in k.chunks(cut * d).zip(v.chunks(cut * d)) {
                keys.append(k, v);
                keys.forget(keys.len().saturating_sub(keep));
                let n = keys.len();
                assert_eq!(keys.stored(), Keys::stored_at(n, n.saturating_sub(keep)));
                assert_eq!(keys.first(), n.saturating_sub(keep) / 128 * 128);
                assert_eq!(keys.bytes(), Keys::bytes_at(heads, width, keys.stored(), precision));
                assert_eq!(keys.bytes(), keys.heads.iter().map(|h| size_of_val(&h.k[..]) + size_of_val(&h.v[..])).sum::<usize>());
                assert!(keys.stored() < keep + 128);
                if cut == 1 {
                    assert_eq!(room(&keys), reserved, "after {n}");
                }
            }
            let (most, _) = lines(width, 2 * Keys::room_for(keys.stored()), precision);
            assert!(keys.heads.iter().all(|h| h.k.capacity() <= most));
            let first = keys.first();
            assert_eq!((first, keys.len()), ((2000 - keep) / 128 * 128, 2000));
            let mut fresh = Keys::new(heads, width, precision);
            fresh.append(&k[first * d..], &v[first * d..]);
            for (a, b) in keys.heads.iter().zip(&fresh.heads) {
                assert!(numbers::<u16>(&a.k) == numbers::<u16>(&b.k) && numbers::<u16>(&a.v) == numbers::<u16>(&b.v));
            }
            let mut copy = Keys::new(heads, width, precision);
            copy.clone_from(&keys);
            assert_eq!((copy.first(), copy.len()), (first, 2000));
            // nothing is left of an empty window but its numbers
            keys.forget(usize::MAX);
            assert_eq!((keys.first(), keys.len()), (1920, 2000));
        }
    }
}
