use super::*;
use crate::kernel::linear::Layout;
use crate::kernel::precision::Precision;
use crate::weights::{Form, Held, Store};
use safetensors::tensor::TensorView;
use serde_json::json;
use std::sync::Arc;

/// Tensors by name.
type Tensors = Vec<(&'static str, Vec<usize>)>;

/// Multiples of 1/8, so that sums are exact.
fn number(name: &str, i: usize) -> f32 {
    ((name.len() * 31 + i * 7) % 19) as f32 / 8.0 - 1.0
}

fn numbers(name: &str, shape: &[usize]) -> Vec<f32> {
    (0..shape.iter().product()).map(|i| number(name, i)).collect()
}

fn write(path: &Path, tensors: &Tensors) {
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|(n, s)| numbers(n, s).iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((n, s), b)| (*n, TensorView::new(safetensors::Dtype::F32, s.clone(), b).unwrap()));
    std::fs::write(path, safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap()).unwrap();
}

/// A checkpoint of two layers with a table and a bias.
fn base() -> Tensors {
    vec![
        ("model.shared.weight", vec![9, 4]),
        ("model.layers.0.q.weight", vec![4, 4]),
        ("model.layers.0.q.bias", vec![4]),
        ("model.layers.0.up.weight", vec![6, 4]),
        ("model.layers.1.q.weight", vec![4, 4]),
        ("model.layers.1.q.bias", vec![4]),
        ("model.layers.1.up.weight", vec![6, 4]),
        ("model.norm.weight", vec![4]),
    ]
}

const Q: [&str; 4] = [
    "base_model.model.model.layers.0.q.lora_A.weight",
    "base_model.model.model.layers.0.q.lora_B.weight",
    "base_model.model.model.layers.1.q.lora_A.weight",
    "base_model.model.model.layers.1.q.lora_B.weight",
];

/// An adapter of `q` in both layers.
fn q() -> Tensors {
    vec![(Q[0], vec![2, 4]), (Q[1], vec![4, 2]), (Q[2], vec![2, 4]), (Q[3], vec![4, 2])]
}

fn config() -> Value {
    json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q"]})
}

struct World(tempfile::TempDir);

