//! Laws that every architecture of the registry keeps, on its tiny configuration with made-up weights, in every precision, and every attention variant
//! in a stack of `effattn_lm`, and every other attention that its weights run with. Equality means the same bits.

use effattn::arch::{Arch, REGISTRY};
use effattn::kernel::precision::Precision::{self, *};
use effattn::memory::State;
use effattn::mixer::{self, Growth};
use effattn::model::{Model, Source};
use effattn::weights::{Held, Store};
use serde_json::{Value, json};
use std::sync::Arc;

/// An architecture whose numbers are held in one way.
struct Case {
    arch: &'static Arch,
    config: Value,
    held: Held,
    growth: Growth,
    /// The model type or the variant, and how its numbers are held where that is not f32.
    model_type: String,
}

impl Case {
    fn load(&self, store: &Arc<Store>) -> Box<dyn Model> {
        (self.arch.load)(&self.config, &store.root()).expect("a tiny model loads").model
    }
}

/// Weights and caches.
const HELD: [(Precision, Precision); 4] = [(F32, F32), (Bf16, F32), (Int8, F32), (Bf16, Bf16)];

/// A choice of `--attention` of which tiny documents see something: `window=N` becomes `window=6`.
fn small(choice: &str) -> String {
    match choice.split_once('=') {
        Some((name @ ("window" | "block"), _)) => format!("{name}=6"),
        Some((name, _)) => format!("{name}=3"),
        None => choice.to_owned(),
    }
}

/// The causal configurations: every architecture's own, one of `effattn_lm` for every entry that a variant names, and one for every
/// [`Arch::attentions`].
fn configurations() -> Vec<(&'static Arch, Value, Growth, String)> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("a tiny configuration is JSON");
    // a stack grows as the variant of it that grows most
    let growth = |arch: &Arch| {
        // its tiny model has windows
        if arch.model_type == "performer_lm" {
            return Growth::Bounded;
        }
        let of = |name: &&str| mixer::REGISTRY.iter().find(|s| s.name == *name).map(|s| s.state);
        let all: Vec<Growth> = arch.mixers.iter().filter_map(of).collect();
        let has = |growth| all.contains(&growth).then_some(growth);
        has(Growth::Linear).or(has(Growth::Bounded)).or(all.first().copied()).unwrap_or(Growth::Linear)
    };
    let own = REGISTRY.iter().map(|arch| (arch, parse(arch.tiny), growth(arch), arch.model_type.to_owned()));
    let lm = REGISTRY.iter().find(|a| a.model_type == "effattn_lm").expect("it is in the registry");
    let variants = mixer::REGISTRY.iter().filter(|s| s.mixer.is_some()).flat_map(|spec| {
        spec.tiny.iter().map(move |entry| {
            let mut config = parse(lm.tiny);
            config["mixer"] = parse(entry);
            if config["mixer"]["sum_of_norms"].as_bool() == Some(true) {
                config["mixer"].as_object_mut().expect("it is one").remove("sum_of_norms");
                config["block"] = json!("sum_of_norms");
            }
            (lm, config, spec.state, format!("effattn_lm {entry}"))
        })
    });
    let chosen = REGISTRY.iter().flat_map(|arch| {
        // `sparse` refuses short documents, which these laws are full of
        arch.attentions.iter().filter(|name| **name != "sparse").map(move |name| {
            let (mut config, choice) = (parse(arch.tiny), small(name));
            config["attention_choice"] = json!(choice);
            (arch, config, growth(arch), format!("{} --attention {choice}", arch.model_type))
        })
    });
    // what reads whole texts is left to tests/readers.rs
    let decodes = |arch: &Arch, config: &Value| {
        let loaded = (arch.load)(config, &Arc::new(Store::blueprint()).root());
        loaded.expect("a tiny model loads").model.info().reads_only.is_none()
    };
    own.chain(variants).chain(chosen).filter(|(arch, config, ..)| decodes(arch, config)).collect()
}

/// Every configuration with its tiny model, in every precision.
fn models() -> impl Iterator<Item = (Case, Box<dyn Model>)> {
    configurations().into_iter().flat_map(|(arch, config, growth, name)| {
        // which attention runs has nothing to do with how numbers are held
        let held = if config["attention_choice"].is_null() { &HELD[..] } else { &HELD[..1] };
        held.iter().map(move |&(weights, cache)| {
            let words = if weights == F32 { String::new() } else { format!(" {} {}", weights.name(), cache.name()) };
            let held = Held { weights, cache, mapped: false };
            let case = Case { arch, config: config.clone(), held, growth, model_type: format!("{name}{words}") };
            let model = case.load(&Arc::new(Store::random(7).held(case.held)));
            (case, model)
        })
    })
}

/// `n` token ids that look random.
fn ids(n: usize, seed: u32) -> Vec<u32> {
    (0..n as u32).map(|i| 3 + (i.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)) % 58).collect()
}

