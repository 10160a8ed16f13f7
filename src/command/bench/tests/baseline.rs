//! Against an earlier run.

use super::reports::GROWTH;
use super::{World, growing};
use crate::command::Exit;

/// As `growing`; LED's tokens take 6 % longer at 32 tokens and 30 % at 64, BART's 20 % less at 32.
fn changed(look: u64) -> u64 {
    match ((look + 90 * 8) / 15 % 6, look % 15) {
        (_, 0..2 | 14) => growing(look + 90 * 8),
        (1, _) => growing(look + 90 * 8) * 106 / 100,
        (2, _) => growing(look + 90 * 8) * 130 / 100,
        (4, _) => growing(look + 90 * 8) * 80 / 100,
        _ => growing(look + 90 * 8),
    }
}

/// A world whose `old.jsonl` is of the times of `growing`.
fn world(tick: fn(u64) -> u64) -> World {
    let mut world = World::new(growing);
    world.run(&format!("{GROWTH} -o {{dir}}/old.jsonl")).done();
    world.tick = tick;
    world
}

#[test]
fn slower_faster_and_neither() {
    let world = world(changed);
    let ran = world.run(&format!("{GROWTH} --baseline {{dir}}/old.jsonl --fail-above 3%"));
    assert_eq!(ran.exit.unwrap(), Exit::Gate);
    world.same(&ran.out, "baseline.txt");
    let document = world.run(&format!("{GROWTH} --baseline {{dir}}/old.jsonl --fail-above 3% -f json")).out;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let stored: serde_json::Value = serde_json::from_str(&world.stored("baseline.json")).unwrap();
    assert_eq!(document["baseline"], stored);
}

/// Only what the interval excludes counts: the case that is 6 % slower by its value does not.
#[test]
fn the_interval_decides() {
    let world = world(changed);
    let exit =
        |words: &str| world.run(&format!("{} --baseline {{dir}}/old.jsonl {words}", GROWTH.replace("16,32,64", "16,32"))).exit.unwrap();
    // other cases at other looks: their times are not those of `changed`, but the machine is
    assert_eq!(exit(""), Exit::Success);
    let full = |words: &str| world.run(&format!("{GROWTH} --baseline {{dir}}/old.jsonl {words}")).exit.unwrap();
    assert_eq!((full(""), full("--fail-above 3"), full("--fail-above 60")), (Exit::Success, Exit::Gate, Exit::Success));
    let (value, low) = of_the_slowest(&world);
    let just = |bound: f64| full(&format!("--fail-above {}", (bound - 1.0) * 100.0));
    assert!(value > low + 0.01, "{value} {low}");
    assert_eq!((just(low - 1e-4), just(low + 1e-4), just((value + low) / 2.0)), (Exit::Gate, Exit::Success, Exit::Success));
}

fn of_the_slowest(world: &World) -> (f64, f64) {
    let stored: serde_json::Value = serde_json::from_str(&world.stored("baseline.json")).unwrap();
    let slowest = stored.as_array().unwrap().iter().find(|c| c["tripped"] == true).unwrap();
    (slowest["ratio"].as_f64().unwrap(), slowest["low"].as_f64().unwrap())
}

#[test]
fn one_run_trips_nothing() {
    let world = world(changed);
    let ran = world.run(&format!("{} --baseline {{dir}}/old.jsonl --fail-above 0", GROWTH.replace("-r 3", "-r 1")));
    assert_eq!(ran.exit.unwrap(), Exit::Success);
    world.same(&ran.out, "baseline-once.txt");
}

#[test]
fn what_the_baseline_does_not_know_or_measured_elsewhere() {
    let mut world = world(changed);
    world.cpu = "Other CPU";
    let ran = world.run(&format!("{} --baseline {{dir}}/old.jsonl --fail-above 3%", GROWTH.replace("16,32,64", "16,48")));
    assert_eq!(ran.exit.unwrap(), Exit::Success);
    world.same(&ran.out, "baseline-other.txt");
}

/// Of two records of a case the later one counts, and what failed then is as good as not there.
#[test]
fn later_records_count_and_failed_ones_do_not() {
    let mut world = World::new(growing);
    let printed = |world: &World| {
        let ran = world.run(&format!("{GROWTH} --baseline {{dir}}/old.jsonl --fail-above 3%"));
        assert_eq!(ran.exit.unwrap(), Exit::Gate);
        ran.out
    };
    world.run(&format!("{GROWTH} -o {{dir}}/old.jsonl")).done();
    let old = world.read("old.jsonl");
    let other = old.replace("tpot_samples_ns\":[", "tpot_samples_ns\":[1,");
    let failed = old.replace("\"error\":null", "\"error\":\"no memory\"").replace("tpot_samples_ns\":[", "tpot_samples_ns\":[1,");
    std::fs::write(world.path("old.jsonl"), format!("{other}{old}\n{failed}")).unwrap();
    world.tick = changed;
    world.same(&printed(&world), "baseline.txt");
}

#[test]
fn files_that_are_no_baseline() {
    let world = world(changed);
    let old = world.read("old.jsonl");
    let first = old.lines().next().unwrap();
    let without = first.replace("\"strategy\"", "\"stratagem\"");
    let timeless = first.replace("\"tpot_samples_ns\"", "\"a\"").replace("\"samples_ns\"", "\"b\"");
    for (text, why) in [
        ("", ":1: no records"),
        ("led", ":1: not a JSON line"),
        (&format!("{first}\n\n{}", &first[..90]), ":3: not a JSON line"),
        (&without, ":1: not a record of a case"),
        (&timeless, ":1: no times of runs"),
    ] {
        std::fs::write(world.path("bad.jsonl"), text).unwrap();
        let ran = world.run(&format!("{GROWTH} --baseline {{dir}}/bad.jsonl"));
        let error = ran.exit.unwrap_err();
        assert!(error.message().ends_with(&format!("bad.jsonl{why}")), "{}", error.message());
        assert_eq!(ran.looks, 0);
    }
    assert!(world.run(&format!("{GROWTH} --baseline {{dir}}/none.jsonl")).exit.unwrap_err().message().contains("cannot read"));
}
