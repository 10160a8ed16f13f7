//! ROUGE against what rouge_score 0.1.2 gives, stored by `fixtures/text/reference.py` and `rouge_average.py`.

use effattn::metric::rouge::{Aggregation, Rouge, RougeOptions, RougeType, Split};
use effattn::metric::{Compare, Metric, Sums};
use serde_json::Value;
use std::fmt::Write;
use std::path::PathBuf;

const TOLERANCE: f64 = 1e-12;

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/text").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn segments() -> Vec<Value> {
    file("segments.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn texts(segment: &Value, refs: usize) -> (&str, Vec<&str>) {
    let references = segment["references"].as_array().unwrap();
    (segment["hypothesis"].as_str().unwrap(), references[..refs].iter().map(|r| r.as_str().unwrap()).collect())
}

fn rouge(types: &[&str], options: RougeOptions) -> Rouge {
    let types = types.iter().map(|name| name.parse().unwrap()).collect();
    Rouge::new(RougeOptions { types, ..options }).unwrap()
}

/// The rows of `segments`, by one counter.
fn rows(rouge: &Rouge, segments: &[&Value], refs: usize) -> Vec<Vec<f64>> {
    let mut counter = rouge.counter();
    let row = |segment: &&Value| {
        let (hypothesis, references) = texts(segment, refs);
        let mut row = vec![f64::NAN; rouge.width()];
        counter.segment(hypothesis, &references, &mut row);
        row
    };
    segments.iter().map(row).collect()
}

fn pair(types: &[&str], use_stemmer: bool, hypothesis: &str, reference: &str) -> Vec<f64> {
    let rouge = rouge(types, RougeOptions { use_stemmer, ..RougeOptions::default() });
    let mut row = vec![f64::NAN; rouge.width()];
    rouge.counter().segment(hypothesis, &[reference], &mut row);
    row
}

/// Compares rows with stored [P, R, F] of each type and gives the first differences.
fn compare(types: &[&str], stored: &Value, segments: &[&Value], rows: &[Vec<f64>]) -> Result<usize, String> {
    let (mut checked, mut failed, mut message) = (0, 0, String::new());
    for (which, name) in types.iter().enumerate() {
        let stored = stored[name].as_array().unwrap();
        assert_eq!(stored.len(), segments.len());
        for ((stored, segment), row) in stored.iter().zip(segments).zip(rows) {
            for (i, measure) in ["precision", "recall", "fmeasure"].iter().enumerate() {
                let (expected, got) = (stored[i].as_f64().unwrap(), row[3 * which + i]);
                checked += 1;
                if (expected - got).abs() <= TOLERANCE {
                    continue;
                }
                failed += 1;
                if failed <= 5 {
                    writeln!(message, "{name} {measure}: expected {expected}, got {got}: {segment}").unwrap();
                }
            }
        }
    }
    if failed == 0 { Ok(checked) } else { Err(format!("{failed} of {checked} differ\n{message}")) }
}

#[test]
fn stored_scores() {
    let all = segments();
    let segments: Vec<&Value> = all.iter().collect();
    let cases: Vec<Value> = serde_json::from_str(&file("expected/rouge.json")).unwrap();
    assert_eq!(cases.len(), 4);
    for case in &cases {
        let stored = &case["sentences"];
        let types: Vec<&str> = stored.as_object().unwrap().keys().map(String::as_str).collect();
        let options = RougeOptions { use_stemmer: case["options"]["use_stemmer"].as_bool().unwrap(), ..RougeOptions::default() };
        let refs = case["refs"].as_u64().unwrap() as usize;
        let rouge = rouge(&types, options);
        let rows = rows(&rouge, &segments, refs);
        let checked = compare(&types, stored, &segments, &rows).unwrap_or_else(|e| panic!("{} refs {refs}: {e}", case["options"]));
        assert_eq!(checked, 3 * types.len() * segments.len());
        means_are_means(&rouge, &rows);
    }
}