impl World {
    fn new(base: &Tensors, adapter: &Tensors, config: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("model.safetensors"), base);
        std::fs::create_dir(dir.path().join("lora")).unwrap();
        write(&dir.path().join("lora").join(WEIGHTS), adapter);
        std::fs::write(dir.path().join("lora").join(CONFIG), config.to_string()).unwrap();
        Self(dir)
    }

    fn store(&self, tied: bool, held: Held) -> Result<Arc<Store>> {
        let store = Store::open(self.0.path())?.held(held);
        store.adapted(Adapter::open(&self.0.path().join("lora"))?, tied).map(Arc::new)
    }

    fn said(&self, tied: bool) -> String {
        let error = self.store(tied, Held::default()).map(|_| ()).expect_err("refused");
        let text = format!("{} | {}", error.message(), error.remedy().unwrap_or_default());
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn merged() -> World {
    World::new(&base(), &q(), &config())
}

/// W + 4/2 B A, in the order in which it should be.
fn by_hand(name: &str, [a, b]: [&str; 2]) -> Vec<f32> {
    let at = |r: usize, c: usize| {
        let sum = (0..2).map(|k| number(b, r * 2 + k) * number(a, k * 4 + c)).sum::<f32>();
        number(name, r * 4 + c) + 2.0 * sum
    };
    (0..4).flat_map(|r| (0..4).map(move |c| at(r, c))).collect()
}

#[test]
fn whoever_reads_a_tensor_gets_the_merged_one() {
    let store = merged().store(true, Held::default()).unwrap();
    let (w, name) = (store.root(), "model.layers.1.q.weight");
    let want = by_hand(name, [Q[2], Q[3]]);
    assert_ne!(want, numbers(name, &[4, 4]));
    assert_eq!(w.get(name, &[4, 4]).unwrap(), want);
    let form = Form::whole((4, 4), Layout::OutIn);
    let (packed, rows) = (w.packed(name, &form, None).unwrap(), w.rows(name, &[4, 4], &form).unwrap());
    let mut row = vec![0.0; 4];
    for r in 0..4 {
        packed.row(r, &mut row);
        assert_eq!(row, want[4 * r..][..4]);
        rows.row(r, &mut row);
        assert_eq!(row, want[4 * r..][..4]);
    }
    // a part of the outputs, and the same matrix as one that lies (in, out)
    let part = w.packed(name, &Form { outputs: 2, inputs: 4, layout: Layout::OutIn, of: (1, 4) }, None).unwrap();
    part.row(1, &mut row);
    assert_eq!(row, want[8..12]);
    assert_eq!(w.get("model.layers.1.up.weight", &[6, 4]).unwrap(), numbers("model.layers.1.up.weight", &[6, 4]));
    let summary = store.adapter().unwrap();
    assert_eq!((summary.to_string().as_str(), summary.parameters), ("lora (r=2, alpha=4, 2 modules)", 32));
}

/// bf16 and int8 round what is merged, not what it is merged of.
#[test]
fn fewer_bits_hold_the_merged_numbers() {
    let name = "model.layers.0.q.weight";
    let want = by_hand(name, [Q[0], Q[1]]);
    for weights in [Precision::Bf16, Precision::Int8] {
        let store = merged().store(true, Held { weights, ..Held::default() }).unwrap();
        let packed = store.root().packed(name, &Form::whole((4, 4), Layout::OutIn), None).unwrap();
        let alone = Arc::new(Store::random(1).held(Held { weights, ..Held::default() })).root().made(want.clone(), (4, 4));
        let (mut got, mut wanted) = (vec![0.0; 4], vec![0.0; 4]);
        for r in 0..4 {
            packed.row(r, &mut got);
            alone.row(r, &mut wanted);
            assert_eq!(got, wanted, "{weights:?}");
        }
    }
}

#[test]
fn what_is_changed_cannot_stay_in_its_file() {
    let store = merged().store(true, Held { mapped: true, ..Held::default() }).unwrap();
    let rows = |name: &str, n: usize| store.root().rows(name, &[n, 4], &Form::whole((n, 4), Layout::OutIn));
    let error = rows("model.layers.0.q.weight", 4).map(|_| ()).unwrap_err();
    assert!(error.message().ends_with("cannot stay in its file: the adapter changes it"), "{error}");
    assert_eq!(error.remedy(), Some("leave `--mapped` out"));
    assert!(rows("model.shared.weight", 9).unwrap().is_mapped());
}

#[test]
fn a_change_that_nobody_reads_is_an_error() {
    let store = merged().store(true, Held::default()).unwrap();
    let w = store.root();
    for (name, shape) in base() {
        if name != Q[2].trim_start_matches("base_model.model.").replace("lora_A.", "") {
            w.get(name, &shape).unwrap();
        }
    }
    w.skip("model.layers.1.q.weight");
    let error = store.all_read(&[]).unwrap_err();
    assert_eq!(error.message(), "the adapter changes `model.layers.1.q.weight`, which this model does not compute with");
    w.get("model.layers.1.q.weight", &[4, 4]).unwrap();
    store.all_read(&[]).unwrap();
}

/// A checkpoint may name its modules with one word more or less than the model that was trained.
#[test]
fn a_first_word_more_or_less_is_no_matter() {
    let shorter = |t: Tensors| t.into_iter().map(|(n, s)| (n.strip_prefix("model.").unwrap(), s)).collect::<Tensors>();
    let world = World::new(&shorter(base()), &q(), &config());
    let less = world.store(true, Held::default()).unwrap();
    assert_ne!(less.root().get("layers.0.q.weight", &[4, 4]).unwrap(), numbers("layers.0.q.weight", &[4, 4]));
    let one: Vec<String> = Q.iter().map(|n| n.replacen("base_model.model.model.", "base_model.model.", 1)).collect();
    let names: Tensors = one.iter().zip(q()).map(|(n, (_, s))| (&*n.clone().leak(), s)).collect();
    let expression = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": r"layers\.\d\.q"});
    let more = World::new(&base(), &names, &expression).store(true, Held::default()).unwrap();
    assert_ne!(more.root().get("model.layers.0.q.weight", &[4, 4]).unwrap(), numbers("model.layers.0.q.weight", &[4, 4]));
    // and what is missing is missed under either name
    let world = World::new(&base(), &names[..2].to_vec(), &expression);
    assert!(world.said(true).contains("no `lora_A` and `lora_B` of `model.layers.1.q`"), "{}", world.said(true));
    let both: Tensors = base().into_iter().map(|(n, s)| (&*n.replacen("model.", "other.", 1).leak(), s)).chain(base()).collect();
    let said = World::new(&both, &names, &expression).said(true);
    assert!(said.contains("`layers.0.q` may be any of `model.layers.0.q.weight`, `other.layers.0.q.weight`"), "{said}");
}

#[test]
fn tensors_that_do_not_fit_are_told() {
    let file = "lora/adapter_model.safetensors: ";
    let with = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = q();
        change(&mut tensors);
        World::new(&base(), &tensors, &config()).said(true)
    };
    let extra = |name: &'static str, shape: &[usize]| with(&|t| t.push((name, shape.to_vec())));
    for (said, wanted) in [
        (with(&|t| drop(t.remove(1))), "`model.layers.0.q` has `lora_A` and no `lora_B`"),
        (with(&|t| drop(t.remove(2))), "`model.layers.1.q` has `lora_B` and no `lora_A`"),
        (with(&|t| t.truncate(2)), "no `lora_A` and `lora_B` of `model.layers.1.q`, which `target_modules` of adapter_config.json covers"),
        (with(&Vec::clear), "no tensor of `q`, which `target_modules` of adapter_config.json names"),
        (
            with(&|t| t[0].1 = vec![3, 4]),
            "tensor `base_model.model.model.layers.0.q.lora_A.weight` has shape [3, 4], adapter_config.json asks for rank 2",
        ),
        (
            with(&|t| t[1].1 = vec![4, 1]),
            "tensor `base_model.model.model.layers.0.q.lora_B.weight` has shape [4, 1], adapter_config.json asks for rank 2",
        ),
        (
            with(&|t| t[0].1 = vec![2, 5]),
            "`model.layers.0.q`: `lora_A` of 5 columns and `lora_B` of 4 rows do not fit the base model's tensor of shape [4, 4]",
        ),
        (
            with(&|t| t[1].1 = vec![6, 2]),
            "`model.layers.0.q`: `lora_A` of 4 columns and `lora_B` of 6 rows do not fit the base model's tensor of shape [4, 4]",
        ),
        (
            with(&|t| t[0].1 = vec![2, 4, 1]),
            "tensor `base_model.model.model.layers.0.q.lora_A.weight` has shape [2, 4, 1], not two dimensions",
        ),
        (extra("base_model.model.model.layers.2.q.lora_A.weight", &[2, 4]), "`model.layers.2.q` has `lora_A` and no `lora_B`"),
        (
            extra("base_model.model.model.norm.weight", &[4]),
            "tensor `base_model.model.model.norm.weight` is of no module that adapter_config.json names: neither `modules_to_save` nor `bias` explains it",
        ),
        (
            extra("base_model.model.model.layers.0.q.lora_diag.default", &[2]),
            "tensor `base_model.model.model.layers.0.q.lora_diag.default` is none of an adapter of LoRA",
        ),
        (
            extra("base_model.model.model.layers.0.q.lora_A.default.weight", &[2, 4]),
            "tensors `base_model.model.model.layers.0.q.lora_A.default.weight` and `base_model.model.model.layers.0.q.lora_A.weight` are the same part of `model.layers.0.q`",
        ),
        (
            extra("base_model.model.model.layers.0.q.lora_magnitude_vector", &[4]),
            "tensor `base_model.model.model.layers.0.q.lora_magnitude_vector` is there, adapter_config.json has no `use_dora`",
        ),
        (
            extra("base_model.model.model.layers.0.q.lora_B.bias", &[4]),
            "tensor `base_model.model.model.layers.0.q.lora_B.bias` is there, adapter_config.json has no `lora_bias`",
        ),
        (
            extra("base_model.model.model.layers.0.q.base_layer.bias", &[4]),
            "tensor `base_model.model.model.layers.0.q.base_layer.bias` is of no module that adapter_config.json names: neither `modules_to_save` nor `bias` explains it",
        ),
        (
            extra("base_model.model.model.shared.token_adapter.trainable_tokens_delta", &[1, 4]),
            "tensor `base_model.model.model.shared.token_adapter.trainable_tokens_delta` is there, `trainable_token_indices` of adapter_config.json does not name `model.shared`",
        ),
        (
            extra("base_model.model.model.shared.weight", &[10, 4]),
            "tensor `base_model.model.model.shared.weight` has shape [10, 4], the base model's `model.shared.weight` has [9, 4]",
        ),
    ] {
        let (message, hint) = said.split_once(" | ").unwrap();
        assert_eq!(message.strip_prefix(file), Some(wanted), "{message}");
        assert!(!hint.is_empty(), "{message}");
    }
}

