//! BLEU against sacreBLEU 2.6.0.

use crate::support::{HYPOTHESES, cases, check, known_references, rows, segments, sum, value};
use effattn::metric::bleu::{Bleu, BleuOptions, Smoothing};
use effattn::metric::tokenize::Tokenizer;
use effattn::metric::{Metric, Sums};
use serde_json::{Value, json};

fn named<T: Copy>(all: &[T], name: fn(T) -> &'static str, wanted: &Value) -> T {
    *all.iter().find(|t| name(**t) == wanted.as_str().expect("a name")).expect("a known name")
}

/// Options as sacreBLEU's class takes them.
fn options(given: &Value) -> BleuOptions {
    let mut options = BleuOptions::default();
    for (name, value) in given.as_object().expect("an object") {
        match name.as_str() {
            "tokenize" => options.tokenizer = named(&Tokenizer::ALL, Tokenizer::name, value),
            "smooth_method" => options.smoothing = named(&Smoothing::ALL, Smoothing::name, value),
            "smooth_value" => options.smooth_value = value.as_f64(),
            "lowercase" => options.lowercase = value == true,
            "effective_order" => options.effective_order = value == true,
            "max_ngram_order" => options.max_order = value.as_u64().expect("an order") as usize,
            other => panic!("no option {other}"),
        }
    }
    options
}

/// The logarithm and the exponential are those of the system: its last digit may be another.
#[track_caller]
fn near(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-12, "{got} instead of {expected}");
}

fn bleu(given: Value) -> Bleu {
    Bleu::new(options(&given)).expect("good options")
}

#[test]
fn equals_sacrebleu_on_every_segment() {
    let segments = segments();
    for case in cases("bleu") {
        let corpus = options(&case["options"]);
        let metric = Bleu::new(corpus.clone()).expect("good options");
        // the smoothing methods with one reference are the cases whose sentences too go without the effective order
        let effective_order = corpus.effective_order || case["options"].get("smooth_method").is_none() || case["refs"] != 1;
        let sentence = Bleu::new(BleuOptions { effective_order, ..corpus }).expect("good options");
        check(&case, &metric, &sentence, &segments, 1e-9);
    }
}

#[test]
fn known_scores_with_all_that_is_printed_beside_them() {
    let plain = bleu(json!({}));
    let rows = rows(&plain, &HYPOTHESES, &known_references());
    let sums = sum(&rows);
    assert_eq!(sums, [33.0, 32.0, 30.0, 19.0, 13.0, 9.0, 33.0, 29.0, 26.0, 23.0]);
    let score = plain.score(0, &sums, 4);
    near(score.value, 58.42677282361581);
    assert_eq!(score.verbose, "90.9/65.5/50.0/39.1 (BP = 1.000 ratio = 1.031 hyp_len = 33 ref_len = 32)");
    let fields: serde_json::Map<String, Value> = score.fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let precisions = [90.9090909090909, 65.51724137931035, 50.0, 39.130434782608695];
    let expected =
        json!({"counts": [30, 19, 13, 9], "totals": [33, 29, 26, 23], "precisions": precisions, "bp": 1.0, "sys_len": 33, "ref_len": 32});
    assert_eq!(Value::Object(fields), expected);

    let sentence = bleu(json!({"effective_order": true}));
    for (row, expected) in rows.iter().zip([48.892302243490086, 100.00000000000004, 46.575793908279884, 100.00000000000004]) {
        near(sentence.score(0, row, 1).value, expected);
    }

    let add_k = bleu(json!({"smooth_method": "add-k"})).score(0, &sums, 4);
    near(add_k.value, 60.154382276814744);
    // the reported counts contain k
    assert_eq!(add_k.fields[0], ("counts", json!([30, 20, 14, 10])));
    assert_eq!(add_k.fields[1], ("totals", json!([33, 30, 27, 24])));

    let lower = bleu(json!({"lowercase": true}));
    let sums = sum(&crate::support::rows(&lower, &HYPOTHESES, &known_references()));
    near(lower.score(0, &sums, 4).value, 60.783720360178634);
    assert_eq!(sums[2..6], [31.0, 20.0, 14.0, 9.0]);
}

