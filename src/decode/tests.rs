//! Where settings come from, and which are refused.

use super::{Generation, Overrides};
use crate::error::Error;
use serde_json::{Value, json};

fn resolved(settings: &Value) -> Generation {
    Generation::resolve(Some(settings), &json!({}), &Overrides::default()).unwrap()
}

fn refused(file: Value, overrides: Overrides) -> Error {
    Generation::resolve(Some(&file), &json!({}), &overrides).unwrap_err()
}

#[test]
fn impossible_settings_are_refused() {
    let with = |change: fn(&mut Overrides)| {
        let mut overrides = Overrides::default();
        change(&mut overrides);
        refused(json!({}), overrides)
    };
    let usage = [
        with(|o| o.num_beams = Some(0)),
        with(|o| o.temperature = Some(-0.5)),
        with(|o| o.temperature = Some(f64::NAN)),
        with(|o| o.top_p = Some(0.0)),
        with(|o| o.top_p = Some(1.5)),
        with(|o| o.top_p = Some(f64::NAN)),
        with(|o| o.min_p = Some(-0.1)),
        with(|o| o.repetition_penalty = Some(0.0)),
        with(|o| o.length_penalty = Some(f64::INFINITY)),
        with(|o| o.max_new_tokens = Some(0)),
        with(|o| o.max_length = Some(0)),
        with(|o| (o.min_length, o.max_length) = (Some(9), Some(8))),
        with(|o| (o.min_new_tokens, o.max_new_tokens) = (Some(9), Some(8))),
        with(|o| o.num_return_sequences = Some(0)),
        with(|o| o.num_return_sequences = Some(2)),
        with(|o| (o.num_return_sequences, o.num_beams) = (Some(3), Some(2))),
        refused(json!({"forced_eos_token_id": 2, "suppress_tokens": [2]}), Overrides::default()),
    ];
    usage.iter().for_each(|error| assert_eq!(error.exit_code(), 2, "{error}"));
}

/// A value of a file is mended there, or overruled; one of the command line is nobody else's.
#[test]
fn impossible_settings_of_a_file_name_it() {
    let said = |file: Value, overrides: Overrides| {
        let e = refused(file, overrides);
        format!("{} | {}", e.message(), e.remedy().unwrap_or_default())
    };
    let none = Overrides::default;
    let place = "`generation_config.json`: ";
    for (file, wanted) in [
        (json!({"num_beams": 0}), "`num_beams` must lie between 1 and 65536, not 0 | mend it in the file, or say it with `--num-beams`"),
        (json!({"typical_p": 2}), "`typical_p` must lie in (0, 1], not 2 | mend it in the file, or remove it there"),
        (
            json!({"max_length": u64::MAX}),
            "`max_length` is 18446744073709551615, more than 2147483648 tokens: is it mistyped? | mend it in the file, or say it with `--max-length`",
        ),
        (json!({"max_new_tokens": 1u64 << 62}), "`max_new_tokens` is 4611686018427387904, more than"),
        (json!({"min_new_tokens": 1u64 << 62}), "`min_new_tokens` is 4611686018427387904, more than"),
        (
            json!({"min_length": 9, "max_length": 8}),
            "`min_length` 9 is greater than `max_length` 8 | lower `--min-length` or raise `--max-length`; or mend it in the file",
        ),
        (json!({"top_k": "x"}), "`top_k` must be a whole number from 0 on, not `\"x\"` | mend it in the file, or remove it there"),
    ] {
        let said = said(file, none());
        assert!(said.starts_with(&format!("{place}{wanted}")), "{said}");
    }
    let beams = Overrides { num_beams: Some(2), ..none() };
    assert_eq!(Generation::resolve(Some(&json!({"num_beams": 0})), &json!({}), &beams).unwrap().num_beams, 2);
    let long = || Overrides { max_new_tokens: Some(usize::MAX), ..none() };
    assert!(said(json!({"max_new_tokens": 3}), long()).starts_with("`max_new_tokens` is 18446744073709551615, more than"));
    // what is overruled does not matter
    let short = Overrides { max_new_tokens: Some(5), ..none() };
    assert!(Generation::resolve(Some(&json!({"max_length": u64::MAX})), &json!({}), &short).is_ok());
    assert_eq!(refused(json!({}), long()).exit_code(), 2);
}

#[test]
fn what_is_not_implemented_is_named() {
    let key = |file: Value| refused(file, Overrides::default()).message().to_string();
    let message = "`generation_config.json`: `num_beam_groups` = `2` changes the output and is not implemented";
    assert_eq!(key(json!({"num_beam_groups": 2})), message);
    for (name, value) in [("penalty_alpha", json!(0.6)), ("guidance_scale", json!(1.5)), ("stop_strings", json!(["x"]))] {
        assert!(key(json!({name: value})).contains(name));
    }
    assert_eq!(key(json!({"top_p": "x"})), "`generation_config.json`: `top_p` must be a number, not `\"x\"`");
    let neutral = json!({"num_beam_groups": 1, "penalty_alpha": null, "guidance_scale": 1.0, "use_cache": true, "odd": 3});
    assert_eq!(resolved(&neutral).notes, ["`generation_config.json`: unknown keys without effect: `odd`"]);
}

#[test]
fn settings_come_from_one_file_and_the_command_line() {
    let config = json!({"model_type": "bart", "num_beams": 4, "max_length": 142, "bos_token_id": 0, "eos_token_id": 2,
        "force_bos_token_to_be_generated": true, "task_specific_params": {"summarization": {"num_beams": 8}}});
    let none = Overrides::default();
    let g = Generation::resolve(None, &config, &none).unwrap();
    assert_eq!((g.num_beams, g.max_length, g.forced_bos, g.eos.as_slice()), (4, 142, Some(0), &[2][..]));
    assert!(g.notes.is_empty());
    let g = Generation::resolve(Some(&json!({"max_new_tokens": 30, "top_k": null, "early_stopping": "never"})), &config, &none).unwrap();
    assert_eq!((g.num_beams, g.max_new_tokens, g.top_k), (1, Some(30), 50));
    let mine = Overrides { max_length: Some(12), top_k: Some(3), ..none };
    let g = Generation::resolve(Some(&json!({"max_new_tokens": 30})), &config, &mine).unwrap();
    assert_eq!((g.max_new_tokens, g.max_length), (None, 12));
    assert_eq!(g.notes, ["no effect without `--do-sample`: `--top-k`"]);
    assert_eq!(g.describe(), "num_beams=1 do_sample=false max_length=12");
}

#[test]
fn lengths_are_counted_by_row() {
    let default = Generation::default();
    assert_eq!(default.lengths(5, None).unwrap().max, 25);
    assert_eq!(default.lengths(5, Some(16)).unwrap().max, 16);
    let new = Generation { max_new_tokens: Some(9), min_new_tokens: Some(3), ..Generation::default() };
    let lengths = new.lengths(4, Some(10)).unwrap();
    assert_eq!((lengths.min, lengths.max), (7, 11)); // the last token is never read
    let error = Generation { default_length: false, ..Generation::default() }.lengths(20, None).unwrap_err();
    assert_eq!(error.message(), "a prompt of 20 tokens leaves no room for new ones: at most 20 in all");
}