#[test]
fn modules_that_are_none_are_told() {
    let pair = |module: &str| -> Tensors {
        ["lora_A", "lora_B"]
            .map(|p| (&*format!("base_model.model.{module}.{p}.weight").leak(), if p == "lora_A" { vec![2, 4] } else { vec![4, 2] }))
            .into()
    };
    let said = |module: &str| World::new(&base(), &q().into_iter().chain(pair(module)).collect(), &config()).said(true);
    let unknown = said("model.layers.2.q");
    assert!(
        unknown.contains("`model.layers.2.q` is no module of the base model, which has no tensor `model.layers.2.q.weight`"),
        "{unknown}"
    );
    assert!(unknown.contains("the nearest names are `model.layers.0.q.weight`"), "{unknown}");
    let other = said("model.layers.0.up");
    assert!(other.contains("`model.layers.0.up` is none of the modules that `target_modules` of adapter_config.json names"), "{other}");
}

#[test]
fn numbers_that_are_none_are_told() {
    let world = merged();
    let path = world.0.path().join("lora").join(WEIGHTS);
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    assert!(world.said(true).contains("holds NaN at index"), "{}", world.said(true));
    std::fs::write(&path, &bytes[..40]).unwrap();
    assert!(world.said(true).contains("not a readable safetensors file"), "{}", world.said(true));
}

