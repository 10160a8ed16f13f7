//! Laws that every model keeps that reads whole texts: the architectures that cannot decode, and every variant that reads in a stack of `effattn_lm` that is not causal.
//! Equality means the same bits.

use effattn::arch::{Arch, REGISTRY};
use effattn::kernel::precision::Precision::{self, *};
use effattn::metric::perplexity::score_masked;
use effattn::mixer;
use effattn::model::{Model, Source};
use effattn::weights::{Held, Store};
use serde_json::{Value, json};
use std::sync::Arc;

/// An architecture or a variant.
struct Case {
    arch: &'static Arch,
    config: Value,
    weights: Precision,
    name: String,
}

impl Case {
    fn load(&self, store: &Arc<Store>) -> Box<dyn Model> {
        (self.arch.load)(&self.config, &store.root()).unwrap_or_else(|e| panic!("{}: {e}", self.name)).model
    }

    fn store(&self, store: Store) -> Arc<Store> {
        Arc::new(store.held(Held { weights: self.weights, ..Held::default() }))
    }

    /// These lengths, or that of all texts of a model that reads no other.
    fn lengths(&self, lengths: &[usize]) -> Vec<usize> {
        match &self.config["input_size"] {
            Value::Null => lengths.to_vec(),
            one => lengths.iter().map(|_| one.as_u64().expect("a number") as usize).collect(),
        }
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("a tiny configuration is JSON")
}

fn lm() -> &'static Arch {
    REGISTRY.iter().find(|a| a.model_type == "effattn_lm").expect("it is in the registry")
}

/// `effattn_lm` over one variant.
fn over(entry: Value, causal: bool) -> Value {
    let mut config = parse(lm().tiny);
    config["causal"] = json!(causal);
    config["mixer"] = entry;
    if let Some(Value::Bool(true)) = config["mixer"].as_object_mut().expect("it is one").remove("sum_of_norms") {
        config["block"] = json!("sum_of_norms");
    }
    config
}

/// Every configuration that only reads, in every precision, with a model of made-up weights.
fn models() -> impl Iterator<Item = (Case, Box<dyn Model>)> {
    let reads = |arch: &&'static Arch| {
        let loaded = (arch.load)(&parse(arch.tiny), &Arc::new(Store::blueprint()).root());
        loaded.expect("a tiny model loads").model.info().reads_only.is_some()
    };
    let own = REGISTRY.iter().filter(reads).map(|arch| (arch, parse(arch.tiny), arch.model_type.to_owned()));
    let variants = mixer::REGISTRY.iter().filter(|s| s.reader.is_some()).flat_map(|s| s.tiny.iter());
    // Music Transformer's distances know no later positions
    let variants = variants.filter(|entry| parse(entry)["relative"] != json!("music"));
    let variants = variants.map(|entry| (lm(), over(parse(entry), false), format!("effattn_lm {entry}")));
    let all: Vec<_> = own.chain(variants).collect();
    assert!(all.len() > 8, "models that read: {}", all.len());
    all.into_iter().flat_map(|(arch, config, name)| {
        [F32, Bf16, Int8].map(|weights| {
            let case = Case { arch, config: config.clone(), weights, name: format!("{name} {}", weights.name()) };
            let model = case.load(&case.store(Store::random(7)));
            (case, model)
        })
    })
}

/// `n` token ids that look random.
fn ids(n: usize, seed: u32) -> Vec<u32> {
    (0..n as u32).map(|i| 3 + (i.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)) % 58).collect()
}

/// Logits at every position of each text.
fn fill(model: &dyn Model, rows: Vec<Vec<u32>>) -> Vec<Vec<Vec<f32>>> {
    let all = model.fill(&Source::new(rows)).expect("the texts are fine");
    all.iter().map(|x| x.to_vec2().expect("a matrix")).collect()
}

