//! Windows, a model whose memory has no end, and sums.

use super::windows::{Window, rolling, sliding};
use super::*;
use crate::error::Result;
use crate::kernel::tensor;
use crate::memory::{Memory, State};
use crate::metric::{Metric, sums};
use crate::model::{Info, Model, Source};
use candle_core::Tensor;
use std::ops::RangeInclusive;

/// The prefix token of the harness's tests.
const PREFIX: i64 = -100;

/// What a window reads and predicts where the token behind the prefix is 0, the next 1, and so on.
fn pair(w: &Window) -> (Vec<i64>, Vec<i64>) {
    let token = |i: usize| if i == 0 { PREFIX } else { i as i64 - 1 };
    (w.inputs().map(token).collect(), w.targets.clone().map(token).collect())
}

fn check_rolling(n: usize, max_seq_len: usize, context_len: usize, want: &[(Vec<i64>, Vec<i64>)]) {
    let got: Vec<_> = rolling(n, max_seq_len, context_len).expect("possible windows").iter().map(pair).collect();
    assert_eq!(got, want, "{n} tokens, windows of {max_seq_len}, context {context_len}");
}

fn span(range: RangeInclusive<i64>) -> Vec<i64> {
    range.collect()
}

/// The examples of lm-evaluation-harness:tests/test_utils.py, as inputs and targets of each window.
#[test]
fn rolling_windows_of_the_harness() {
    let first = ([vec![PREFIX], span(0..=8)].concat(), span(0..=9));
    let (second, third) = ((span(9..=18), span(10..=19)), (span(19..=28), span(20..=29)));
    let three = [first.clone(), second, third];
    check_rolling(30, 10, 1, &three);
    check_rolling(34, 10, 1, &[&three[..], &[(span(23..=32), span(30..=33))]].concat());
    let by_threes = (10..=31).step_by(3).map(|t| (span(t - 8..=t + 1), span(t..=t + 2)));
    check_rolling(34, 10, 8, &std::iter::once(first.clone()).chain(by_threes).collect::<Vec<_>>());
    for n in [30, 34] {
        let one_by_one = (10..n).map(|t| (span(t - 10..=t - 1), vec![t]));
        check_rolling(n as usize, 10, 10, &std::iter::once(first.clone()).chain(one_by_one).collect::<Vec<_>>());
    }
    let of_two = [(-100, 0), (1, 2), (3, 4), (5, 6)].map(|(a, b)| (vec![a, b], vec![b, b + 1]));
    check_rolling(9, 2, 1, &[&of_two[..], &[(vec![6, 7], vec![8])]].concat());
    check_rolling(0, 2, 1, &[]);
}

/// As `make_disjoint_window` of the same file takes the targets out of the inputs.
#[test]
fn the_context_of_a_window_ends_before_its_targets() {
    for (targets, context) in [(2..7, 1..2), (4..7, 1..4), (6..7, 1..6)] {
        let window = Window { begin: 1, targets };
        assert_eq!((window.inputs(), window.context()), (1..6, context));
    }
}

#[test]
fn sliding_windows_predict_what_those_before_did_not_reach() {
    let windows = |n, context, stride| -> Vec<_> {
        sliding(n, context, stride).expect("possible windows").into_iter().map(|w| (w.begin, w.targets)).collect()
    };
    assert_eq!(windows(10, 4, 2), [(0, 1..4), (2, 4..6), (4, 6..8), (6, 8..10)]);
    assert_eq!(windows(9, 4, 4), [(0, 1..4), (4, 5..8), (8, 9..9)]);
    assert_eq!(windows(6, 4, 3), [(0, 1..4), (3, 4..6)]);
    assert_eq!(windows(4, 4, 1), [(0, 1..4)]);
    assert_eq!(windows(3, usize::MAX, usize::MAX), [(0, 1..3)]);
    assert_eq!(windows(5, 3, 1), [(0, 1..3), (1, 3..4), (2, 4..5)]);
    assert_eq!(windows(0, 4, 2), []);
    assert!([(1, 1), (4, 0), (4, 5)].iter().all(|&(context, stride)| sliding(9, context, stride).is_err()));
    assert!([(4, 0), (4, 5), (0, 0)].iter().all(|&(length, context)| rolling(9, length, context).is_err()));
}