#[test]
fn what_is_covered_by_the_configuration_must_be_there() {
    let said = |tensors: &Tensors, key: &str, value: Value| {
        let mut config = config();
        config[key] = value;
        World::new(&base(), tensors, &config).said(true)
    };
    let all = q();
    for (key, value, wanted) in [
        ("target_modules", json!(["q", "up"]), "no tensor of `up`, which `target_modules` of adapter_config.json names"),
        ("target_modules", json!(r".*\.(q|up)"), "no `lora_A` and `lora_B` of `model.layers.0.up`, which `target_modules`"),
        ("layers_to_transform", json!([1]), "`model.layers.0.q` is none of the modules that `target_modules`"),
        ("layers_to_transform", json!(1), "`model.layers.0.q` is none of the modules that `target_modules`"),
        ("exclude_modules", json!(["0.q"]), "`model.layers.0.q` is none of the modules that `target_modules`"),
        ("modules_to_save", json!(["norm"]), "no tensor for `model.norm.weight`, which `modules_to_save`"),
        ("modules_to_save", json!(["lm_head"]), "no tensor of `lm_head`, which `modules_to_save`"),
        ("bias", json!("all"), "no tensor for `model.layers.0.q.bias`, which `bias`"),
        ("bias", json!("lora_only"), "no tensor for `model.layers.0.q.bias`, which `bias`"),
        ("use_dora", json!(true), "`model.layers.0.q` has no `lora_magnitude_vector`, which `use_dora` asks for"),
        ("lora_bias", json!(true), "`model.layers.0.q` has no bias beside `lora_B`, which `lora_bias` asks for"),
        ("rank_pattern", json!({"0.q": 3}), "asks for rank 3"),
        ("rank_pattern", json!({r"layers\.1\.q": 1}), "asks for rank 1"),
        ("r", json!(4), "asks for rank 4"),
        (
            "trainable_token_indices",
            json!({"shared": [1]}),
            "lora/adapter_model.safetensors: no tensor `token_adapter.trainable_tokens_delta` of `shared`, which `trainable_token_indices` of adapter_config.json names | the adapter's file is incomplete",
        ),
        ("trainable_token_indices", json!([1, 2]), "no tensor `token_adapter.trainable_tokens_delta`, which `trainable_token_indices` of"),
    ] {
        let said = said(&all, key, value);
        assert!(said.contains(wanted), "{key}: {said}");
    }
    // "all-linear" tells no names: modules called alike are covered together
    let one = all[..2].to_vec();
    assert!(said(&one, "target_modules", json!("all-linear")).contains("no `lora_A` and `lora_B` of `model.layers.1.q`"));
    // layers that are not asked for are not missed
    let mut config = config();
    config["layers_to_transform"] = json!([0]);
    assert!(World::new(&base(), &one, &config).store(true, Held::default()).is_ok());
}