/// The state after reading a document (or the start of a prompt).
fn read(model: &dyn Model, rows: Vec<Vec<u32>>) -> State {
    model.encode(&Source::new(rows)).expect("the source is fine").0
}

fn score(model: &dyn Model, tokens: &[Vec<u32>], state: &mut State) -> Vec<Vec<Vec<f32>>> {
    model.score(tokens, state).and_then(|x| Ok(x.to_vec3()?)).expect("scoring works")
}

#[test]
fn any_chunking_gives_the_same_bits() {
    for (arch, model) in models() {
        let (source, target) = (ids(37, 1), ids(40, 2));
        let whole = score(&*model, std::slice::from_ref(&target), &mut read(&*model, vec![source.clone()]));
        for cut in [1, 3, 7, 32, 33] {
            let mut state = read(&*model, vec![source.clone()]);
            let parts: Vec<Vec<f32>> = target.chunks(cut).flat_map(|c| score(&*model, &[c.to_vec()], &mut state).remove(0)).collect();
            assert!(parts == whole[0], "{}: chunks of {cut} differ", arch.model_type);
        }
        let mut state = read(&*model, vec![source]);
        for (i, token) in target.iter().enumerate() {
            let step = model.step(&[*token], &mut state).and_then(|x| Ok(x.to_vec2::<f32>()?)).expect("a step works");
            assert!(step[0] == whole[0][i], "{}: step {i} differs", arch.model_type);
        }
    }
}

#[test]
fn later_tokens_never_change_earlier_outputs() {
    for (arch, model) in models() {
        let (mut a, source) = (ids(20, 3), ids(11, 4));
        let before = score(&*model, &[a.clone()], &mut read(&*model, vec![source.clone()]));
        a[13] = (a[13] + 1) % 61;
        let after = score(&*model, &[a], &mut read(&*model, vec![source]));
        assert!(before[0][..13] == after[0][..13], "{}: the past changed", arch.model_type);
        assert!(before[0][13..] != after[0][13..], "{}: the present did not change", arch.model_type);
    }
}

#[test]
fn rows_of_a_batch_are_independent_whatever_their_lengths() {
    for (arch, model) in models() {
        let sources: Vec<Vec<u32>> = [1, 9, 64, 33].iter().map(|&n| ids(n, n as u32)).collect();
        let targets: Vec<Vec<u32>> = (0..4).map(|r| ids(6, 10 + r)).collect();
        let batch = score(&*model, &targets, &mut read(&*model, sources.clone()));
        for (r, (source, target)) in sources.into_iter().zip(targets).enumerate() {
            let alone = score(&*model, &[target], &mut read(&*model, vec![source]));
            assert!(alone[0] == batch[r], "{}: row {r} depends on its neighbours", arch.model_type);
        }
    }
}

#[test]
fn a_forked_or_selected_row_steps_identically() {
    for (arch, model) in models() {
        let sources = vec![ids(12, 1), ids(30, 2), ids(5, 3)];
        let mut state = read(&*model, sources);
        score(&*model, &[ids(4, 5), ids(4, 6), ids(4, 7)], &mut state);
        let mut fork = state.clone();
        let next: Vec<Vec<u32>> = vec![vec![8], vec![9], vec![10]];
        let plain = score(&*model, &next, &mut state);
        fork.select(&[2, 0, 2, 1]).expect("rows exist");
        let picked = score(&*model, &[vec![10], vec![8], vec![10], vec![9]], &mut fork);
        for (row, of) in picked.iter().zip([2, 0, 2, 1]) {
            assert!(*row == plain[of], "{}: row {of} steps differently after select", arch.model_type);
        }
        // the copies go their own ways
        let apart = score(&*model, &[vec![11], vec![12], vec![13], vec![14]], &mut fork);
        assert!(apart[0] != apart[2], "{}: copies of a row share what they should not", arch.model_type);
        assert_eq!(fork.seen, [2, 0, 2, 1].map(|of| state.seen[of] + 1));
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for (arch, model) in models() {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| score(&*model, &[ids(30, 1), ids(30, 2)], &mut read(&*model, vec![ids(50, 3), ids(41, 4)])))
        };
        assert!(run(1) == run(3), "{}: threads change the result", arch.model_type);
    }
}

