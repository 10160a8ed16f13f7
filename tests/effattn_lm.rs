//! `effattn_lm` and config.json that is wrong: what the program says, and that nothing, however wrong, makes it panic or take memory beyond reason.

use effattn::arch;
use effattn::mixer;
use effattn::model::{Model, Source};
use effattn::weights::Store;
use serde_json::{Value, json};
use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, which remembers the most that was in use.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn took(bytes: usize) {
    MOST.fetch_max(NOW.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

// SAFETY: everything is the system allocator's
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: handed on
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: handed on
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: handed on
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Numbers in biases and norms that a configuration may ask for, as bytes, and room for all else.
const REASON: usize = (1 << 29) + (1 << 28);

fn lm() -> &'static arch::Arch {
    arch::REGISTRY.iter().find(|a| a.model_type == "effattn_lm").expect("it is in the registry")
}

fn tiny() -> Value {
    serde_json::from_str(lm().tiny).expect("a tiny configuration is JSON")
}

fn load(config: &Value, store: Store) -> effattn::Result<Box<dyn Model>> {
    (lm().load)(config, &Arc::new(store).root()).map(|l| l.model)
}

/// Numbers of a seed.
struct Dice(u64);

impl Dice {
    /// Below `n`.
    fn roll(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())].clone()
    }
}

/// Values that somebody might write, by mistake or not.
fn values() -> Vec<Value> {
    let mut all = vec![json!(null), json!(true), json!(false), json!(""), json!("x"), json!([]), json!({}), json!([[]]), json!([1, "x"])];
    all.extend(
        [
            "union",
            "alternate",
            "heads",
            "rotary",
            "shaw",
            "music",
            "learned",
            "none",
            "zeros",
            "layerwise",
            "keys",
            "inputs",
            "conv",
            "mean",
        ]
        .map(Value::from),
    );
    all.extend(
        [0u64, 1, 2, 3, 5, 7, 64, 4096, 65_536, 1 << 20, 1 << 24, (1 << 24) + 1, 1 << 32, 1 << 40, u64::MAX >> 1, u64::MAX]
            .map(Value::from),
    );
    all.extend([-1i64, i64::MIN].map(Value::from));
    all.extend([0.5, -0.5, 1e-300, 1e300, f64::MAX].map(Value::from));
    all.extend([
        json!({"name": "softmax"}),
        json!([{"name": "softmax"}, {"name": "softmax", "relative": "rotary"}]),
        json!({"name": 3}),
        json!([null]),
    ]);
    all
}

/// Keys of the configuration, and of any variant's entry.
const KEYS: &[&str] = &[
    "vocab_size",
    "d_model",
    "n_layers",
    "n_heads",
    "d_head",
    "d_ff",
    "activation",
    "block",
    "final_norm",
    "layer_norm_epsilon",
    "positions",
    "max_positions",
    "causal",
    "tie_word_embeddings",
    "output_bias",
    "qkv_bias",
    "out_bias",
    "mixer",
    "init_mem",
    "bos_token_id",
    "no_such_key",
];
const OPTIONS: &[&str] = &[
    "name",
    "stride",
    "summary",
    "pattern",
    "features",
    "kernel",
    "kernel_epsilon",
    "relative",
    "rotary_base",
    "rotary_style",
    "max_distance",
    "memory",
    "segment",
    "clamp",
    "init_mem",
    "length",
    "k",
    "share",
    "project",
    "block",
    "rows",
    "compressed",
    "ratio",
    "compress",
    "store",
    "padding",
    "no_such_option",
];

/// Sets or removes one to three things.
fn spoil(config: &mut Value, dice: &mut Dice) {
    for _ in 0..1 + dice.roll(3) {
        let entry = dice.roll(2) == 0 && config["mixer"].is_object();
        let target = if entry { &mut config["mixer"] } else { &mut *config };
        let Some(target) = target.as_object_mut() else { continue };
        let own: Vec<String> = target.keys().cloned().collect();
        let key = match dice.roll(3) {
            0 => dice.pick(if entry { OPTIONS } else { KEYS }).to_owned(),
            _ if own.is_empty() => continue,
            _ => dice.pick(&own),
        };
        match dice.roll(8) {
            0 => drop(target.remove(&key)),
            _ => drop(target.insert(key, dice.pick(&values()))),
        }
    }
}