/// Numbers that no weight can be are the adapter's fault, not the base model's.
#[test]
fn scales_beyond_all_weights_are_the_adapters_fault() {
    let world = |alpha: f64, keys: Value| {
        let mut config = config();
        config["lora_alpha"] = alpha.into();
        keys.as_object().unwrap().iter().for_each(|(k, v)| config[k] = v.clone());
        World::new(&base(), &q(), &config)
    };
    let said = world(1e39, json!({})).said(true);
    let wanted = "lora/adapter_config.json: `lora_alpha` is 1e39: over rank 2 that multiplies the change of `model.layers.0.q` by 5e38, beyond the largest f32 | is a digit";
    assert!(said.starts_with(wanted), "{said}");
    let said = world(4.0, json!({"alpha_pattern": {"1.q": -1e300}})).said(true);
    assert!(said.contains("`alpha_pattern` is -1e300: over rank 2 that multiplies the change of `model.layers.1.q`"), "{said}");
    // a scale that an f32 holds, and sums that none holds, wherever they are read
    let name = "model.layers.0.q.weight";
    let form = Form::whole((4, 4), Layout::OutIn);
    for weights in [Precision::F32, Precision::Bf16] {
        let store = world(6.7e38, json!({})).store(true, Held { weights, ..Held::default() }).unwrap();
        for e in [store.root().get(name, &[4, 4]).unwrap_err(), store.root().packed(name, &form, None).map(drop).unwrap_err()] {
            let wanted = "adapter_config.json: merged with this adapter, tensor `model.layers.0.q.weight` of the base model holds ";
            assert!(e.message().contains(wanted) && e.message().contains("inf at index "), "{e}");
            assert!(e.remedy().is_some_and(|r| r.contains("`lora_alpha` (6") && r.contains("`r` (2)")), "{e}");
        }
    }
    // beyond bf16 alone
    let exact = by_hand(name, [Q[0], Q[1]]).iter().zip(numbers(name, &[4, 4])).map(|(m, w)| ((m - w) / 2.0).abs()).fold(0.0, f32::max);
    let store =
        world(2.0 * f64::from(3.4e38 / exact), json!({})).store(true, Held { weights: Precision::Bf16, ..Held::default() }).unwrap();
    assert!(store.root().get(name, &[4, 4]).is_ok());
    let e = store.root().packed(name, &form, None).map(drop).unwrap_err();
    assert!(e.message().contains("adapter_config.json: merged") && e.message().ends_with(", beyond the largest bf16"), "{e}");
}

#[test]
fn files_that_are_none_are_told() {
    let world = merged();
    let lora = world.0.path().join("lora");
    let said = |path: &Path| Adapter::open(path).map(drop).unwrap_err();
    let file = said(&lora.join(CONFIG));
    assert!(file.message().ends_with("adapter_config.json: a file, not a directory"), "{file}");
    assert!(file.remedy().is_some_and(|r| r.contains("takes a directory")), "{file}");
    for text in ["", "{", "[]"] {
        std::fs::write(lora.join(CONFIG), text).unwrap();
        let e = said(&lora);
        assert!(
            e.message().contains("lora/adapter_config.json: not ") && e.remedy().is_some_and(|r| r.contains("save the adapter anew")),
            "{e}"
        );
    }
    std::fs::remove_file(lora.join(CONFIG)).unwrap();
    std::fs::create_dir(lora.join(CONFIG)).unwrap();
    assert!(said(&lora).message().ends_with("adapter_config.json: a directory, not a file"));
}

