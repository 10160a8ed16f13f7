//! chrF and chrF++ against sacreBLEU 2.6.0.

use crate::support::{HYPOTHESES, cases, check, known_references, rows, segments, sum, value};
use effattn::metric::chrf::{Chrf, ChrfOptions};
use effattn::metric::{Metric, Sums};
use serde_json::{Value, json};

/// Options as sacreBLEU's class takes them.
fn chrf(given: &Value) -> Chrf {
    let mut options = ChrfOptions::default();
    for (name, value) in given.as_object().expect("an object") {
        let number = || value.as_u64().expect("a number");
        match name.as_str() {
            "char_order" => options.char_order = number() as usize,
            "word_order" => options.word_order = number() as usize,
            "beta" => options.beta = number() as u32,
            "lowercase" => options.lowercase = value == true,
            "whitespace" => options.whitespace = value == true,
            "eps_smoothing" => options.eps_smoothing = value == true,
            other => panic!("no option {other}"),
        }
    }
    Chrf::new(options).expect("good options")
}

#[test]
fn equals_sacrebleu_on_every_segment() {
    let segments = segments();
    for case in cases("chrf") {
        let metric = chrf(&case["options"]);
        check(&case, &metric, &metric, &segments, 1e-9);
    }
}

/// Sums in single precision, as resampling has them, and what sacreBLEU makes of them with numpy 2.4.
#[test]
fn single_precision_as_numpy() {
    let cases: [(Value, &[u32], f64); 7] = [
        (
            json!({}),
            &[140311, 147394, 49202, 140309, 147393, 18991, 140307, 147390, 14722, 140308, 147391, 0, 140303, 147390, 0, 140306, 147384, 0],
            9.466711044311523,
        ),
        (json!({}), &[8, 6, 2, 6, 5, 0, 4, 4, 0, 5, 3, 0, 0, 0, 0, 0, 0, 0], 7.8125),
        (json!({}), &[4, 3, 2, 3, 2, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 54.012351989746094),
        (
            json!({"word_order": 2}),
            &[
                2622, 3424, 2284, 2620, 3422, 2160, 2620, 3422, 755, 2619, 3418, 637, 2618, 3420, 551, 2617, 3419, 0, 2610, 3412, 0, 2608,
                3417, 0,
            ],
            24.476497650146484,
        ),
        (
            json!({"eps_smoothing": true}),
            &[82613, 78883, 76191, 82612, 78882, 43344, 82611, 78881, 27107, 82610, 78880, 8617, 82609, 78879, 3646, 82608, 78873, 2973],
            33.88214111328125,
        ),
        (json!({"eps_smoothing": true}), &[3, 3, 2, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 27.77777862548828),
        (
            json!({"eps_smoothing": true, "word_order": 2, "beta": 1}),
            &[
                174456, 236196, 62039, 174454, 236194, 54677, 174454, 236192, 36399, 174453, 236193, 30740, 174452, 236188, 0, 174446,
                236186, 0, 174450, 236184, 0, 174449, 236182, 0,
            ],
            11.192963600158691,
        ),
    ];
    for (options, sums, expected) in cases {
        let sums: Vec<f32> = sums.iter().map(|&s| s as f32).collect();
        assert_eq!(value(&chrf(&options), Sums::Single(&sums)), expected, "{options} {sums:?}");
    }
}

#[test]
fn known_scores() {
    for (options, name, corpus, sentences) in [
        (json!({}), "chrF2", 67.51550316226252, [67.17273492330233, 80.35721361068376, 63.050621049071886, 100.0]),
        (json!({"word_order": 2}), "chrF2++", 68.32150812547422, [69.43695278069349, 82.54944336656274, 62.17075369473655, 100.0]),
    ] {
        let metric = chrf(&options);
        let rows = rows(&metric, &HYPOTHESES, &known_references());
        assert_eq!((metric.name().as_str(), metric.score(0, &sum(&rows), 4).value), (name, corpus));
        let got: Vec<f64> = rows.iter().map(|row| metric.score(0, row, 1).value).collect();
        assert_eq!(got, sentences);
    }
}

#[test]
fn statistics_are_those_of_the_best_reference() {
    let row = |options, hypothesis, references: &[&str]| rows(&chrf(&options), &[hypothesis], &[references.to_vec()])[0].clone();
    let two = || json!({"char_order": 2});
    assert_eq!(row(two(), "abc", &["abd", "dbc"]), [3.0, 3.0, 2.0, 2.0, 2.0, 1.0]);
    // as good as each other: the first
    assert_eq!(row(two(), "abc", &["", "x"]), [0.0; 6]);
    assert_eq!(row(two(), "abc", &["x", ""]), [3.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    // an order that the reference lacks does not count against the hypothesis
    assert_eq!(row(two(), "abc", &["a"]), [3.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    // the words are `ab (x ) y ! .` and `ab x )`
    assert_eq!(row(json!({"char_order": 1, "word_order": 1}), "ab (x) y! .", &["ab x)"]), [8.0, 4.0, 4.0, 6.0, 3.0, 2.0]);
}

#[test]
fn impossible_orders_are_refused() {
    let message = |char_order, word_order| {
        Chrf::new(ChrfOptions { char_order, word_order, ..Default::default() }).expect_err("refused").message().to_owned()
    };
    assert_eq!(message(0, 0), "chrF needs n-grams of characters or of words");
    assert_eq!(message(6, usize::MAX), format!("chrF needs n-grams up to an order of at most 1000, not {}", usize::MAX));
}

#[test]
fn signatures_and_explanations() {
    let metric = chrf(&json!({"word_order": 2, "lowercase": true, "eps_smoothing": true}));
    let signature: Vec<String> = metric.signature(0).into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
    assert_eq!(signature, ["case:lc", "eff:no", "nc:6", "nw:2", "space:no"]);
    let call = "--chrf-char-order 6 --chrf-word-order 2 --chrf-beta 2 --chrf-lowercase --chrf-eps-smoothing`";
    assert!(metric.explain(0).contains(call), "{}", metric.explain(0));
}