/// A model without limit: its logits follow from a hash of all that it has read.
struct Endless(Info);

#[derive(Clone)]
struct Hash(u64);

impl Memory for Hash {
    fn select(&mut self, _rows: &[usize]) -> Result<()> {
        Ok(())
    }

    fn join(&mut self, _others: Vec<Self>) -> Result<()> {
        Ok(())
    }

    fn bytes(&self) -> usize {
        8
    }
}

const V: usize = 7;

impl Endless {
    fn new() -> Self {
        Self(Info {
            model_type: "endless",
            encoder_decoder: false,
            vocab_size: V,
            max_source: None,
            max_target: None,
            attention: String::new(),
            default_global: None,
            layers: (0, 1),
            prompt_start: None,
            reads_only: None,
        })
    }

    fn read(token: u32, state: &mut State) -> Vec<f32> {
        state.seen[0] += 1;
        let hash: &mut Hash = state.layers[0].as_any_mut().downcast_mut().expect("its own memory");
        hash.0 = (hash.0 ^ u64::from(token + 1)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
        (0..V).map(|i| (hash.0 >> (8 * i) & 0xFF) as f32 / 32.0).collect()
    }
}

impl Model for Endless {
    fn info(&self) -> &Info {
        &self.0
    }

    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)> {
        let mut state = State { seen: vec![0], layers: vec![Box::new(Hash(1))], probe: source.probe.clone() };
        let (last, before) = source.rows[0].split_last().expect("a prompt has tokens");
        before.iter().for_each(|&t| drop(Self::read(t, &mut state)));
        Ok((state, vec![*last]))
    }

    fn state_bytes(&self, _source: usize, _target: usize) -> usize {
        8
    }

    fn step_bytes(&self) -> usize {
        0
    }

    fn encode_bytes(&self, _: usize) -> usize {
        0
    }

    fn score(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let logits: Vec<f32> = tokens[0].iter().flat_map(|&t| Self::read(t, state)).collect();
        tensor(logits, (1, tokens[0].len(), V))
    }
}

fn text(n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| (i * i + i / 3) % V as u32).collect()
}

#[test]
fn memory_is_carried_through_segments_of_any_length() {
    let model = Endless::new();
    let tokens = text(1100);
    for begin in [Begin::None, Begin::First(3)] {
        let score = |policy, context| score_text(&model, &tokens, &Options { policy, context, begin }).expect("the text is scored");
        let carried = score(None, None);
        assert_eq!(carried.nll.len() + carried.unscored, 1100);
        assert_eq!((carried.unscored, carried.hf), (usize::from(begin == Begin::None), None));
        for segment in [1, 7, 512, 1099, 5000] {
            assert_eq!(score(None, Some(segment)), carried, "segments of {segment}");
        }
        // one window over all is the same; windows that forget are not
        let window = |context| score(Some(Policy::Sliding { stride: Some(context) }), Some(context)).nll;
        assert_eq!(window(2000), carried.nll);
        assert_ne!(window(1000), carried.nll);
    }
}

#[test]
fn plans_follow_from_the_model() {
    let mut info = Endless::new().0;
    let plan = |info: &Info, policy, context| Options { policy, context, begin: Begin::First(0) }.plan(info).expect("a possible plan");
    assert_eq!(plan(&info, None, None), Plan::Carried { segment: 512 });
    assert_eq!(plan(&info, Some(Policy::Rolling), None), Plan::Rolling { context: 512 });
    info.max_source = Some(1024);
    assert_eq!(plan(&info, None, None), Plan::Sliding { context: 1024, stride: 512 });
    assert_eq!(plan(&info, None, Some(3)), Plan::Sliding { context: 3, stride: 1 });
    assert_eq!(plan(&info, Some(Policy::Rolling), None), Plan::Rolling { context: 1024 });
    assert_eq!(plan(&info, Some(Policy::Carried), None), Plan::Carried { segment: 512 });
}

