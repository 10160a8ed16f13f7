use super::*;
use crate::kernel::linear::Layout;
use crate::kernel::precision::Precision;
use crate::weights::{Form, Held, Store};
use safetensors::tensor::TensorView;
use serde_json::json;
use std::sync::Arc;

mod refusals;

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
/// Each sum is rounded, so it matters which comes first.
#[test]
fn modules_of_a_shared_table_are_added_in_peft_s_order() {
    let modules = ["lm_head", "model.decoder.below.embed_tokens", "model.encoder.embed_tokens"];
    let keys = ["lora_A.weight", "lora_B.weight", "lora_embedding_A", "lora_embedding_B"];
    let names = modules.map(|m| [0, 1].map(|i| &*format!("base_model.model.{m}.{}", keys[i + 2 * usize::from(m != "lm_head")]).leak()));
    let shapes = |head: bool| if head { [vec![2, 4], vec![9, 2]] } else { [vec![2, 9], vec![4, 2]] };
    let adapter: Tensors = names.iter().enumerate().flat_map(|(i, n)| n.iter().copied().zip(shapes(i == 0))).collect();
    let config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 0.7, "target_modules": ["embed_tokens", "lm_head"]});
    let store = World::new(&base(), &adapter, &config).store(true, Held::default()).unwrap();
    let got = store.root().get("model.shared.weight", &[9, 4]).unwrap();
    let sum = |module: usize, row: usize, column: usize| {
        let [a, b] = names[module];
        let term = |k: usize| {
            if module == 0 {
                number(b, row * 2 + k) * number(a, k * 4 + column)
            } else {
                number(b, column * 2 + k) * number(a, k * 9 + row)
            }
        };
        (term(0) + term(1)) * 0.35f32
    };
    let table = |order: [usize; 3]| -> Vec<f32> {
        let at = |i: usize| order.iter().fold(number("model.shared.weight", i), |w, m| w + sum(*m, i / 4, i % 4));
        (0..36).map(at).collect()
    };
    assert_eq!(got, table([2, 1, 0]));
    for other in [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]] {
        assert_ne!(got, table(other), "{other:?}: nothing is rounded");
    }
}

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
