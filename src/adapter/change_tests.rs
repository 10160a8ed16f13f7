use super::*;

/// Small numbers that f32 holds exactly, none of them twice in a row.
fn numbers(n: usize, step: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * step) % 23) as f32 / 8.0 - 1.25).collect()
}

fn low(rank: usize, sizes: (usize, usize), table: bool) -> LowRank {
    LowRank {
        module: "m".into(),
        a: numbers(rank * sizes.1, 7),
        b: numbers(sizes.0 * rank, 5),
        rank,
        sizes,
        scale: 0.75,
        table,
        magnitude: None,
        fan_in_fan_out: false,
    }
}

fn merged(base: &[f32], shape: [usize; 2], layout: Option<Layout>, changes: &[Change]) -> Vec<f32> {
    let mut out = vec![0.0; base.len()];
    Merged::new(&base, &shape, layout, changes).unwrap().fill(0, &mut out);
    out
}

#[test]
fn a_sum_by_hand() {
    // W (2, 3), A (1, 3), B (2, 1): 0.5 B A = [[1, 2, 3], [-2, -4, -6]]
    let sum = |fan_in_fan_out| LowRank { a: vec![1.0, 2.0, 3.0], b: vec![2.0, -4.0], scale: 0.5, fan_in_fan_out, ..low(1, (2, 3), false) };
    let w = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0f32];
    let straight = [11.0, 22.0, 33.0, 38.0, 46.0, 54.0f32];
    for (layout, flag) in [(Some(Layout::OutIn), true), (Some(Layout::OutIn), false), (None, true), (None, false)] {
        assert_eq!(merged(&w, [2, 3], layout, &[Change::LowRank(sum(flag))]), straight, "{layout:?}");
    }
    // the same W lying (in, out)
    let (across, want) = ([10.0, 40.0, 20.0, 50.0, 30.0, 60.0f32], [11.0, 38.0, 22.0, 46.0, 33.0, 54.0f32]);
    assert_eq!(merged(&across, [3, 2], Some(Layout::InOut), &[Change::LowRank(sum(false))]), want);
    assert_eq!(merged(&across, [3, 2], None, &[Change::LowRank(sum(false))]), want);
    // a table (V, d) = (3, 2), whoever reads it as (out, in)
    let table = LowRank { table: true, ..sum(false) };
    assert_eq!(merged(&across, [3, 2], Some(Layout::OutIn), &[Change::LowRank(table)]), want);
}

#[test]
fn a_square_matrix_lies_as_its_reader_says_else_as_the_flag_does() {
    // B A = [[1, 2], [10, 20]]
    let sum = |fan_in_fan_out| {
        [Change::LowRank(LowRank { a: vec![1.0, 2.0], b: vec![1.0, 10.0], scale: 1.0, fan_in_fan_out, ..low(1, (2, 2), false) })]
    };
    let (straight, across) = ([1.0, 2.0, 10.0, 20.0f32], [1.0, 10.0, 2.0, 20.0f32]);
    for flag in [false, true] {
        assert_eq!(merged(&[0.0; 4], [2, 2], Some(Layout::OutIn), &sum(flag)), straight);
        assert_eq!(merged(&[0.0; 4], [2, 2], Some(Layout::InOut), &sum(flag)), across);
    }
    assert_eq!(merged(&[0.0; 4], [2, 2], None, &sum(false)), straight);
    assert_eq!(merged(&[0.0; 4], [2, 2], None, &sum(true)), across);
}

