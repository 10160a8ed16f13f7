//! What a row's bits depend on: not the cut, not the rows beside it, and no key that it does not see.

use super::*;

#[test]
#[should_panic(expected = "forgotten")]
fn keys_that_were_forgotten_are_not_looked_at() {
    let mut text = text(300, (1, 8), Precision::F32, 1);
    text.keys.forget(200);
    let q = noise(8, 2);
    attend(&[Job { q: &q, spans: vec![text.span(Visible::Window { end: 300, step: 1, keys: 200 }, &[])] }], 1, 8, 0.3);
}

fn causal(keys: &Keys, first: usize) -> Vec<Span<'_>> {
    vec![Span { keys, visible: Visible::Causal { first }, hidden: &[], bias: None }]
}

#[test]
fn a_row_is_the_same_bits_in_any_cut_and_company() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (heads, width, n) = (2, 24, 290);
        let d = heads * width;
        let all = text(n, (heads, width), precision, 1);
        let q = noise(n * d, 9);
        for (isa, _) in paths() {
            let run = |jobs: &[Job]| bits(&attend_on(isa, jobs, &[], (heads, width), 0.2));
            let whole = run(&[Job { q: &q, spans: causal(&all.keys, 0) }]);
            let mut growing = Keys::new(heads, width, precision);
            for (i, q) in q.chunks_exact(d).enumerate() {
                growing.append(&all.k[i * d..(i + 1) * d], &all.v[i * d..(i + 1) * d]);
                if i == 100 {
                    growing.reserve(n);
                }
                assert_eq!(run(&[Job { q, spans: causal(&growing, i) }]), whole[i * d..(i + 1) * d], "row {i}");
            }
            for cut in [3, 4, 13, 128, 200] {
                let jobs: Vec<Job> = q.chunks(cut * d).enumerate().map(|(i, q)| Job { q, spans: causal(&all.keys, i * cut) }).collect();
                assert_eq!(run(&jobs), whole, "cut at {cut}");
            }
            let threads = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            assert_eq!(threads(3).install(|| run(&[Job { q: &q, spans: causal(&all.keys, 0) }])), whole);
            assert_eq!(threads(1).install(|| run(&[Job { q: &q, spans: causal(&all.keys, 0) }])), whole);
        }
    }
}

/// Places where a NaN gets through, for one key or value that is one: those that see it, and nobody else changes a bit.
#[test]
fn a_nan_reaches_those_who_see_it_and_nobody_else() {
    let (heads, width, n) = (2, 40, 200);
    let d = heads * width;
    for precision in [Precision::F32, Precision::Bf16] {
        let clean = text(n, (heads, width), precision, 4);
        let q = noise(n * d, 6);
        for (isa, _) in paths() {
            let window = Visible::Window { end: 1, step: 1, keys: 40 };
            for visible in
                [Visible::All, Visible::Causal { first: 0 }, Visible::Band { reach: 30 }, window, Visible::Block { first: 0, size: 50 }]
            {
                for at in [3, 64, 130, 199] {
                    for (in_keys, hidden) in [(true, vec![]), (false, vec![]), (true, vec![at]), (false, vec![at])] {
                        let (mut k, mut v) = (clean.k.clone(), clean.v.clone());
                        (if in_keys { &mut k } else { &mut v })[at * d + width + 7] = f32::NAN; // second head, feature 7
                        let mut keys = Keys::new(heads, width, precision);
                        keys.append(&k, &v);
                        let run = |keys| {
                            attend_on(
                                isa,
                                &[Job { q: &q, spans: vec![Span { keys, visible, hidden: &hidden, bias: None }] }],
                                &[],
                                (heads, width),
                                0.2,
                            )
                        };
                        let (got, want) = (run(&keys), run(&clean.keys));
                        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                            let (row, head, f) = (i / d, i % d / width, i % width);
                            let seen = visible.range(row, n).contains(&at) && hidden.is_empty();
                            if seen && head == 1 && (in_keys || f == 7) {
                                assert!(got.is_nan(), "{}, {visible:?}, {at}, {row}", isa.name());
                            } else {
                                assert_eq!(got.to_bits(), want.to_bits(), "{}, {visible:?}, {at}, {row}", isa.name());
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A tile that looks at what lies behind the last key, or in blocks that no row sees, would meet NaN there.
#[test]
fn nothing_is_read_that_no_row_sees() {
    let (heads, width, n) = (1, 16, 300);
    let mut full = text(n, (heads, width), Precision::F32, 1);
    let q = noise(60 * width, 2);
    let hidden: Vec<usize> = (0..140).chain(150..160).chain(290..300).collect();
    for (isa, _) in paths() {
        let before: Vec<_> = [Visible::All, Visible::Causal { first: 180 }]
            .map(|visible| bits(&attend_on(isa, &[Job { q: &q, spans: vec![full.span(visible, &hidden)] }], &[], (heads, width), 0.3)))
            .into();
        let (mut k, mut v) = (full.k.clone(), full.v.clone());
        hidden.iter().for_each(|h| {
            k[h * width..(h + 1) * width].fill(f32::NAN);
            v[h * width..(h + 1) * width].fill(f32::INFINITY);
        });
        let mut keys = Keys::new(heads, width, Precision::F32);
        keys.append(&k, &v);
        full.keys = keys;
        for (visible, before) in [Visible::All, Visible::Causal { first: 180 }].into_iter().zip(before) {
            let after = attend_on(isa, &[Job { q: &q, spans: vec![full.span(visible, &hidden)] }], &[], (heads, width), 0.3);
            assert_eq!(bits(&after), before, "{}", isa.name());
        }
        full = text(n, (heads, width), Precision::F32, 1);
    }
}
