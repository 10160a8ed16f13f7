use super::*;
use crate::kernel::linear::Layout;
use crate::kernel::rows::Rows;
use half::{bf16, f16};
use safetensors::tensor::TensorView;

const OUTPUTS: usize = 7;
const INPUTS: usize = 33;

/// Multiples of 1/8 up to 8: exact in every kind of number.
fn numbers() -> Vec<f32> {
    (0..OUTPUTS * INPUTS).map(|i| (i * 37 % 129) as f32 / 8.0 - 8.0).collect()
}

/// A file with `w` in several kinds of numbers, after a name whose length leaves it unaligned.
fn file(dir: &Path) {
    let bytes = |f: fn(f32) -> Vec<u8>| numbers().into_iter().flat_map(f).collect::<Vec<u8>>();
    let odd = vec![1u8; 3];
    let all = [
        ("a_odd", safetensors::Dtype::U8, vec![3], odd),
        ("bf16", safetensors::Dtype::BF16, vec![OUTPUTS, INPUTS], bytes(|x| bf16::from_f32(x).to_le_bytes().into())),
        ("f16", safetensors::Dtype::F16, vec![OUTPUTS, INPUTS], bytes(|x| f16::from_f32(x).to_le_bytes().into())),
        ("f32", safetensors::Dtype::F32, vec![OUTPUTS, INPUTS], bytes(|x| x.to_le_bytes().into())),
    ];
    let views: Vec<(&str, TensorView)> = all.iter().map(|(n, d, s, b)| (*n, TensorView::new(*d, s.clone(), b).unwrap())).collect();
    std::fs::write(dir.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}

fn open(dir: &Path, weights: Precision, mapped: bool) -> Arc<Store> {
    Arc::new(Store::open(dir).unwrap().held(Held { weights, mapped, ..Held::default() }))
}

fn all(rows: &Rows) -> Vec<f32> {
    let mut out = vec![0.0; rows.count * rows.width];
    out.chunks_exact_mut(rows.width).enumerate().for_each(|(i, row)| rows.row(i, row));
    out
}

const SHAPE: [usize; 2] = [OUTPUTS, INPUTS];

#[test]
fn mapped_rows_stay_in_the_file_and_are_its_numbers() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path());
    for (name, precision) in [("f32", Precision::F32), ("bf16", Precision::Bf16)] {
        let bytes = OUTPUTS * INPUTS * precision.bytes();
        for mapped in [true, false] {
            let store = open(dir.path(), precision, mapped);
            let rows = store.root().rows(name, &SHAPE, &Form::whole((OUTPUTS, INPUTS), Layout::OutIn)).unwrap();
            assert_eq!((rows.is_mapped(), rows.precision()), (mapped, precision));
            assert_eq!(all(&rows), numbers());
            assert_eq!((store.bytes_mapped(), store.bytes_in_memory()), if mapped { (bytes, 0) } else { (0, bytes) });
            assert!(store.all_read(&["a_odd", "f16", if name == "f32" { "bf16" } else { "f32" }]).is_ok());
            // a part of it
            let part = Form { outputs: 3, inputs: INPUTS, layout: Layout::OutIn, of: (2, OUTPUTS) };
            assert_eq!(all(&store.root().rows(name, &SHAPE, &part).unwrap()), numbers()[2 * INPUTS..5 * INPUTS]);
            // rows outlive the store
            drop(store);
            assert_eq!(all(&rows), numbers());
        }
    }
}

#[test]
fn what_cannot_be_mapped_says_why() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path());
    let of = |name: &str, weights, layout| {
        let (shape, sizes) = if layout == Layout::OutIn { (SHAPE, (OUTPUTS, INPUTS)) } else { (SHAPE, (INPUTS, OUTPUTS)) };
        let error = open(dir.path(), weights, true).root().rows(name, &shape, &Form::whole(sizes, layout)).map(|_| ()).unwrap_err();
        format!("{error:?}")
    };
    for (said, wanted) in [
        (of("bf16", Precision::F32, Layout::OutIn), ["`bf16` cannot stay in its file", "holds bf16", "--dtype bf16"]),
        (of("f32", Precision::Int8, Layout::OutIn), ["`f32` cannot stay in its file", "would hold int8", "--dtype f32"]),
        (of("f16", Precision::Bf16, Layout::OutIn), ["`f16` cannot stay in its file", "holds f16", "convert"]),
        (of("f32", Precision::F32, Layout::InOut), ["`f32` cannot stay in its file", "columns", "ff.w1_rows"]),
    ] {
        assert!(wanted.iter().all(|w| said.contains(w)), "{said}");
    }
}

#[test]
fn where_there_is_no_file_rows_are_packed() {
    let dir = tempfile::tempdir().unwrap();
    file(dir.path());
    let bytes: &'static [u8] = std::fs::read(dir.path().join("model.safetensors")).unwrap().leak();
    let held = Held { mapped: true, ..Held::default() };
    for store in [Store::from_static("inside", bytes).unwrap(), Store::random(1)] {
        let store = Arc::new(store.held(held));
        let rows = store.root().rows("f32", &SHAPE, &Form::whole((OUTPUTS, INPUTS), Layout::OutIn)).unwrap();
        assert!(!rows.is_mapped());
        assert_eq!((store.bytes_mapped(), store.bytes_in_memory()), (0, OUTPUTS * INPUTS * 4));
    }
}

/// Made-up numbers do not depend on how a file would have them, nor on whether they are packed or read as rows, in one piece or in parts.
#[test]
fn made_up_matrices_are_drawn_as_they_are_packed() {
    let store = Arc::new(Store::random(5));
    let out_in = Form::whole((OUTPUTS, INPUTS), Layout::OutIn);
    let rows = all(&store.root().rows("w", &SHAPE, &out_in).unwrap());
    let in_out = Form::whole((OUTPUTS, INPUTS), Layout::InOut);
    assert_eq!(all(&store.root().rows("w", &[INPUTS, OUTPUTS], &in_out).unwrap()), rows);
    let packed = store.root().packed("w", &in_out, None).unwrap();
    let mut row = vec![0.0; INPUTS];
    for o in 0..OUTPUTS {
        packed.row(o, &mut row);
        assert_eq!(row, rows[o * INPUTS..][..INPUTS]);
    }
    let part = Form { outputs: 3, inputs: INPUTS, layout: Layout::InOut, of: (2, OUTPUTS) };
    assert_eq!(all(&store.root().rows("w", &[INPUTS, OUTPUTS], &part).unwrap()), rows[2 * INPUTS..5 * INPUTS]);
    let kernel = store.root().packed_of("kernel", &[3, 3, 64, 16], &Form::whole((16, 576), Layout::InOut), None).unwrap();
    let mut row = vec![0.0; 576];
    kernel.row(3, &mut row);
    let variance = row.iter().map(|x| x * x).sum::<f32>() / 576.0;
    // √(1.7 / 576) is the standard error
    assert!((variance * 576.0 - 1.0).abs() < 0.27, "{variance}");
}