/// Directories are moved and repositories fetched: only the last part of a name says which model it is.
#[test]
fn another_base_is_told_by_its_name() {
    let summary = |named: Value| {
        let mut config = config();
        config["base_model_name_or_path"] = named;
        World::new(&base(), &q(), &config).store(true, Held::default()).unwrap().adapter().unwrap().clone()
    };
    let cached = "/c/hub/models--google--pegasus-x-base/snapshots/0123";
    for base in ["google/pegasus-x-base", "/a/pegasus-x-base/", "C:\\m\\Pegasus-X-Base", "./pegasus-x-base/.", cached] {
        for model in ["pegasus-x-base", "google/pegasus-x-base", cached] {
            assert_eq!(summary(json!(base)).stranger(&["moved", model]), None, "{base} {model}");
        }
        let said = summary(json!(base)).stranger(&["bart-large", "/m/bart-large"]).unwrap();
        assert!(said.contains(&format!("`{base}`")) && said.contains("this model is `bart-large`"), "{said}");
    }
    for none in [json!(null), json!(""), json!(3), json!("/")] {
        assert_eq!(summary(none).stranger(&["bart-large"]), None);
    }
}

/// Whatever byte of its files changes, the adapter is another.
#[test]
fn a_fingerprint_is_that_of_both_files() {
    let of = |world: &World| world.store(true, Held::default()).unwrap().adapter().unwrap().fingerprint;
    let world = merged();
    assert_eq!(of(&world), of(&merged()));
    let path = world.0.path().join("lora").join(WEIGHTS);
    let bytes = std::fs::read(&path).unwrap();
    let mut seen = std::collections::BTreeSet::from([of(&world)]);
    for at in 1..17 {
        let mut other = bytes.clone();
        let end = other.len();
        other[end - at] ^= 1;
        std::fs::write(&path, &other).unwrap();
        seen.insert(of(&world));
    }
    let mut config = config();
    config["lora_alpha"] = json!(5);
    seen.insert(of(&World::new(&base(), &q(), &config)));
    assert_eq!(seen.len(), 18);
    assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
}