/// `values` and `score` are plain means of the rows.
fn means_are_means(rouge: &Rouge, rows: &[Vec<f64>]) {
    let sums: Vec<f64> = (0..rouge.width()).map(|i| rows.iter().map(|row| row[i]).sum()).collect();
    let mut values = vec![0.0; rouge.titles().len()];
    rouge.values(Sums::Double(&sums), rows.len(), &mut values);
    for (which, &value) in values.iter().enumerate() {
        let score = rouge.score(which, &sums, rows.len());
        assert_eq!(score.value, value);
        for (i, (_, field)) in score.fields.iter().enumerate() {
            assert_eq!(field.as_f64().unwrap(), sums[3 * which + i] / rows.len() as f64);
        }
        assert_eq!(value, 100.0 * score.fields[2].1.as_f64().unwrap());
    }
}

#[test]
fn stored_averages_over_references() {
    let stored: Value = serde_json::from_str(&file("expected/rouge_average.json")).unwrap();
    let (all, every) = (segments(), stored["every"].as_u64().unwrap() as usize);
    let segments: Vec<&Value> = all.iter().step_by(every).collect();
    let types: Vec<&str> = stored["sentences"].as_object().unwrap().keys().map(String::as_str).collect();
    let options = RougeOptions { use_stemmer: true, references: Aggregation::Average, ..RougeOptions::default() };
    let rows = rows(&rouge(&types, options), &segments, stored["refs"].as_u64().unwrap() as usize);
    compare(&types, &stored["sentences"], &segments, &rows).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn known_pair() {
    let target = "The quick brown fox jumped over the lazy dogs.\nStemming studies: generalizations, flies and dying skies.";
    let prediction = "A quick brown foxes jumps over lazy dog.\nThe studying of stems generalizes; the flying dies in the sky.";
    // matches, n-grams of the prediction, n-grams of the target
    let expected = [
        ("rouge1", (6.0, 15.0), (19.0, 16.0)),
        ("rouge2", (1.0, 5.0), (18.0, 15.0)),
        ("rouge3", (0.0, 3.0), (17.0, 14.0)),
        ("rougeL", (4.0, 12.0), (19.0, 16.0)),
        ("rougeLsum", (6.0, 14.0), (19.0, 16.0)),
    ];
    for (name, matches, (n, m)) in expected {
        for (stem, h) in [(false, matches.0), (true, matches.1)] {
            let row = pair(&[name], stem, prediction, target);
            let expected = [h / n, h / m, 2.0 * h / (n + m)];
            assert!(row.iter().zip(expected).all(|(got, e)| (got - e).abs() < TOLERANCE), "{name} {stem}: {row:?}, not {expected:?}");
        }
    }
}

/// Published figures: Jaszczur et al. 2021 (arXiv 2111.12763), Table 9.
///
/// The file holds the texts as a text extraction of the paper prints them. Here lines are joined, words broken at the end of a line
/// get their halves back, and what the extraction made of an opening quote (`2̆047`) goes. The stemmer was on, and the
/// figures are cut after two decimals, not rounded.
#[test]
fn published_examples() {
    let examples: Vec<Value> = serde_json::from_str(&file("table9.json")).unwrap();
    assert_eq!(examples.len(), 4);
    let restored = |text: &Value| text.as_str().unwrap().replace("-\n", "").replace('\n', " ").replace("2\u{306}047", "");
    for example in &examples {
        let row = pair(&[example["metric"].as_str().unwrap()], true, &restored(&example["hypothesis"]), &restored(&example["reference"]));
        let cut = (row[2] * 1e4).floor() / 1e2;
        assert_eq!(cut, example["published"].as_f64().unwrap(), "{}", example["id"]);
    }
}

#[test]
fn empty_texts_score_nothing() {
    let types = ["rouge1", "rouge2", "rougeL", "rougeLsum"];
    for (hypothesis, reference) in [("", ""), ("", "a b"), ("a b", ""), ("…\n\n", "\n"), ("北京", "北京")] {
        assert!(pair(&types, true, hypothesis, reference).iter().all(|&x| x == 0.0), "{hypothesis:?} {reference:?}");
    }
}

#[test]
fn each_type_takes_its_best_reference_the_first_of_equals() {
    let rouge = rouge(&["rouge1", "rouge2", "rougeL"], RougeOptions::default());
    let mut row = [0.0; 9];
    // by F: rouge1 prefers the second, rouge2 and rougeL the first
    rouge.counter().segment("a b c d", &["a b x y", "d c b a", "a b y x"], &mut row);
    assert_eq!(row, [1.0, 1.0, 1.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.5, 0.5, 0.5]);
    // equal F, other P and R
    for (references, expected) in [(["a", "a b x y"], [0.5, 1.0]), (["a b x y", "a"], [1.0, 0.5])] {
        rouge.counter().segment("a b", &references, &mut row);
        assert_eq!(row[..2], expected);
    }
}

#[test]
fn sentences_matter_only_to_lsum() {
    let (one, two) = ("be see. All be", "All be. Be see");
    for (split, expected) in [(Split::Newline, 0.5), (Split::Rule, 1.0)] {
        let rouge = rouge(&["rougeL", "rougeLsum"], RougeOptions { split, ..RougeOptions::default() });
        let mut row = [0.0; 6];
        rouge.counter().segment(one, &[two], &mut row);
        assert_eq!((row[2], row[5]), (0.5, expected));
    }
}

#[test]
fn words_of_any_script() {
    let texts = ("北京是首都。Boats", "北京天气 boat Ω");
    for (unicode, expected) in [(false, [1.0, 1.0]), (true, [3.0 / 6.0, 3.0 / 6.0])] {
        let rouge = rouge(&["rouge1"], RougeOptions { unicode, use_stemmer: true, ..RougeOptions::default() });
        let mut row = [0.0; 3];
        rouge.counter().segment(texts.0, &[texts.1], &mut row);
        assert_eq!(row[..2], expected);
    }
}

#[test]
fn long_texts_take_little_time_and_memory() {
    let words = |kept: usize| (0..20_000).map(move |i| if i % kept == 0 { "x".to_owned() } else { format!("w{}", i * i % 7919) });
    let [hypothesis, reference] = [5, 7].map(|kept| words(kept).collect::<Vec<_>>().join(" "));
    let row = pair(&["rougeL", "rougeLsum"], false, &hypothesis, &reference);
    assert!(row[2] >= 1.0 - 1.0 / 5.0 - 1.0 / 7.0, "{row:?}");
    assert_eq!(row[..3], row[3..]); // one line each
}

#[test]
fn scores_say_what_they_are() {
    let options = RougeOptions { use_stemmer: true, split: Split::Rule, references: Aggregation::Average, ..RougeOptions::default() };
    let signature = |rouge: &Rouge, which: usize| {
        rouge.signature(which).iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>().join("|")
    };
    let some = rouge(&["rouge2", "rougeLsum"], options);
    assert_eq!((some.name(), some.titles()), ("ROUGE".to_owned(), vec!["ROUGE-2".to_owned(), "ROUGE-Lsum".to_owned()]));
    assert_eq!(signature(&some, 0), "type:2|stem:yes|tok:google|refs:average|agg:mean");
    assert_eq!(signature(&some, 1), "type:Lsum|stem:yes|tok:google|split:rule|refs:average|agg:mean");
    let plain = Rouge::new(RougeOptions::default()).unwrap();
    assert_eq!(signature(&plain, 3), "type:Lsum|stem:no|tok:google|agg:mean");
    assert_eq!(
        signature(&rouge(&["rougeL"], RougeOptions { unicode: true, ..RougeOptions::default() }), 0),
        "type:L|stem:no|tok:unicode|agg:mean"
    );
    assert!(plain.explain(0).contains("RougeScorer(['rouge1'], use_stemmer=False).score_multi"));
    assert!(plain.explain(2).contains("without regard to sentences"));

    let score = plain.score(0, &[0.824, 0.76, 0.79, 0., 0., 0., 0., 0., 0., 0., 0., 0.], 2);
    assert_eq!(score.verbose, "(P = 41.2 R = 38.0)");
    let names: Vec<&str> = score.fields.iter().map(|(name, _)| *name).collect();
    assert_eq!((score.value, names), (39.5, vec!["precision", "recall", "fmeasure"]));
    assert_eq!(plain.score(0, &[0.0; 12], 0).value, 0.0);
}

#[test]
fn impossible_types_are_refused() {
    for types in [vec![], vec![RougeType::N(0)], vec![RougeType::L, RougeType::N(10)]] {
        let error = Rouge::new(RougeOptions { types, ..RougeOptions::default() }).unwrap_err();
        assert_eq!((error.exit_code(), error.remedy()), (2, Some("the types are `rouge1` to `rouge9`, `rougeL` and `rougeLsum`")));
    }
}