#[test]
fn magnitudes_by_hand() {
    // W + B A = [[3, 4], [0, 2]]: norms of rows 5 and 2, of columns 3 and √20
    let sum = || LowRank { a: vec![1.0, 1.0], b: vec![1.0, 0.0], scale: 1.0, magnitude: Some(vec![10.0, 7.0]), ..low(1, (2, 2), false) };
    let rows = merged(&[2.0, 3.0, 0.0, 2.0], [2, 2], Some(Layout::OutIn), &[Change::LowRank(sum())]);
    assert_eq!(rows, [6.0, 8.0, 0.0, 7.0]);
    // lying across, B A adds to the first column: [[2 + 1, 3], [0 + 1, 2]], norms of columns √10 and √13
    let columns = merged(&[2.0, 3.0, 0.0, 2.0], [2, 2], Some(Layout::InOut), &[Change::LowRank(sum())]);
    let f = [10.0 / 10f32.sqrt(), 7.0 / 13f32.sqrt()];
    assert_eq!(columns, [3.0 * f[0], 3.0 * f[1], f[0], 2.0 * f[1]]);
}

#[test]
fn a_part_is_the_same_wherever_it_begins() {
    // wider than what is summed together
    let (rows, width) = (3, 2 * TOGETHER + 5);
    let base = numbers(rows * width, 3);
    let mut sum = low(2, (rows, width), false);
    sum.magnitude = Some(vec![1.0, 2.0, 3.0]);
    let changes = [Change::LowRank(sum)];
    let base = &&base[..];
    let merged = Merged::new(base, &[rows, width], Some(Layout::OutIn), &changes).unwrap();
    let mut all = vec![0.0; rows * width];
    merged.fill(0, &mut all);
    for (first, n) in [(0, 1), (1, width), (width - 1, 2), (width, width), (TOGETHER - 3, 9), (7, 2 * width), (rows * width - 1, 1), (5, 0)]
    {
        let mut part = vec![0.0; n];
        merged.fill(first, &mut part);
        assert_eq!(part, all[first..first + n], "{first} {n}");
    }
    // and what it should be, summed the long way in PEFT's order
    let sum = low(2, (rows, width), false);
    let wide = |r: usize, c: usize| {
        let product = (0..2).fold(0.0f32, |s, k| sum.b[r * 2 + k].mul_add(sum.a[k * width + c], s));
        base[r * width + c] + 0.75 * product
    };
    for r in 0..rows {
        let lane = |l: usize| (l..width / 8 * 8).step_by(8).fold(0.0f32, |s, c| s + wide(r, c) * wide(r, c));
        let square = (0..8).map(lane).chain((width / 8 * 8..width).map(|c| wide(r, c) * wide(r, c))).fold(0.0, |s, x| s + x);
        let factor = (r + 1) as f32 / square.sqrt();
        (0..width).for_each(|c| assert_eq!(all[r * width + c], wide(r, c) * factor, "{r} {c}"));
    }
}

#[test]
fn the_bits_of_peft() {
    // sevenths: no step is exact
    let sevenths = |n: usize, step: usize| -> Vec<f32> { (0..n).map(|i| ((i * step) % 23) as f32 / 7.0 - 1.25).collect() };
    let (w, a, b) = (sevenths(64, 3), sevenths(6 * 16, 7), sevenths(4 * 6, 5));
    let sum = |table, magnitude| LowRank { a: a.clone(), b: b.clone(), scale: 4.0 / 6.0, magnitude, ..low(6, (4, 16), table) };
    let m = || Some(vec![1.3, 0.7, -0.4, 2.1]);
    for (shape, sum, want) in [([4, 16], sum(false, None), PLAIN), ([4, 16], sum(false, m()), ROWS), ([16, 4], sum(true, m()), COLUMNS)] {
        let got = merged(&w, shape, Some(Layout::OutIn), &[Change::LowRank(sum)]);
        assert_eq!(got.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), want, "{shape:?}");
    }
}

