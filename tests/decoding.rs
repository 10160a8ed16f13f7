//! `src/decode` against transformers' `generate` (fixtures/decoding, made by its `reference.py`), and the laws of a search.

use candle_core::{Device, Tensor};
use effattn::Result;
use effattn::decode::process::{Chain, Row};
use effattn::decode::{Finish, Generation, Hypothesis, Overrides, Search, beam_search, search, seed_of};
use effattn::memory::{Memory, State};
use effattn::model::{Info, Model, Source};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Looks logits up: row (Σ (i+1)·id_i) mod M, as in reference.py. Its memory is that sum, so a wrong `select` is found out.
struct Table {
    info: Info,
    logits: Vec<Vec<f32>>,
}

#[derive(Clone)]
struct Sums(Vec<usize>);

impl Memory for Sums {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.0 = rows.iter().map(|&r| self.0[r]).collect();
        Ok(())
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        others.into_iter().for_each(|o| self.0.extend(o.0));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.len() * 8
    }
}

impl Table {
    fn new(logits: Vec<Vec<f32>>) -> Self {
        let info = Info {
            model_type: "table",
            encoder_decoder: false,
            vocab_size: logits[0].len(),
            max_source: None,
            max_target: None,
            attention: String::new(),
            default_global: None,
            layers: (0, 1),
            prompt_start: None,
            reads_only: None,
        };
        Self { info, logits }
    }

    fn read(&self, row: usize, token: u32, state: &mut State) {
        let sums: &mut Sums = state.layers[0].as_any_mut().downcast_mut().unwrap();
        state.seen[row] += 1;
        sums.0[row] += token as usize * state.seen[row];
    }
}

impl Model for Table {
    fn state_bytes(&self, _source: usize, _target: usize) -> usize {
        0
    }

    fn step_bytes(&self) -> usize {
        0
    }

    fn encode_bytes(&self, _: usize) -> usize {
        0
    }

    fn info(&self) -> &Info {
        &self.info
    }

    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)> {
        let rows = source.rows.len();
        let mut state = State { seen: vec![0; rows], layers: vec![Box::new(Sums(vec![0; rows]))], probe: Default::default() };
        for (row, tokens) in source.rows.iter().enumerate() {
            tokens[..tokens.len() - 1].iter().for_each(|&t| self.read(row, t, &mut state));
        }
        Ok((state, source.rows.iter().map(|r| *r.last().unwrap()).collect()))
    }

    fn score(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        assert_eq!(tokens.len(), state.rows(), "a token for each row");
        let mut out: Vec<f32> = Vec::new();
        for (row, tokens) in tokens.iter().enumerate() {
            self.read(row, tokens[0], state);
            let sums: &Sums = state.layers[0].as_any_mut().downcast_ref().unwrap();
            out.extend(&self.logits[sums.0[row] % self.logits.len()]);
        }
        Ok(Tensor::from_vec(out, (tokens.len(), 1, self.info.vocab_size), &Device::Cpu)?)
    }
}

/// A file of goldens: the JSON parts of its header, and its tensors by rows.
struct Golden {
    parts: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Vec<Vec<f32>>>,
}