#[test]
fn signatures_name_the_value_where_there_is_one() {
    let smooth = |given| bleu(given).signature(0).pop().expect("a part").1;
    assert_eq!(smooth(json!({"smooth_value": 0.5})), "exp");
    assert_eq!(smooth(json!({"smooth_method": "floor"})), "floor[0.10]");
    assert_eq!(smooth(json!({"smooth_method": "add-k"})), "add-k[1.00]");
    assert_eq!(smooth(json!({"smooth_method": "add-k", "smooth_value": 0.625})), "add-k[0.62]");
    assert_eq!(smooth(json!({"smooth_method": "none", "smooth_value": 3})), "none");
    let parts: Vec<&str> = bleu(json!({})).signature(0).iter().map(|p| p.0).collect();
    assert_eq!(parts, ["case", "eff", "tok", "smooth"]);
}

#[test]
fn impossible_options_are_refused() {
    let message = |o| Bleu::new(o).expect_err("refused").message().to_owned();
    for bad in [0, 1001, usize::MAX] {
        let got = message(BleuOptions { max_order: bad, ..Default::default() });
        assert_eq!(got, format!("BLEU needs n-grams up to an order from 1 to 1000, not {bad}"));
    }
    for bad in [-0.5, f64::NAN, f64::INFINITY] {
        let got = message(BleuOptions { smoothing: Smoothing::Floor, smooth_value: Some(bad), ..Default::default() });
        assert_eq!(got, format!("`{bad}` is no value for `floor` smoothing"));
    }
}

#[test]
fn explanations_hold_the_call() {
    let told = bleu(json!({"tokenize": "zh", "smooth_method": "floor", "lowercase": true})).explain(0);
    let call = "`sacrebleu REFERENCE -i HYPOTHESIS -m bleu --tokenize zh --smooth-method floor --smooth-value 0.1 --lowercase`";
    assert!(told.contains(call), "{told}");
    let told = bleu(json!({"effective_order": true, "max_ngram_order": 2})).explain(0);
    let call = "`sacrebleu.BLEU(tokenize=\"13a\", smooth_method=\"exp\", lowercase=False, effective_order=True, max_ngram_order=2)`";
    assert!(told.contains(call), "{told}");
}

/// Sums in single precision, as resampling has them, and what sacreBLEU makes of them with numpy 2.4.
#[test]
fn single_precision_as_numpy() {
    let cases = [
        (json!({}), [142390, 117770, 74367, 3788, 3441, 2888, 142390, 142389, 142384, 142387], 5.108532484925006),
        (json!({}), [2532, 2539, 719, 145, 0, 0, 2532, 2530, 2526, 2523], 0.42151920717321795),
        (json!({}), [2762, 3525, 532, 77, 0, 0, 2762, 2760, 2760, 2753], 0.232617620875631),
        (json!({}), [2425, 3044, 1253, 964, 906, 0, 2425, 2423, 2423, 2419], 4.891149576411965),
        (json!({"smooth_method": "floor"}), [43, 48, 13, 11, 8, 0, 43, 42, 39, 37], 7.246213423640929),
        (json!({"smooth_method": "floor", "smooth_value": 0.3}), [2866, 2029, 1067, 2, 1, 0, 2866, 2865, 2860, 2857], 0.17575579150202109),
        (json!({"smooth_method": "floor", "smooth_value": 0.3}), [44, 33, 20, 0, 0, 0, 44, 41, 38, 38], 2.1337695606010607),
        (json!({"smooth_method": "add-k"}), [2740, 3143, 34, 0, 0, 0, 2740, 2739, 2736, 2731], 0.07615166679290461),
        (json!({"smooth_method": "add-k"}), [69671, 80003, 60922, 50686, 8224, 8033, 69671, 69670, 69669, 69668], 26.30163162982203),
        (json!({"smooth_method": "add-k", "smooth_value": 0.3}), [2706, 2984, 147, 76, 45, 7, 2706, 2703, 2702, 2703], 1.464657819741636),
        (
            json!({"smooth_method": "add-k", "smooth_value": 0.3}),
            [22541, 23673, 19859, 16609, 15984, 4108, 22541, 22540, 22535, 22532],
            51.19241056146901,
        ),
        (json!({"smooth_method": "none"}), [79317, 98668, 11621, 1161, 1042, 1025, 79317, 79314, 79311, 79311], 1.9247134345362993),
        (json!({"smooth_method": "none"}), [166047, 214278, 56972, 25441, 12404, 4559, 166047, 166046, 166043, 166044], 7.621372457507632),
        (json!({"effective_order": true}), [158136, 156342, 62956, 23881, 14041, 0, 158136, 158135, 158132, 158130], 1.1398330016706835),
    ];
    for (options, sums, expected) in cases {
        near(value(&bleu(options), Sums::Single(&sums.map(|s: u32| s as f32))), expected);
    }
}