#[test]
fn rows_vectors_and_several_changes() {
    let rows = Change::Rows([(1, vec![5.0, 6.0])].into());
    assert_eq!(merged(&[1.0, 2.0, 3.0, 4.0, 7.0, 8.0], [3, 2], Some(Layout::OutIn), &[rows]), [1.0, 2.0, 5.0, 6.0, 7.0, 8.0]);
    let mut out = vec![0.0; 2];
    let added = [Change::Added(vec![0.5, -1.0, 4.0])];
    Merged::new(&&[1.0, 2.0, 3.0f32][..], &[3], None, &added).unwrap().fill(1, &mut out);
    assert_eq!(out, [1.0, 7.0]);
    let one = || Change::LowRank(LowRank { a: vec![1.0, 2.0], b: vec![1.0, 10.0], scale: 1.0, ..low(1, (2, 2), false) });
    assert_eq!(merged(&[0.5; 4], [2, 2], Some(Layout::OutIn), &[one(), one()]), [2.5, 4.5, 20.5, 40.5]);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let fits = |shape: &[usize], layout, table| low(2, (3, 4), table).transposed(shape, layout).is_ok();
    assert!(fits(&[3, 4], Some(Layout::OutIn), false) && fits(&[4, 3], Some(Layout::InOut), false) && fits(&[4, 3], None, false));
    assert!(fits(&[4, 3], Some(Layout::OutIn), true) && fits(&[4, 3], None, true));
    // across what its reader says, though the sizes would fit
    assert!(!fits(&[4, 3], Some(Layout::OutIn), false) && !fits(&[3, 4], Some(Layout::InOut), false));
    for shape in [&[3, 5][..], &[5, 4], &[12], &[3, 4, 1], &[]] {
        assert!(!fits(shape, None, false) && !fits(shape, None, true), "{shape:?}");
    }
    assert!(!fits(&[3, 4], None, true) && !fits(&[3, 4], Some(Layout::OutIn), true));
}

// What `merge_and_unload` of PEFT 0.21.2 (PyTorch 2.15, AVX2) makes of a linear layer with LoraConfig(r=6, lora_alpha=4), with `use_dora` too, and of a table.
const PLAIN: [u32; 64] = [
    0x3e5e_e958,
    0x3fb0_c30e,
    0xc06d_b6dc,
    0xbf9c_4ca1,
    0x4044_924a,
    0xc01a_8ece,
    0x3da0_37b0,
    0x408b_dd2c,
    0xbf61_8615,
    0xbff4_3eb2,
    0x3f9a_fe42,
    0x4017_f210,
    0xbf1b_dd2a,
    0xbe69_5c30,
    0x406b_1a1f,
    0xbfb5_fc88,
    0x3fbb_a571,
    0x3d6c_d7e0,
    0xbed2_b896,
    0x3fd9_afe4,
    0x405a_fe40,
    0x3ebd_d2bc,
    0x401e_e95d,
    0x3f6b_1a20,
    0xc067_9e79,
    0xbca7_2ef0,
    0x402d_ee94,
    0x3fa7_9e79,
    0x3f43_0c30,
    0x403c_f3d0,
    0x4005_e0a7,
    0xbfd4_e5e0,
    0xbf4e_5e0a,
    0x3e62_6504,
    0x400b_f909,
    0x3fdd_2b87,
    0xbfa8_0dec,
    0x4045_01be,
    0x4027_9e7a,
    0xc06d_4768,
    0x3fb1_a1f6,
    0x3e65_e0a8,
    0x3ec8_45a6,
    0x3fb5_8d12,
    0x3f8e_cd7e,
    0x403b_35fc,
    0xbf79_e79c,
    0x3f7d_6348,
    0xc008_ecd8,
    0x3fa9_5c4b,
    0xbfbc_8459,
    0x402c_687e,
    0x4005_a8ed,
    0xbef2_1170,
    0x3ed0_fac0,
    0xbe4a_0378,
    0x3e0b_51de,
    0x3fb4_3eb3,
    0xbf7f_2116,
    0x401d_d2b8,
    0x401a_1f58,
    0x4075_8d10,
    0x3e38_9940,
    0xc027_66c0,
];