fn golden(name: &str) -> Golden {
    let path = format!("{}/fixtures/decoding/{name}", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).unwrap();
    let header = SafeTensors::read_metadata(&bytes).unwrap().1;
    let parts = header.metadata().as_ref().unwrap().iter().map(|(k, v)| (k.clone(), serde_json::from_str(v).unwrap()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let rows = |t: safetensors::tensor::TensorView| -> Vec<Vec<f32>> {
        let values: Vec<f32> = t.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        values.chunks(t.shape()[1]).map(<[f32]>::to_vec).collect()
    };
    Golden { parts: parts.collect(), tensors: file.tensors().into_iter().map(|(k, t)| (k, rows(t))).collect() }
}

fn tokens(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|t| t.as_u64().unwrap() as u32).collect()
}

fn lists(value: &Value) -> Vec<Vec<u32>> {
    value.as_array().unwrap().iter().map(tokens).collect()
}

fn resolved(settings: &Value) -> Generation {
    Generation::resolve(Some(settings), &json!({}), &Overrides::default()).unwrap()
}

fn start<'m>(model: &'m dyn Model, prompts: &[Vec<u32>], seeds: &[u64], settings: &'m Generation) -> Search<'m> {
    let (state, first) = model.encode(&Source::new(prompts.to_vec())).unwrap();
    search(model, state, first, prompts.to_vec(), seeds, settings).unwrap()
}

fn run(model: &dyn Model, prompts: &[Vec<u32>], seeds: &[u64], settings: &Generation) -> Vec<Vec<Hypothesis>> {
    let mut search = start(model, prompts, seeds, settings);
    for step in &mut search {
        step.unwrap();
    }
    search.finish()
}

fn alone(model: &dyn Model, prompt: &[u32], seed: u64, settings: &Generation) -> Vec<Hypothesis> {
    run(model, &[prompt.to_vec()], &[seed], settings).remove(0)
}

#[test]
fn processors_equal_transformers() {
    let golden = golden("processors.safetensors");
    let histories = lists(&golden.parts["histories"]);
    let prompts = tokens(&golden.parts["prompts"]);
    let cases = golden.parts["cases"].as_array().unwrap();
    assert!(cases.len() > 80);
    for (number, case) in cases.iter().enumerate() {
        let settings = resolved(&case["settings"]);
        let chain = Chain::new(&settings);
        for (row, history) in histories.iter().enumerate() {
            let mut scores = golden.tensors[case["scores"].as_str().unwrap()][row].clone();
            if case["log_softmax"] == true {
                let max = scores.iter().copied().fold(f32::MIN, f32::max);
                let sum: f64 = scores.iter().map(|s| f64::from((s - max).exp())).sum();
                scores.iter_mut().for_each(|s| *s = *s - max - (sum as f32).ln());
            }
            // transformers' chain does not mind a history as long as its greatest length; a search never gets there
            let prompt = prompts[row] as usize;
            let mut lengths = settings.lengths(prompt, None).unwrap_or(effattn::decode::Lengths { prompt, min: 0, max: 0 });
            lengths.min = settings.min_new_tokens.map_or(settings.min_length, |n| n + prompt);
            lengths.max =
                settings.max_new_tokens.map_or(if settings.default_length { prompt + 20 } else { settings.max_length }, |n| n + prompt);
            chain.apply(&Row { tokens: history, lengths }, &mut scores);
            let want = &golden.tensors[&format!("out.{number}")][row];
            for (token, (got, want)) in scores.iter().zip(want).enumerate() {
                let close = got == want || (want.is_finite() && (got - want).abs() <= 2e-6 * want.abs().max(1.0));
                assert!(close, "{} row {row} token {token}: {got} is not {want}", case["settings"]);
            }
        }
    }
}

/// What a case of search.safetensors expects.
struct Case {
    name: String,
    prompt: Vec<u32>,
    settings: Generation,
    sequences: Vec<Vec<u32>>,
    scores: Vec<f64>,
}

impl Case {
    fn check(&self, found: &[Hypothesis]) {
        let got: Vec<&Vec<u32>> = found.iter().map(|h| &h.tokens).collect();
        assert_eq!(got, self.sequences.iter().collect::<Vec<_>>(), "{}", self.name);
        for (hypothesis, want) in found.iter().zip(&self.scores) {
            let score = f64::from(hypothesis.score.unwrap());
            assert!((score - want).abs() <= 1e-5 * want.abs().max(1.0), "{}: score {score} is not {want}", self.name);
        }
        for hypothesis in found {
            let ended = self.settings.eos.contains(hypothesis.tokens.last().unwrap());
            assert_eq!(hypothesis.finish, if ended { Finish::Stop } else { Finish::Length }, "{}", self.name);
        }
    }
}

/// The tables with the cases that were found with them.
fn searches() -> Vec<(Table, Vec<Case>)> {
    let golden = golden("search.safetensors");
    let case = |c: &Value| Case {
        name: format!("{} {} {}", c["table"], c["prompt"], c["settings"]),
        prompt: tokens(&c["prompt"]),
        settings: resolved(&c["settings"]),
        sequences: lists(&c["sequences"]),
        scores: c["scores"].as_array().map_or(Vec::new(), |s| s.iter().map(|x| x.as_f64().unwrap()).collect()),
    };
    let cases = golden.parts["cases"].as_array().unwrap();
    assert!(cases.len() > 700);
    let of = |name: &String| cases.iter().filter(|c| c["table"] == name.as_str()).map(case).collect();
    golden.tensors.iter().map(|(name, table)| (Table::new(table.clone()), of(name))).collect()
}

#[test]
fn searches_equal_transformers() {
    for (table, cases) in searches() {
        for case in cases {
            case.check(&alone(&table, &case.prompt, 0, &case.settings));
        }
    }
}

#[test]
fn a_batch_is_its_documents_alone() {
    for (table, cases) in searches() {
        let mut groups: BTreeMap<String, Vec<&Case>> = BTreeMap::new();
        for case in &cases {
            groups.entry(format!("{:?}", case.settings)).or_default().push(case);
        }
        for group in groups.values() {
            let prompts: Vec<Vec<u32>> = group.iter().map(|c| c.prompt.clone()).chain([vec![11], vec![8, 3, 12]]).collect();
            let found = run(&table, &prompts, &vec![0; prompts.len()], &group[0].settings);
            group.iter().zip(&found).for_each(|(case, found)| case.check(found));
            for (prompt, found) in prompts.iter().zip(found) {
                assert_eq!(found, alone(&table, prompt, 0, &group[0].settings));
            }
        }
    }
}

#[test]
fn one_beam_is_greedy() {
    for (table, cases) in searches() {
        // these two rules give other results on log-probabilities than on logits
        let same = |g: &Generation| g.repetition_penalty == 1.0 && g.exponential_decay_length_penalty.is_none();
        for case in cases.iter().filter(|c| c.settings.num_beams == 1 && same(&c.settings)) {
            let (state, first) = table.encode(&Source::new(vec![case.prompt.clone()])).unwrap();
            let settings = Generation { early_stopping: effattn::decode::EarlyStopping::True, ..case.settings.clone() };
            let mut beams = beam_search(&table, state, first, vec![case.prompt.clone()], &[0], &settings).unwrap();
            beams.by_ref().for_each(|step| assert!(step.is_ok()));
            assert_eq!(beams.finish()[0][0].tokens, case.sequences[0], "{}", case.name);
        }
    }
}

#[test]
fn drawn_outcomes_are_as_frequent_as_in_transformers() {
    let golden = golden("search.safetensors");
    for case in golden.parts["drawn"].as_array().unwrap() {
        let table = Table::new(golden.tensors[case["table"].as_str().unwrap()].clone());
        let settings = resolved(&case["settings"]);
        let tries = case["tries"].as_u64().unwrap();
        let prompts = vec![tokens(&case["prompt"]); tries as usize];
        let seeds: Vec<u64> = (0..tries).map(|i| seed_of(1, &i.to_string())).collect();
        let mut counts: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for found in run(&table, &prompts, &seeds, &settings) {
            let key = found[0].tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
            counts.entry(key).or_default().0 += 1.0;
        }
        for (key, count) in case["counts"].as_object().unwrap() {
            counts.entry(key.clone()).or_default().1 = count.as_f64().unwrap();
        }
        for (key, (ours, theirs)) in counts {
            // both counts are Poisson-like: their difference has variance of about their sum
            assert!(
                (ours - theirs).abs() <= 5.0 * (ours + theirs).sqrt() + 1.0,
                "{case} {key}: {ours} against {theirs}",
                case = case["settings"]
            );
        }
    }
}

#[test]
fn draws_depend_on_the_seed_alone() {
    let table = searches().remove(0).0;
    let settings = resolved(&json!({"do_sample": true, "max_new_tokens": 12, "num_return_sequences": 3, "eos_token_id": 2}));
    let prompts: Vec<Vec<u32>> = vec![vec![3], vec![4, 7], vec![3]];
    let seeds = [seed_of(7, "a"), seed_of(7, "b"), seed_of(7, "c")];
    let found = run(&table, &prompts, &seeds, &settings);
    assert_eq!(found, run(&table, &prompts, &seeds, &settings));
    for (i, prompt) in prompts.iter().enumerate() {
        assert_eq!(found[i], alone(&table, prompt, seeds[i], &settings));
        assert_eq!(found[i].len(), 3);
    }
    assert_ne!(found[0], found[2], "another seed, another text");
    assert_ne!(found[0][0], found[0][1], "each sequence has its own stream");
    let beams = Generation { num_beams: 3, ..settings };
    assert_eq!(run(&table, &prompts, &seeds, &beams)[1], alone(&table, &prompts[1], seeds[1], &beams));
    // computed apart, so that texts stay the same from version to version
    assert_eq!(seed_of(0, ""), 9313164154874788883);
    assert_eq!(seed_of(42, "news/0017"), 5468474382525514403);
}

#[test]
fn temperature_zero_is_greedy() {
    let table = searches().remove(0).0;
    let file = json!({"do_sample": true, "top_k": 5, "max_new_tokens": 9});
    let zero = Overrides { temperature: Some(0.0), ..Overrides::default() };
    let cold = Generation::resolve(Some(&file), &json!({}), &zero).unwrap();
    let greedy = resolved(&json!({"max_new_tokens": 9}));
    assert_eq!(alone(&table, &[3], 1, &cold), alone(&table, &[3], 2, &greedy));
}

#[test]
fn steps_name_the_rows_that_live() {
    let mut logits = vec![vec![0.0; 4]; 5];
    logits[1][2] = 9.0; // after [1]: the end
    logits[3][1] = 9.0; // after [3]: 1, so (3 + 2·1) mod 5 = 0 follows
    logits[0][3] = 9.0;
    let table = Table::new(logits);
    let settings = resolved(&json!({"eos_token_id": 2, "max_new_tokens": 2}));
    let mut search = start(&table, &[vec![1], vec![3]], &[0, 0], &settings);
    let steps: Vec<_> = search.by_ref().map(|s| s.unwrap().tokens).collect();
    assert_eq!(steps, [vec![(0, Some(2)), (1, Some(1))], vec![(1, Some(3))]]);
    let finish: Vec<_> = search.finish().into_iter().map(|f| f[0].finish).collect();
    assert_eq!(finish, [Finish::Stop, Finish::Length]);
}

#[test]
fn what_is_no_number_is_an_error() {
    for (bad, beams) in [(f32::NAN, 1), (f32::NAN, 2), (f32::INFINITY, 1), (f32::NEG_INFINITY, 3)] {
        let table = Table::new(vec![vec![bad; 6]; 3]);
        let settings = resolved(&json!({"num_beams": beams}));
        let mut search = start(&table, &[vec![1]], &[0], &settings);
        let error = search.next().unwrap().unwrap_err();
        assert_eq!(error.message(), "the model produced a value that is not a number (row 1 of the batch)");
        assert_eq!(error.remedy(), Some("check the weights with `effattn inspect`"));
        assert!(search.next().is_none());
    }
}