#[test]
fn documents_of_a_batch_are_independent_whatever_their_lengths() {
    for (case, model) in models() {
        let rows: Vec<Vec<u32>> = case.lengths(&[1, 9, 64, 33]).into_iter().zip(1..).map(|(n, seed)| ids(n, seed)).collect();
        let batch = fill(&*model, rows.clone());
        for (r, row) in rows.into_iter().enumerate() {
            assert_eq!((batch[r].len(), batch[r][0].len()), (row.len(), model.info().vocab_size));
            assert!(fill(&*model, vec![row]).remove(0) == batch[r], "{}: row {r} depends on its neighbours", case.name);
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for (case, model) in models() {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let n = case.lengths(&[50, 41]);
            pool.install(|| fill(&*model, vec![ids(n[0], 3), ids(n[1], 4)]))
        };
        assert!(run(1) == run(3), "{}: threads change the result", case.name);
    }
}

/// The whole text is read: its last token moves the first output, and its first the last.
#[test]
fn every_position_sees_both_ends() {
    for (case, model) in models().filter(|(case, _)| case.weights == F32) {
        let text = ids(case.lengths(&[30])[0], 1);
        let (before, end) = (fill(&*model, vec![text.clone()]), text.len() - 1);
        for (changed, seen) in [(0, end), (end, 0)] {
            let mut other = text.clone();
            other[changed] = if other[changed] == 7 { 8 } else { 7 };
            let after = fill(&*model, vec![other]);
            assert!(before[0][seen] != after[0][seen], "{}: {seen} does not see {changed}", case.name);
        }
    }
}

/// A blueprint is the model without its numbers: whoever asks for sizes gets the same answers.
#[test]
fn a_blueprint_tells_the_sizes_of_the_model() {
    for (case, model) in models() {
        let (blueprint, whole) = (case.store(Store::blueprint()), case.store(Store::random(7)));
        let sizes = case.load(&blueprint);
        case.load(&whole);
        assert_eq!(blueprint.parameters(), whole.parameters(), "{}", case.name);
        assert_eq!(blueprint.bytes_in_memory(), whole.bytes_in_memory(), "{}", case.name);
        let told = |m: &dyn Model| {
            let i = m.info();
            ((i.vocab_size, i.max_source, i.max_target, i.layers), m.step_bytes(), m.state_bytes(33, 20), m.encode_bytes(33))
        };
        assert_eq!(told(&*sizes), told(&*model), "{}", case.name);
        // all matrices but the token table, of which a row is read; what layers share is read by each
        let (read, held) = (model.step_bytes(), whole.bytes_in_memory());
        assert!(read < 2 * held && 3 * read > held, "{}: {read} of {held}", case.name);
    }
}

#[test]
fn what_does_not_fit_is_an_error_and_decoding_says_why_not() {
    for (case, model) in models().filter(|(case, _)| case.weights == F32) {
        let info = model.info();
        let message = |rows: Vec<Vec<u32>>| model.fill(&Source::new(rows)).err().map(|e| e.message().to_string()).unwrap_or_default();
        let wrong = message(vec![ids(case.lengths(&[2])[0] - 1, 1).into_iter().chain([info.vocab_size as u32]).collect()]);
        assert!(wrong.contains(&format!("token id {}", info.vocab_size)), "{}: {wrong}", case.name);
        let most = info.max_source.expect("the tiny ones have a limit");
        let long = message(vec![ids(most, 1), ids(most + 1, 1)]);
        assert!(long.contains(&format!("{most} ")) && (long.contains("positions") || long.contains("columns")), "{}: {long}", case.name);
        assert!(message(vec![vec![]]).contains("no tokens"), "{}", case.name);
        // as many as there are do fit
        fill(&*model, vec![ids(most, 2)]);
        let why = info.decodes().expect_err("it does not decode").message().to_string();
        assert!(why.contains("cannot decode: "), "{}: {why}", case.name);
        let (mut state, first) = model.encode(&Source::new(vec![ids(most, 2)])).expect("it reads");
        assert!(model.step(&first, &mut state).is_err(), "{}", case.name);
        assert_eq!((state.bytes(), model.state_bytes(most, most)), (0, 0), "{}", case.name);
    }
}

/// A token's loss is that of the logits at its place when the mask token stands there, and the tokens that do not count are read as they are.
#[test]
fn a_masked_token_is_expected_from_all_the_others() {
    for (case, model) in models().filter(|(case, _)| case.weights == F32) {
        let n = case.lengths(&[21])[0];
        let (text, mask) = (ids(n, 5), 2);
        let scored: Vec<bool> = (0..n).map(|i| i != 0 && i != n - 1 && i != 7).collect();
        let got = score_masked(&*model, &text, &scored, mask).expect("it reads");
        let by_hand = |i: usize| {
            let mut hidden = text.clone();
            hidden[i] = mask;
            let row: Vec<f64> = fill(&*model, vec![hidden])[0][i].iter().map(|x| f64::from(*x)).collect();
            row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[text[i] as usize]
        };
        let want: Vec<f64> = (0..n).filter(|i| scored[*i]).map(by_hand).collect();
        assert_eq!((got.nll.len(), got.unscored), (n - 3, 0), "{}", case.name);
        assert!(got.nll.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-5), "{}: {:?} {want:?}", case.name, got.nll);
        // many copies of a long text do not go at once, which changes nothing
        let most = model.info().max_source.expect("a limit");
        let long = score_masked(&*model, &ids(most, 6), &vec![true; most], mask).expect("it reads");
        assert_eq!(long.nll.len(), most);
        let too_long = score_masked(&*model, &ids(most + 1, 6), &vec![true; most + 1], mask).expect_err("too long");
        assert!(too_long.message().contains(&format!("{most} positions")), "{}: {}", case.name, too_long.message());
    }
}