#[test]
fn degenerate_sums_and_ties_of_rounding() {
    let sums = [
        (
            [16, 32, 3, 1, 5, 1, 16, 16, 32, 32],
            "18.8/6.2/15.6/3.1 (BP = 0.368 ratio = 0.500 hyp_len = 16 ref_len = 32)",
            [3.1995827918019275; 2],
        ),
        ([0; 10], "0.0/0.0/0.0/0.0 (BP = 1.000 ratio = 0.000 hyp_len = 0 ref_len = 0)", [0.0; 2]),
        ([0, 7, 0, 0, 0, 0, 0, 0, 0, 0], "0.0/0.0/0.0/0.0 (BP = 0.000 ratio = 0.000 hyp_len = 0 ref_len = 7)", [0.0; 2]),
        ([7, 0, 0, 0, 0, 0, 7, 6, 5, 4], "0.0/0.0/0.0/0.0 (BP = 1.000 ratio = 0.000 hyp_len = 7 ref_len = 0)", [0.0; 2]),
        // no 4-grams: only the effective order leaves them out
        (
            [3, 3, 3, 2, 1, 0, 3, 2, 1, 0],
            "100.0/100.0/100.0/0.0 (BP = 1.000 ratio = 1.000 hyp_len = 3 ref_len = 3)",
            [0.0, 100.00000000000004],
        ),
    ];
    for (sums, verbose, [plain, effective]) in sums {
        let sums = sums.map(f64::from);
        let score = bleu(json!({})).score(0, &sums, 1);
        assert_eq!(score.verbose, verbose);
        near(score.value, plain);
        near(value(&bleu(json!({"effective_order": true})), Sums::Double(&sums)), effective);
    }
    // without any match, k is not added either
    let score =
        bleu(json!({"smooth_method": "add-k", "smooth_value": 0.5})).score(0, &[3.0, 3.0, 0.0, 0.0, 0.0, 0.0, 3.0, 2.0, 1.0, 0.0], 1);
    assert_eq!((score.value, &score.fields[0].1), (0.0, &json!([0, 0, 0, 0])));
}

#[test]
fn the_closest_reference_gives_the_length() {
    let length = |references: &[&str]| rows(&bleu(json!({})), &["a b c d"], &[references.to_vec()])[0][1];
    assert_eq!(length(&["a b c d e", "a b c"]), 3.0);
    assert_eq!(length(&["a b c", "a b c d e"]), 3.0);
    assert_eq!(length(&["a", "a b c d e f g"]), 1.0);
    assert_eq!(length(&["", "a b c d e f g h i"]), 0.0);
    assert_eq!(length(&["a", "a b c d e"]), 5.0);
}