/// Asks a model that was planned for its sizes, and runs one that is small.
fn ask(model: &dyn Model, config: &Value, parameters: usize) {
    let _ = model.step_bytes();
    for n in [0, 1, 1000, 1 << 20] {
        let _ = (model.state_bytes(n, n), model.encode_bytes(n));
    }
    if parameters > 300_000 || model.info().layers.0 + model.info().layers.1 > 8 {
        return;
    }
    let Ok(model) = load(config, Store::random(3)) else { return };
    let source = Source::new(vec![vec![3, 0, 1, 2], vec![1]]);
    // an error is an answer
    if model.info().reads_only.is_some() {
        let _ = model.fill(&source);
    } else if let Ok((mut state, _)) = model.encode(&source) {
        let _ = model.score(&[vec![1; 9], vec![2; 9]], &mut state);
        let _ = model.step(&[0, 1], &mut state);
    }
}

#[test]
fn no_configuration_makes_it_panic_or_take_memory_beyond_reason() {
    let mut dice = Dice(5);
    let (mut loaded, mut refused) = (0, 0);
    for spec in mixer::REGISTRY.iter().filter(|s| s.mixer.is_some() || s.reader.is_some()) {
        for entry in spec.tiny {
            for round in 0..150 {
                let mut config = tiny();
                config["mixer"] = serde_json::from_str(entry).expect("a tiny entry is JSON");
                if let Some(entry) = config["mixer"].as_object_mut() {
                    entry.remove("sum_of_norms");
                }
                config["causal"] = json!(spec.mixer.is_some());
                if round > 0 {
                    spoil(&mut config, &mut dice);
                }
                let before = NOW.load(Relaxed);
                MOST.store(before, Relaxed);
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    let store = Arc::new(Store::blueprint());
                    let model = (lm().load)(&config, &store.root()).map(|l| l.model);
                    if let Ok(model) = &model {
                        ask(&**model, &config, store.parameters());
                    }
                    model.map(drop)
                }));
                let most = MOST.load(Relaxed).saturating_sub(before);
                assert!(most < REASON, "{most} bytes for {config}");
                match outcome.unwrap_or_else(|_| panic!("it panics with {config}")) {
                    Ok(()) => loaded += 1,
                    Err(e) => {
                        assert!(round > 0, "{entry}: {e}");
                        assert!(e.message().starts_with("config.json: "), "{e}, with {config}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(loaded > 100 && refused > 100, "{loaded} loaded, {refused} refused");
}

#[test]
fn sizes_that_are_possible_one_by_one_and_absurd_together_are_refused() {
    for sizes in [
        json!({"d_ff": 1 << 24, "n_layers": 4096}),
        json!({"d_model": 1 << 20, "n_heads": 1 << 10, "n_layers": 4096}),
        json!({"d_model": 1 << 20, "n_heads": 1 << 10, "vocab_size": 1 << 24, "d_ff": 1}),
        json!({"d_head": 1 << 16, "n_heads": 1 << 16}),
        json!({"d_model": 1 << 20, "n_heads": 1, "d_ff": 1, "n_layers": 1, "max_positions": 1u64 << 32}),
    ] {
        let mut config = tiny();
        sizes.as_object().expect("it is one").iter().for_each(|(k, v)| config[k] = v.clone());
        let e = load(&config, Store::blueprint()).err().expect("it is too large");
        assert!(e.message().starts_with("config.json: its sizes make"), "{e}");
    }
}

/// What `inspect` says of a model with these changes to the tiny configuration.
fn says(changes: Value) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = tiny();
    changes.as_object().expect("it is one").iter().for_each(|(k, v)| config[k] = v.clone());
    std::fs::create_dir(dir.path().join("m")).expect("a directory");
    std::fs::write(dir.path().join("m/config.json"), config.to_string()).expect("a file");
    let words = ["inspect", "-m", "m", "--random-weights"];
    let got = Command::new(env!("CARGO_BIN_EXE_effattn")).args(words).current_dir(dir.path()).output().expect("the binary runs");
    let (out, err) = (String::from_utf8_lossy(&got.stdout), String::from_utf8_lossy(&got.stderr));
    assert!(got.status.success() != out.is_empty(), "{out}{err}");
    (got.status.code(), if got.status.success() { out.into_owned() } else { err.into_owned() })
}

#[test]
fn a_wrong_configuration_is_refused_with_a_remedy() {
    let names: Vec<&str> = mixer::REGISTRY.iter().filter(|s| s.mixer.is_some() || s.reader.is_some()).map(|s| s.name).collect();
    let known = format!("known are {}", names.join(", "));
    let keys = "it may change what the model computes, so it is not ignored; docs/formats.md has the keys";
    let docs = "docs/formats.md has the options of each";
    let strided = |key: &str, value: Value| {
        let mut entry = json!({"name": "sparse_strided", "stride": 4});
        entry[key] = value;
        json!({"mixer": entry})
    };
    let within = "`stride` is a number of positions, `summary` at most as many: docs/formats.md";
    for (changes, message, hint) in [
        (json!({"mixer": {"name": "sparse"}}), "`mixer` \"sparse\" is not known", &known[..]),
        (json!({"mixer": {"name": "lsh"}}), "`mixer` \"lsh\" stands in models of its own alone", &known),
        (
            json!({"mixer": "softmax"}),
            "`mixer` \"softmax\" has no `name`",
            &format!("it is an object with the name of a variant: {}", names.join(", ")),
        ),
        (json!({"mixer": []}), "`mixer` is an empty list", "it is an object with the name of a variant, or a list of such"),
        (
            json!({"mixer": [{"name": "softmax"}, {"name": "softmax"}, {"name": "softmax"}]}),
            "`mixer` lists 3 variants for 2 layers",
            "layer i takes entry i mod length, so the last ones would stand nowhere: leave them out",
        ),
        (strided("window", json!(3)), "`mixer` \"sparse_strided\": unknown field `window`, expected `stride` or `pattern`", docs),
        (
            strided("pattern", json!("both")),
            "`mixer` \"sparse_strided\": `pattern`: unknown variant `both`, expected one of `union`, `alternate`, `heads`",
            docs,
        ),
        (strided("stride", json!(0)), "`mixer` \"sparse_strided\": `stride` is 0, not between 1 and 16777216", within),
        (json!({"mixer": {"name": "sparse_strided"}}), "`mixer` \"sparse_strided\": missing field `stride`", docs),
        (
            json!({"mixer": {"name": "sparse_fixed", "stride": 4, "summary": 5}}),
            "`mixer` \"sparse_fixed\": `summary` is 5, not between 1 and 4",
            within,
        ),
        (
            json!({"causal": false, "mixer": [{"name": "softmax"}, {"name": "sparse_strided", "stride": 4}]}),
            "`sparse_strided` is causal by nature, it cannot read with `\"causal\": false`",
            "`effattn list` says which variants encode",
        ),
        (json!({"dropout": 0.1}), "`dropout` is not known here", keys),
        (
            json!({"n_heads": 5}),
            "24 features do not split into 5 heads",
            "`n_heads` divides `d_model`, or `d_head` says how wide a head is",
        ),
        (
            json!({"layer_norm_epsilon": -1e-5}),
            "`layer_norm_epsilon` is -1e-5, not between 0 and the largest f32",
            "it is added to a variance, or to a mean of squares: 0 or a little more, such as 1e-5",
        ),
        (json!({"init_mem": "full"}), "`init_mem` is \"full\"", "it is \"empty\" or \"zeros\""),
        (json!({"n_layers": 0}), "`n_layers` is 0, not between 1 and 4096", "is a size mistyped?"),
    ] {
        let want = format!("error: m/config.json: {message}\nhint: {hint}\n");
        assert_eq!(says(changes), (Some(1), want));
    }
}

/// A list of variants goes round the layers, and each layer's number is that in the model.
#[test]
fn a_list_of_variants_goes_round_the_layers() {
    let alternate = json!({"name": "sparse_strided", "stride": 4, "pattern": "alternate"});
    let (code, out) = says(json!({"n_layers": 3, "mixer": [{"name": "softmax"}, alternate]}));
    assert_eq!(code, Some(0));
    assert!(out.contains("softmax, sparse_strided\n"), "{out}");
    let bytes = |n_layers: usize, mixer: Value| {
        let mut config = tiny();
        (config["n_layers"], config["mixer"]) = (json!(n_layers), mixer);
        load(&config, Store::blueprint()).expect("it loads").state_bytes(0, 2048)
    };
    let softmax = bytes(1, json!({"name": "softmax"}));
    // layer 0 remembers a window, layer 1 everything
    let (first, both) = (bytes(1, alternate.clone()), bytes(2, alternate.clone()));
    assert!(first < softmax / 8 && both - first == softmax, "{first}, {both}, {softmax}");
    // in layer 1, and 1 and 3, it is the second of its sets
    assert_eq!(bytes(3, json!([{"name": "softmax"}, alternate])), 3 * softmax);
    assert_eq!(bytes(3, json!([alternate, {"name": "softmax"}])), 2 * first + softmax);
}