#[test]
fn losses_are_exact_in_f64() {
    // exponentials of the first row overflow; 1 + e^-20 of the third is 1 in f32
    let logits = vec![1000.0, 1000.0, 1000.0, 0.0, -200.0, f32::NEG_INFINITY, 0.0, -20.0, f32::NEG_INFINITY];
    let got = loss::losses(&tensor(logits, (1, 3, 3)).expect("a tensor"), &[1, 1, 0]).expect("numbers");
    assert_eq!(got[..2], [3f64.ln(), 200.0]);
    assert!((got[2] - (-20f64).exp()).abs() < 1e-15, "{}", got[2]);
    for row in [[f32::NAN, 0.0, 0.0], [f32::INFINITY, 0.0, 0.0], [f32::NEG_INFINITY; 3]] {
        let error = loss::losses(&tensor(row.to_vec(), (1, 1, 3)).expect("a tensor"), &[1]).unwrap_err();
        assert_eq!(error.message(), "the logits for token 1 are not numbers");
    }
}

fn sliding_ppl(hf_weighting: bool) -> Ppl {
    Ppl::new("m".into(), Condition::Before(Plan::Sliding { context: 8, stride: 4 }, Begin::None), Unit::File, hf_weighting)
        .expect("they go together")
}

/// An empty line counts as a document of one word; nothing at all is an error.
#[test]
fn sums_of_documents_not_means_of_means() {
    let metric = sliding_ppl(false);
    let nll = |nll: &[f64]| Losses { nll: nll.to_vec(), unscored: 1, unknown: 2, hf: None };
    let empty = metric.row(&Losses::default(), "");
    assert_eq!((empty, empty[0].is_sign_positive()), ([0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], true));
    assert!(metric.check(&empty).unwrap_err().message().starts_with("no token was predicted"));
    let one = metric.row(&nll(&[3.0]), "été");
    assert_eq!(one[..4], [3.0, 1.0, 1.0, 5.0]);
    let field = |rows: &[f64], key: &str| {
        let score = metric.score(0, &sums(rows, metric.width()), rows.len() / metric.width());
        score.fields.into_iter().find(|f| f.0 == key).expect("a field").1.as_f64()
    };
    assert_eq!(field(&one, "standard_error"), None);
    let rows = [empty, one, metric.row(&nll(&[1.0, 2.5]), "a b ")].concat();
    metric.check(&rows).expect("tokens");
    let mean: f64 = 6.5 / 3.0;
    let variance = [3.0, 1.0, 2.5].iter().map(|x: &f64| (x - mean).powi(2)).sum::<f64>() / 2.0;
    let want = mean.exp() * (variance / 3.0).sqrt();
    assert!((field(&rows, "standard_error").expect("three tokens") / want - 1.0).abs() < 1e-14);
    assert_eq!(field(&rows, "token_perplexity"), Some(mean.exp()));
    assert_eq!(field(&rows, "word_perplexity"), Some((6.5f64 / 5.0).exp()));
    assert_eq!(field(&rows, "bits_per_byte"), Some(6.5 / 9.0 / 2f64.ln()));
    assert_eq!(field(&rows, "unpredicted_tokens"), Some(2.0));
    assert_eq!(field(&rows, "unknown_tokens"), Some(4.0));
    // eq. 5: 2 to the power of the cross-entropy in bits is the perplexity
    let bits = field(&rows, "bits_per_token").expect("three tokens");
    assert!((bits.exp2() / mean.exp() - 1.0).abs() < 1e-14 && (bits * 2f64.ln() - mean).abs() < 1e-14);
}

#[test]
fn weighted_sums_add_up_and_belong_to_sliding_windows() {
    let metric = sliding_ppl(true);
    let one = |nll, tokens| metric.row(&Losses { nll: vec![1.0], hf: Some(HfWeighted { nll, tokens }), ..Losses::default() }, "");
    let rows = [one(4.0, 1.0), one(5.0, 2.0)].concat();
    assert_eq!(metric.score(0, &sums(&rows, metric.width()), 2).value, 3f64.exp());
    assert!(metric.check(&one(0.0, 0.0)).is_err());
    for condition in [
        Condition::Source,
        Condition::Before(Plan::Rolling { context: 8 }, Begin::First(0)),
        Condition::Before(Plan::Sliding { context: 8, stride: 8 }, Begin::First(0)),
    ] {
        assert!(Ppl::new("m".into(), condition, Unit::File, true).is_err());
    }
}