#[test]
fn configurations_that_cannot_be_merged_are_told() {
    let parse = |key: &str, value: Value| {
        let mut config = config();
        config[key] = value;
        Config::parse(&config)
    };
    for (key, value, wanted) in [
        ("peft_type", json!("LOHA"), "`peft_type: LOHA` is not implemented, only `LORA`"),
        ("peft_type", json!(null), "no `peft_type`"),
        ("r", json!(0), "`r` must be a whole number of at least 1, not 0"),
        ("r", json!(-3), "`r` must be a whole number of at least 1, not -3"),
        ("r", json!(null), "`r` must be a whole number of at least 1, not null"),
        ("lora_alpha", json!("x"), "`lora_alpha` must be a number, not \"x\""),
        ("rank_pattern", json!({"q": 0}), "`rank_pattern.q` must be a whole number of at least 1, not 0"),
        ("alpha_pattern", json!({"q": null}), "`alpha_pattern.q` must be a number, not null"),
        ("alpha_pattern", json!([1]), "`alpha_pattern` must be a table of names, not [1]"),
        ("rank_pattern", json!([]), "`rank_pattern` must be a table of names, not []"),
        ("alpha_pattern", json!(""), "`alpha_pattern` must be a table of names, not \"\""),
        ("rank_pattern", json!({"(": 1}), "`rank_pattern`: `(` is no regular expression that this program reads"),
        ("target_modules", json!("("), "`target_modules`: `(` is no regular expression that this program reads"),
        ("target_modules", json!([1]), "`target_modules` must be a list of names, not [1]"),
        ("target_modules", json!({"q": 1}), "`target_modules` must be a list of names, not {\"q\":1}"),
        ("use_rslora", json!("yes"), "`use_rslora` must be true or false, not \"yes\""),
        ("bias", json!("some"), "`bias` must be `none`, `lora_only` or `all`, not \"some\""),
        ("layers_to_transform", json!(["x"]), "`layers_to_transform` must be a number or a list of numbers, not [\"x\"]"),
        ("layers_pattern", json!("h"), "`layers_pattern` without `layers_to_transform` says nothing"),
        ("trainable_token_indices", json!({"wte": [-1]}), "`trainable_token_indices` must hold lists of token ids"),
        ("init_lora_weights", json!("pissa_niter_4"), "`init_lora_weights: \"pissa_niter_4\"` is not implemented"),
        ("init_lora_weights", json!("loftq"), "`init_lora_weights: \"loftq\"` is not implemented"),
        ("layer_replication", json!([[0, 1]]), "`layer_replication` is not implemented: such an adapter repeats layers"),
        (
            "alora_invocation_tokens",
            json!([1]),
            "`alora_invocation_tokens` is not implemented: such an adapter works from certain tokens on, not everywhere",
        ),
        ("megatron_config", json!({"a": 1}), "`megatron_config` is not implemented: such an adapter splits modules over machines"),
        ("target_parameters", json!(["a"]), "`target_parameters` is not implemented"),
        ("use_qalora", json!(true), "`use_qalora` is not implemented"),
        ("kasa_config", json!({"a": 1}), "`kasa_config` is not implemented"),
        ("frobnicate", json!(2), "`frobnicate: 2` is unknown here and may change what is computed"),
    ] {
        let error = parse(key, value).expect_err(key);
        assert!(error.message().starts_with(&format!("adapter_config.json: {wanted}")), "{key}: {error}");
    }
    for (key, value) in [
        ("frobnicate", json!(null)),
        ("frobnicate", json!([])),
        ("layer_replication", json!(null)),
        ("loftq_config", json!({})),
        ("rank_pattern", json!({})),
        ("alpha_pattern", json!(null)),
        ("init_lora_weights", json!("gaussian")),
        ("lora_alpha", json!(2.5)),
        ("r", json!(u64::MAX)),
        ("lora_dropout", json!(0.1)),
        ("target_modules", json!("all-linear")),
    ] {
        assert!(parse(key, value.clone()).is_ok(), "{key}: {value}");
    }
    assert!(Config::parse(&json!([])).is_err());
}

/// PEFT's rules for names.
#[test]
fn patterns_match_as_in_peft() {
    let mut config = config();
    config["rank_pattern"] = json!({"^model.layers.0.q": 3, "layers\\.1\\.q|up": 5, "q": 7});
    config["alpha_pattern"] = json!({"q": 2.5});
    let c = Config::parse(&config).unwrap();
    let ranks = ["model.layers.0.q", "other.model.layers.0.q", "model.layers.1.q", "a.up", "a.xup", "xq", "q"].map(|m| c.rank_of(m));
    assert_eq!(ranks, [3, 7, 5, 5, 2, 2, 7]);
    assert_eq!(["model.layers.0.q", "a.up", "a.k"].map(|m| c.scale_of(m).unwrap()), [2.5 / 3.0, 4.0 / 5.0, 2.0]);
    config["use_rslora"] = true.into();
    assert_eq!(Config::parse(&config).unwrap().scale_of("a.up").unwrap(), 4.0 / 5f64.sqrt());
    assert_eq!(["a.q", "q", "aq", "a.q.b"].map(|m| c.targets(m)), [true, true, false, false]);
}

