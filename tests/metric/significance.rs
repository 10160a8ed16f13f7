//! Random numbers against numpy's, intervals and p-values against sacreBLEU's.

use crate::support::{cases, close, rows, segments};
use effattn::metric::bleu::{Bleu, BleuOptions};
use effattn::metric::chrf::{Chrf, ChrfOptions};
use effattn::metric::resample::numpy::{Coins, Generator};
use effattn::metric::resample::{Counted, Interval, Mean, bootstrap, bootstrap_p_value, interval, randomisation};
use effattn::metric::rouge::{Rouge, RougeOptions, RougeType};
use effattn::metric::ter::{Ter, TerOptions};
use effattn::metric::{Compare, Metric};
use serde_json::Value;

#[test]
fn draws_are_numpys() {
    for case in cases("numpy") {
        let seed: u64 = case["seed"].as_str().unwrap().parse().unwrap();
        let raw: Vec<String> = case["raw"].as_array().unwrap().iter().map(|x| x.as_str().unwrap().to_owned()).collect();
        let mut coins = Coins::new(seed, 0);
        for word in &raw {
            let word: u64 = word.parse().unwrap();
            let bits = (0..64).fold(0, |bits, i| bits | u64::from(coins.flip()) << i);
            assert_eq!(bits, word, "seed {seed}: raw words, bit by bit");
        }
        for (n, picks) in case["choice"].as_object().unwrap() {
            let mut generator = Generator::new(seed);
            let n: u64 = n.parse().unwrap();
            for (i, pick) in picks.as_array().unwrap().iter().enumerate() {
                assert_eq!(generator.below(n), pick.as_u64().unwrap(), "seed {seed}, {i}th of {n}");
            }
        }
        let mut coins = Coins::new(seed, 0);
        for (i, coin) in case["coins"].as_array().unwrap().iter().enumerate() {
            assert_eq!(u64::from(coins.flip()), coin.as_u64().unwrap(), "seed {seed}, coin {i}");
        }
        let mut generator = Generator::new(seed);
        let sum: u64 = (0..500).map(|_| generator.below((1 << 31) + 1)).sum();
        assert_eq!(sum, case["hard_sum"].as_u64().unwrap(), "seed {seed}: draws that are often rejected");
    }
}