/// The made-up weights of `config`, but for the tensors that `other` gives.
fn store(config: &Value, other: impl Fn(&str, &[usize]) -> Option<Vec<f32>>) -> Arc<Store> {
    let asked = Arc::new(Store::random(11));
    (lm().load)(config, &asked.root()).expect("it loads");
    let numbers: Vec<(String, Vec<usize>, Vec<u8>)> = (asked.asked_for().into_iter())
        .map(|t| {
            let numbers = other(&t.name, &t.shape).unwrap_or_else(|| asked.root().numbers(&t.name, &t.shape).expect("made up"));
            (t.name, t.shape, numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
        })
        .collect();
    let views = numbers.iter().map(|(name, shape, bytes)| {
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).expect("as many numbers"))
    });
    let file = safetensors::serialize(views, None).expect("a file");
    Arc::new(Store::from_static("made", Box::leak(file.into_boxed_slice())).expect("it opens"))
}

/// Matrices that leave things as they are, for projections of texts.
fn identity(name: &str, shape: &[usize]) -> Option<Vec<f32>> {
    let (more, [k, n]) = shape.split_last_chunk()?;
    let one = (0..k * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 });
    name.contains("project").then(|| one.collect::<Vec<f32>>().repeat(more.iter().product()))
}

/// Largest difference between what two variants say of the same texts with the same weights.
fn apart(entries: [Value; 2], causal: bool, n: usize) -> f32 {
    let [own, softmax] = entries.map(|entry| over(entry, causal));
    let store = store(&own, identity);
    let said = [own, softmax].map(|config| {
        let model = (lm().load)(&config, &store.root()).expect("it loads").model;
        if !causal {
            return fill(&*model, vec![ids(n, 3), ids(n, 4)]).concat();
        }
        let (mut state, _) = model.encode(&Source::new(vec![vec![3]])).expect("it reads");
        let logits = model.score(&[ids(n, 3)], &mut state).expect("it reads");
        logits.squeeze(0).and_then(|x| x.to_vec2()).expect("a matrix")
    });
    said[0].iter().flatten().zip(said[1].iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn linformer_with_as_many_rows_as_positions_is_softmax() {
    for share in ["headwise", "none", "key_value", "layerwise"] {
        for project in ["keys", "inputs"] {
            let own = json!({"name": "linformer", "length": 20, "k": 20, "share": share, "project": project});
            let far = apart([own, json!({"name": "softmax"})], false, 20);
            assert!(far < 1e-5, "{share} {project}: {far}");
        }
    }
}

#[test]
fn blocks_of_as_many_rows_as_positions_are_causal_softmax() {
    for block in [1, 4, 7, 40] {
        let own = json!({"name": "linformer_blockwise", "block": block, "rows": block});
        let far = apart([own, json!({"name": "softmax"})], true, 33);
        assert!(far < 1e-5, "{block}: {far}");
    }
    // and fewer rows are something else
    let few = json!({"name": "linformer_blockwise", "block": 8, "rows": 2});
    assert!(apart([few, json!({"name": "softmax"})], true, 33) > 1e-3);
}

/// Each layer's E is its own, or the same where it is said to be, and the rows of a text are weighed as the options say.
#[test]
fn sharing_is_what_the_tensors_say() {
    let tensors = |share: &str| {
        let entry = json!({"name": "linformer", "length": 20, "k": 6, "share": share});
        let asked = Arc::new(Store::blueprint());
        (lm().load)(&over(entry, false), &asked.root()).expect("it loads");
        let own = asked.asked_for().into_iter().filter(|t| t.name.contains("project"));
        own.map(|t| format!("{} {:?}", t.name, t.shape)).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(tensors("layerwise"), "project.weight [6, 20]");
    assert_eq!(tensors("key_value"), "layers.0.mixer.project_k.weight [6, 20]; layers.1.mixer.project_k.weight [6, 20]");
    let both = |shape: &str| {
        let one = |i: usize| format!("layers.{i}.mixer.project_k.weight {shape}; layers.{i}.mixer.project_v.weight {shape}");
        format!("{}; {}", one(0), one(1))
    };
    assert_eq!(tensors("headwise"), both("[6, 20]"));
    assert_eq!(tensors("none"), both("[3, 6, 20]"));
}

/// Options that make no sense are errors that name the key, however large they are.
#[test]
fn impossible_options_are_errors() {
    let message = |entry: Value, causal: bool| {
        let loaded = (lm().load)(&over(entry.clone(), causal), &Arc::new(Store::blueprint()).root());
        loaded.err().map(|e| format!("{}\n{}", e.message(), e.remedy().unwrap_or_default())).unwrap_or_else(|| panic!("{entry} loads"))
    };
    for (key, n) in [("length", 0), ("length", usize::MAX), ("k", 0), ("k", usize::MAX / 2), ("length", 1 << 25)] {
        let mut entry = json!({"name": "linformer", "length": 20, "k": 6});
        entry[key] = json!(n);
        assert!(message(entry, false).contains(&format!("`{key}` is {n}")));
    }
    for (key, n) in [("block", 0), ("block", usize::MAX), ("rows", 0), ("rows", usize::MAX)] {
        let mut entry = json!({"name": "linformer_blockwise", "block": 8, "rows": 2});
        entry[key] = json!(n);
        assert!(message(entry, true).contains(&format!("`{key}` is {n}")));
    }
    assert!(message(json!({"name": "linformer_blockwise", "block": 2, "rows": 3}), true).contains("3 `rows` for a `block` of 2"));
    let causal = message(json!({"name": "linformer", "length": 20, "k": 6}), true);
    assert!(causal.contains("no mask can hide the future") && causal.contains("`linformer_blockwise`"), "{causal}");
    assert!(message(json!({"name": "linformer", "length": 20, "k": 6, "shared": "none"}), false).contains("unknown field `shared`"));
}