#[test]
fn state_weighs_what_was_forecast() {
    for (arch, model) in models() {
        for (source, target) in [(1, 1), (31, 5), (64, 40)] {
            // a decoder-only model has read all but the last token of its prompt
            let paired = model.info().encoder_decoder;
            let mut state = read(&*model, vec![ids(if paired { source } else { 1 }, 1)]);
            score(&*model, &[ids(target, 2)], &mut state);
            assert_eq!(state.bytes(), model.state_bytes(source, target), "{}: {source} and {target} tokens", arch.model_type);
            let read = model.state_read_bytes(source, target);
            assert!(read > 0 && read <= model.state_bytes(source, target), "{}: a step reads {read} bytes", arch.model_type);
        }
        let forecast = |n| model.state_bytes(n, n) as f64;
        let as_told = match arch.growth {
            Growth::Linear => ((forecast(12_800) - forecast(6400)) / (forecast(6400) - forecast(3200)) - 2.0).abs() < 0.1,
            Growth::Bounded => forecast(640) > forecast(1) && forecast(64_000) < 1.25 * forecast(6400),
            Growth::Constant => forecast(6400) == forecast(640),
            Growth::None => false,
        };
        assert!(as_told, "{}: the state does not grow as its registry line says", arch.model_type);
    }
}

/// A blueprint is the model without its numbers: whoever asks for sizes gets the same answers.
#[test]
fn a_blueprint_tells_the_sizes_of_the_model() {
    for (arch, model) in models() {
        let (blueprint, whole) = (Arc::new(Store::blueprint().held(arch.held)), Arc::new(Store::random(7).held(arch.held)));
        let sizes = arch.load(&blueprint);
        arch.load(&whole);
        assert_eq!(blueprint.parameters(), whole.parameters(), "{}", arch.model_type);
        assert_eq!(blueprint.bytes_in_memory(), whole.bytes_in_memory(), "{}", arch.model_type);
        let told = |m: &dyn Model| {
            let i = m.info();
            let limits = (i.vocab_size, i.max_source, i.max_target, i.layers);
            (limits, m.step_bytes(), m.state_bytes(33, 20), m.encode_bytes(33))
        };
        assert_eq!(told(&*sizes), told(&*model), "{}", arch.model_type);
    }
}

/// Bytes that a step reads, counted by hand from the shapes in config.json: panels of 16 outputs whose inputs are whole lines, a factor and
/// a sum an output of int8, biases, norms, one row of each table.
#[test]
fn a_step_reads_what_the_shapes_say() {
    for (weights, cache) in HELD {
        let (size, whole, factors) = match weights {
            F32 => (4, 1, 0),
            Bf16 => (2, 32, 0),
            Int8 => (1, 64, 8),
        };
        let matrix = |outputs: usize, inputs: usize| {
            let rows = outputs.next_multiple_of(16);
            rows * inputs.next_multiple_of(whole) * size + factors * rows
        };
        let linear = |outputs: usize, inputs: usize| matrix(outputs, inputs) + 4 * outputs;
        let (d, v, norm) = (24, 61, 4 * 2 * 24);
        let table = matrix(v, d); // tied: no bias of its own
        let gpt2 = 2 * (4 * linear(d, d) + linear(40, d) + linear(d, 40) + 2 * norm) + norm;
        let led = 2 * (6 * linear(d, d) + linear(36, d) + linear(d, 36) + 3 * norm) + norm; // the norm behind the embeddings
        for (name, layers) in [("gpt2", gpt2), ("led", led)] {
            let of = |case: &Case| case.arch.model_type == name && case.held == Held { weights, cache, mapped: false };
            let (_, model) = models().find(|(case, _)| of(case)).expect("it is in the registry");
            assert_eq!(model.step_bytes(), layers + table + d * size + 4 * d, "{name} {weights:?}");
        }
    }
}

#[test]
fn reserving_room_changes_nothing_and_the_shared_document_counts_once() {
    for (arch, model) in models() {
        let source = ids(20, 1);
        let mut a = read(&*model, vec![source.clone()]);
        let mut b = read(&*model, vec![source]);
        b.reserve(60);
        assert!(score(&*model, &[ids(9, 2)], &mut a) == score(&*model, &[ids(9, 2)], &mut b), "{}", arch.model_type);
        let one = a.bytes();
        a.select(&[0, 0, 0]).expect("the row exists");
        let own = model.state_bytes(0, a.seen[0]);
        assert_eq!(a.bytes(), one + 2 * own, "{}: beams copy what they should share", arch.model_type);
    }
}

#[test]
fn ids_and_positions_out_of_range_are_errors() {
    for (arch, model) in models() {
        let message = |result: effattn::Result<State>| result.err().map(|e| e.message().to_string()).unwrap_or_default();
        let v = model.info().vocab_size;
        let wrong = message(model.encode(&Source::new(vec![vec![3, v as u32]])).map(|r| r.0));
        assert!(wrong.contains(&format!("token id {v}")) && wrong.contains(&format!("{v} tokens")), "{}: {wrong}", arch.model_type);
        if let Some(most) = model.info().max_source {
            let long = message(model.encode(&Source::new(vec![ids(most + 2, 1)])).map(|r| r.0));
            assert!(long.contains(&format!("position {most}")), "{}: {long}", arch.model_type);
        }
        let empty = message(model.encode(&Source::new(vec![vec![]])).map(|r| r.0));
        assert!(empty.contains("no tokens"), "{}: {empty}", arch.model_type);
    }
}