/// Rows of each system by `metric`, the baseline first.
fn systems(metric: &dyn Compare, cases: &[Value]) -> Vec<(String, Vec<f64>)> {
    let all = segments();
    let ids: Vec<&str> = cases[0]["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let references: Vec<Vec<&str>> = ids.iter().map(|id| vec![all.iter().find(|s| s.id == *id).unwrap().references[0].as_str()]).collect();
    let systems = cases[0]["systems"].as_object().unwrap();
    systems
        .iter()
        .map(|(name, texts)| {
            let texts: Vec<&str> = texts.as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
            (name.clone(), rows(metric, &texts, &references).concat())
        })
        .collect()
}

/// [score, p, μ, ±, low, mid, high] as far as the test gives them.
fn found(metric: &dyn Metric, systems: &[(String, Vec<f64>)], case: &Value) -> Vec<Vec<Vec<Option<f64>>>> {
    let (trials, seed) = (case["trials"].as_u64().unwrap() as usize, case["seed"].as_u64().unwrap());
    let counted: Vec<Counted> = systems.iter().map(|(_, rows)| Counted { metric, rows }).collect();
    let score = |c: &Counted, which| metric.score(which, &effattn::metric::sums(c.rows, metric.width()), c.segments()).value;
    let resampled = (case["test"] == "bs").then(|| bootstrap(&counted, trials, Generator::new(seed)));
    let of = |which: usize| -> Vec<Vec<Option<f64>>> {
        let one = |(s, c): (usize, &Counted)| {
            let gap = (score(&counted[0], which) - score(c, which)).abs();
            let (p, interval) = match &resampled {
                Some(r) => (bootstrap_p_value(metric, &r[0][which], &r[s][which], gap), interval(metric, &r[s][which], Mean::Numpy)),
                None => (randomisation(&counted[0], c, trials, seed)[which], None),
            };
            let Interval { mean, half_width, quantiles: [low, mid, high] } =
                interval.unwrap_or(Interval { mean: f64::NAN, half_width: f64::NAN, quantiles: [f64::NAN; 3] });
            let spread = [mean, half_width, low, mid, high].map(|x| Some(x).filter(|x| !x.is_nan()));
            [Some(score(c, which)), Some(p).filter(|_| s > 0)].into_iter().chain(spread).collect()
        };
        counted.iter().enumerate().map(one).collect()
    };
    (0..metric.titles().len()).map(of).collect()
}

fn check(label: &str, got: &[Vec<Option<f64>>], want: &Value, tolerance: f64) {
    for (system, (got, want)) in got.iter().zip(want.as_array().unwrap()).enumerate() {
        for (i, want) in want.as_array().unwrap().iter().enumerate() {
            match (got[i], want.as_f64()) {
                (Some(got), Some(want)) => {
                    assert!(close(got, want, tolerance), "{label}, system {system}, number {i}: {got} and not {want}")
                }
                (got, want) => assert!(want.is_none(), "{label}, system {system}, number {i}: {got:?} and not {want:?}"),
            }
        }
    }
}

#[test]
fn intervals_and_p_values_are_sacrebleus() {
    let cases = cases("significance");
    let metrics: [(&str, Box<dyn Compare>); 3] = [
        ("BLEU", Box::new(Bleu::new(BleuOptions::default()).unwrap())),
        ("chrF2", Box::new(Chrf::new(ChrfOptions::default()).unwrap())),
        ("TER", Box::new(Ter::new(TerOptions::default()))),
    ];
    for (title, metric) in &metrics {
        let systems = systems(metric.as_ref(), &cases);
        for case in cases.iter().filter(|c| c.get("signatures").is_some() && c.get("confidence").is_none()) {
            let label = format!("{title}, {} with seed {}", case["test"], case["seed"]);
            check(&label, &found(metric.as_ref(), &systems, case)[0], &case["results"][*title], 1e-9);
        }
    }
}

#[test]
fn rouge_is_resampled_by_the_same_rules() {
    let cases = cases("significance");
    let types = vec![RougeType::N(1), RougeType::N(2), RougeType::L];
    let rouge = Rouge::new(RougeOptions { types, use_stemmer: true, ..RougeOptions::default() }).unwrap();
    let systems = systems(&rouge, &cases);
    for case in cases.iter().filter(|c| c["metric"] == "rouge") {
        let found = found(&rouge, &systems, case);
        for (name, found) in ["rouge1", "rouge2", "rougeL"].iter().zip(found) {
            check(&format!("{name}, {} with seed {}", case["test"], case["seed"]), &found, &case["results"][*name], 1e-9);
        }
    }
}

/// A system against itself, and against one that differs in a single segment: what chance gives is never more than what is observed.
#[test]
fn equal_differences_do_not_exceed_each_other() {
    let all = segments();
    let plain: Vec<_> = all.iter().filter(|s| s.kind == "ordinary").take(250).collect();
    let references: Vec<Vec<&str>> = plain.iter().map(|s| vec![s.references[0].as_str()]).collect();
    let hypotheses: Vec<&str> = plain.iter().map(|s| s.hypothesis.as_str()).collect();
    let mut changed = hypotheses.clone();
    changed[7] = "no boats";
    let metrics: [Box<dyn Compare>; 4] = [
        Box::new(Bleu::new(BleuOptions::default()).unwrap()),
        Box::new(Chrf::new(ChrfOptions::default()).unwrap()),
        Box::new(Ter::new(TerOptions::default())),
        Box::new(Rouge::new(RougeOptions::default()).unwrap()),
    ];
    for metric in &metrics {
        let [a, b] = [&hypotheses, &changed].map(|texts| rows(metric.as_ref(), texts, &references).concat());
        let metric: &dyn Metric = metric.as_ref();
        let [a, b] = [&a, &b].map(|rows| Counted { metric, rows });
        let least = 1.0 / 201.0;
        let same = bootstrap(&[a, a], 200, Generator::new(1));
        // sacreBLEU gives the least p-value too: it counts what is above the observed difference, and nothing is above 0
        assert_eq!(bootstrap_p_value(metric, &same[0][0], &same[1][0], 0.0), least, "{}", metric.name());
        assert!(randomisation(&a, &a, 200, 1).iter().all(|p| *p == least), "{}", metric.name());
        if metric.name() == "ROUGE" {
            // the mean changes by the same amount whichever way the coins fall, but for the last bits of the sums
            assert!(randomisation(&a, &b, 200, 1).iter().all(|p| *p == least), "{}", metric.name());
        }
    }
}