#[test]
fn whole_tensors_stand_for_the_checkpoints() {
    let mut config = config();
    config["modules_to_save"] = json!(["norm", "lm_head"]);
    config["bias"] = json!("lora_only");
    let more: Tensors = vec![
        ("base_model.model.model.norm.weight", vec![4]),
        ("base_model.model.lm_head.weight", vec![9, 4]),
        ("base_model.model.model.layers.0.q.base_layer.bias", vec![4]),
        ("base_model.model.model.layers.1.q.bias", vec![4]),
    ];
    let store = World::new(&base(), &q().into_iter().chain(more.clone()).collect(), &config).store(true, Held::default()).unwrap();
    for ((name, shape), own) in more.iter().zip(["model.norm.weight", "lm_head.weight", "model.layers.0.q.bias", "model.layers.1.q.bias"]) {
        assert!(store.root().has(own));
        assert_eq!(store.root().get(own, shape).unwrap(), numbers(name, shape), "{own}");
    }
    assert_eq!(store.root().get("model.shared.weight", &[9, 4]).unwrap(), numbers("model.shared.weight", &[9, 4]));
    assert_eq!(store.adapter().unwrap().to_string(), "lora (r=2, alpha=4, 2 modules, 4 whole tensors)");
    // a table that others are tied to was not trained with them
    config["modules_to_save"] = json!(["shared"]);
    config["bias"] = json!("none");
    let shared: Tensors = q().into_iter().chain([("base_model.model.model.shared.weight", vec![9, 4])]).collect();
    let said = World::new(&base(), &shared, &config).said(true);
    assert!(said.contains("stands for `model.shared.weight`, which the base model ties to other tables"), "{said}");
    config["ensure_weight_tying"] = true.into();
    let store = World::new(&base(), &shared, &config).store(true, Held::default()).unwrap();
    assert_eq!(store.root().get("model.shared.weight", &[9, 4]).unwrap(), numbers("base_model.model.model.shared.weight", &[9, 4]));
}

/// PEFT merges into the one tensor that tied modules share, under whatever names a checkpoint stores it.
#[test]
fn tied_tables_change_together() {
    let table: Tensors = vec![
        ("base_model.model.model.decoder.embed_tokens.lora_embedding_A", vec![2, 9]),
        ("base_model.model.model.decoder.embed_tokens.lora_embedding_B", vec![4, 2]),
    ];
    let config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["embed_tokens"]});
    let store = World::new(&base(), &table, &config).store(true, Held::default()).unwrap();
    let changed = store.root().get("model.shared.weight", &[9, 4]).unwrap();
    assert_ne!(changed, numbers("model.shared.weight", &[9, 4]));
    assert!(store.adapter().unwrap().notes[0].contains("`model.shared.weight`, which is table and output matrix"));
    // stored twice, with the same bytes: names of one length draw the same numbers
    let twice: Tensors = vec![("a.shared.weight", vec![9, 4]), ("lm_heads.lm_head", vec![2]), ("b.shared.weight", vec![9, 4])];
    let target: Tensors = table.iter().map(|(n, s)| (&*n.replace("model.decoder.embed_tokens", "a.shared").leak(), s.clone())).collect();
    let config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["a.shared"]});
    for tied in [true, false] {
        let store = World::new(&twice, &target, &config).store(tied, Held::default()).unwrap();
        let w = store.root();
        assert_eq!(w.same("a.shared.weight", "b.shared.weight"), tied);
        let of = |name: &str| w.get(name, &[9, 4]).unwrap();
        assert_eq!(of("b.shared.weight") == of("a.shared.weight"), tied);
        assert_ne!(of("a.shared.weight"), numbers("a.shared.weight", &[9, 4]));
    }
}

/// With `bias: all`, PEFT stores the biases of whole modules twice, and what they were before.
#[test]
fn copies_of_whole_modules_are_passed_over() {
    let mut config = config();
    config["modules_to_save"] = json!(["norm"]);
    let mut tensors = q();
    let names = ["weight", "modules_to_save.weight", "original_module.weight"].map(|n| &*format!("base_model.model.model.norm.{n}").leak());
    tensors.extend(names.map(|n| (n, vec![4])));
    for (whole, kept) in [(&names[..], names[0]), (&names[1..], names[1])] {
        let tensors = tensors.iter().filter(|(n, _)| whole.contains(n) || n.contains("lora")).cloned().collect();
        let store = World::new(&base(), &tensors, &config).store(true, Held::default()).unwrap();
        assert_eq!(store.root().get("model.norm.weight", &[4]).unwrap(), numbers(kept, &[4]));
        assert_eq!(store.adapter().unwrap().parameters, 36);
    }
}