const ROWS: [u32; 64] = [
    0x3d02_59f9,
    0x3e4e_bab7,
    0xbf0b_01f6,
    0xbe36_cc31,
    0x3ee5_e5b4,
    0xbeb4_c2c9,
    0x3c3b_614e,
    0x3f23_936c,
    0xbe03_e108,
    0xbe8e_d398,
    0x3e35_4522,
    0x3eb1_b4aa,
    0xbdb6_49d4,
    0xbd08_7623,
    0x3f09_7ae7,
    0xbe54_d6f1,
    0x3e04_b337,
    0x3ba7_7dc6,
    0xbd15_04a5,
    0x3e19_f1c4,
    0x3e9a_de38,
    0x3d06_3d53,
    0x3e60_c242,
    0x3da6_428c,
    0xbea3_cbfd,
    0xbaec_7548,
    0x3e76_00cb,
    0x3ded_1308,
    0x3d89_ef26,
    0x3e85_9fad,
    0x3e3d_5a02,
    0xbe16_8ebf,
    0x3d30_4316,
    0xbc41_5e21,
    0xbdef_1b48,
    0xbdbc_e7c2,
    0x3d8f_89cc,
    0xbe28_445e,
    0xbe0f_2a9c,
    0x3e4a_aa09,
    0xbd97_b821,
    0xbc44_57b2,
    0xbcab_0e54,
    0xbd9b_10e7,
    0xbd73_f0d3,
    0xbe1f_e672,
    0x3d55_72b8,
    0xbd58_6c50,
    0xbf18_532b,
    0x3ebc_687d,
    0xbed1_b818,
    0x3f3f_cc6f,
    0x3f14_b13c,
    0xbe06_a582,
    0x3de8_7ba6,
    0xbd60_bbce,
    0x3d1a_fd23,
    0x3ec8_8447,
    0xbe8d_e95c,
    0x3f2f_92bb,
    0x3f2b_74cf,
    0x3f88_9576,
    0x3d4d_5c2e,
    0xbf3a_3a8a,
];

const COLUMNS: [u32; 64] = [
    0x3d05_823f,
    0x3e0c_5a85,
    0x3d02_5892,
    0xbee3_ddd2,
    0x3ecc_6f76,
    0x3e01_abd9,
    0xbde0_7c18,
    0x3f4a_4569,
    0xbf29_c11f,
    0xbdab_82a3,
    0xbddc_399f,
    0xbeea_356b,
    0xbdc7_3860,
    0x3e52_adc3,
    0xbe21_de17,
    0x3f75_fcb1,
    0x3e7b_e4c4,
    0x3e3a_58c8,
    0x3e19_c62f,
    0x3e90_f6fb,
    0xbec4_1750,
    0x3d01_5fe5,
    0xbe49_b20d,
    0xbf67_439c,
    0xbe9e_47ec,
    0x3d28_8b05,
    0xbd3e_d556,
    0x3f03_d3cb,
    0x3f06_aea6,
    0x3e98_390b,
    0x3d78_c3d2,
    0xbe26_b59e,
    0xbd8a_b954,
    0xbe84_ef71,
    0xbe03_9fb7,
    0x3e84_47c5,
    0xbced_cffd,
    0x3e20_3c0b,
    0xbe0b_4a92,
    0x3d8d_5738,
    0x3e0d_da65,
    0x3e60_a004,
    0xbcc3_f1e5,
    0xbe63_69d7,
    0x3f01_562e,
    0x3e55_f15a,
    0x3d11_ae46,
    0x3e22_2de4,
    0xbe76_ada9,
    0xbc04_ef72,
    0xbcc9_0e76,
    0x3ef4_a0c6,
    0x3c0d_da94,
    0x3e93_79a3,
    0xbc53_4795,
    0x3ea8_8584,
    0x3e96_328a,
    0x3d35_9962,
    0xbd5c_a6ac,
    0x3f11_30f7,
    0xbe8d_da68,
    0x3de9_3af2,
    0xbd54_21ba,
    0xbf2e_2f29,
];
