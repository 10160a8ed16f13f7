//! Interrupted runs, and going on with them.

use super::reports::GROWTH;
use super::{World, growing};
use crate::command::Exit;

/// Looks at the clock in a run, and in a round of six.
const RUN: u64 = 15;
const ROUND: u64 = 6 * RUN;

const FILE: &str = " -o {dir}/out.jsonl";

/// The file that a run without any interruption leaves.
fn whole() -> String {
    let world = World::new(growing);
    world.run(&format!("{GROWTH}{FILE}")).done();
    without_dir(&world, "out.jsonl")
}

fn without_dir(world: &World, name: &str) -> String {
    world.read(name).replace(&world.dir.path().display().to_string(), "{dir}")
}

/// A world whose run was interrupted at that look at the clock.
fn interrupted(stop: u64) -> World {
    let mut world = World::new(growing);
    world.stop = stop;
    let ran = world.run(&format!("{GROWTH}{FILE}"));
    assert_eq!((ran.exit.unwrap(), ran.out.as_str()), (Exit::Interrupted, ""));
    // not one look more than it takes to end the step
    assert_eq!(ran.looks, stop);
    world.stop = u64::MAX;
    world
}

/// Going on: the clock and the day stand where the run that was cut off began, but for a warm-up of the `open` cases.
fn resumed(world: &mut World, runs: u64, open: u64) {
    world.earlier = ((runs - open) * RUN, (runs - open) as usize);
}

#[test]
fn an_interrupted_run_is_reported_and_resumed() {
    // in the midst of the third run of the second round; in the first round; when two cases are done
    for (runs, done) in [(6 + 6 + 2, 0), (6 + 1, 0), (6 + 12 + 2, 2)] {
        let mut world = interrupted(runs * RUN + 7);
        let report = world.read("out.jsonl");
        let records: Vec<serde_json::Value> = report.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let counts: Vec<u64> = records.iter().map(|r| r["repetitions"].as_u64().unwrap()).collect();
        let expected: Vec<u64> = (0..6).map(|i| (runs - 6) / 6 + u64::from(i < (runs - 6) % 6)).collect();
        assert_eq!(counts, expected);
        assert_eq!(records[5]["avg_ns"].is_null(), counts[5] == 0);
        assert_eq!(world.read("out.jsonl.runs").lines().count() as u64, 1 + runs - 6);
        resumed(&mut world, runs, 6 - done);
        let ran = world.run(&format!("{GROWTH}{FILE} --resume"));
        assert_eq!((ran.exit.unwrap(), ran.looks), (Exit::Success, 4 * ROUND));
        let (mut now, mut then) = (records_of(&without_dir(&world, "out.jsonl")), records_of(&whole()));
        if done == 0 {
            assert_eq!(without_dir(&world, "out.jsonl"), whole());
        }
        // what is still to be run is weighed anew, beside fewer others; what is done keeps its peak
        for record in now.iter_mut().chain(&mut then).flat_map(|r| r.as_object_mut()).filter(|r| r["repetitions"] == 3) {
            let kept = done == 0 || (record["model"] == "led" && record["n_prompt"] != 64);
            record.retain(|key, _| kept || key != "peak_rss_bytes");
        }
        assert_eq!(now, then);
        assert!(!world.path("out.jsonl.runs").exists());
    }
}

fn records_of(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn the_text_of_an_interrupted_run_says_how_many_runs_it_has() {
    let mut world = World::new(growing);
    world.stop = 8 * RUN + 5;
    let ran = world.run(GROWTH);
    assert_eq!(ran.exit.unwrap(), Exit::Interrupted);
    world.same(&ran.out, "interrupted.txt");
}

#[test]
fn before_anything_is_finished_nothing_is_left() {
    for stop in [0, 1, ROUND - 1, ROUND + RUN - 1] {
        let mut world = World::new(growing);
        world.stop = stop;
        let ran = world.run(&format!("{GROWTH}{FILE}"));
        assert_eq!((ran.exit.unwrap(), ran.out.as_str()), (Exit::Interrupted, ""));
        assert!(!world.path("out.jsonl").exists() && !world.path("out.jsonl.runs").exists(), "{stop}");
    }
}

#[test]
fn a_torn_last_line_is_dropped() {
    let runs = 6 + 6 + 2;
    let mut world = interrupted(runs * RUN + 7);
    let journal = world.read("out.jsonl.runs");
    std::fs::write(world.path("out.jsonl.runs"), format!("{journal}{}", &journal.lines().last().unwrap()[..40])).unwrap();
    resumed(&mut world, runs, 6);
    world.run(&format!("{GROWTH}{FILE} --resume")).done();
    assert_eq!(without_dir(&world, "out.jsonl"), whole());
}

#[test]
fn a_last_line_without_its_end_is_run_again() {
    let runs = 6 + 6 + 2;
    let mut world = interrupted(runs * RUN + 7);
    let journal = world.read("out.jsonl.runs");
    std::fs::write(world.path("out.jsonl.runs"), journal.trim_end()).unwrap();
    resumed(&mut world, runs - 1, 6);
    world.run(&format!("{GROWTH}{FILE} --resume")).done();
    assert_eq!(without_dir(&world, "out.jsonl"), whole());
}

#[test]
fn an_empty_journal_is_a_new_one_and_a_damaged_one_is_refused() {
    let mut world = interrupted(8 * RUN);
    let journal = world.read("out.jsonl.runs");
    let lines: Vec<&str> = journal.lines().collect();
    let refused = |text: String| {
        std::fs::write(world.path("out.jsonl.runs"), &text).unwrap();
        let ran = world.run(&format!("{GROWTH}{FILE} --resume"));
        assert_eq!(ran.looks, 0);
        assert_eq!(world.read("out.jsonl.runs"), text);
        ran.exit.unwrap_err().message().rsplit_once("out.jsonl.runs:").unwrap().1.to_owned()
    };
    assert_eq!(refused(lines[1..].join("\n") + "\n"), "1: no settings");
    assert_eq!(refused(format!("{}\n{{\"case\":6}}\n", lines[0])), "2: not a run of this table");
    assert_eq!(refused(format!("{}\nrun\n", lines[0])), "2: not a JSON line");
    std::fs::write(world.path("out.jsonl.runs"), "").unwrap();
    world.earlier = (0, 0);
    world.run(&format!("{GROWTH}{FILE} --resume")).done();
    assert_eq!(without_dir(&world, "out.jsonl"), whole());
}

#[test]
fn other_settings_are_refused_by_name() {
    let mut world = interrupted(8 * RUN + 5);
    let journal = world.read("out.jsonl.runs");
    for (from, to, what) in [
        ("-t 1", "-t 1 --seed 5", "other settings: `seed` was `0`, now it is `5`"),
        ("-p 16,32,64", "-p 16,32", "other cases"),
        ("-n 12", "-n 13", "other cases"),
        ("-t 1", "-t 2", "other cases"),
        (",{dir}/bart", "", "other models"),
        ("-t 1", "-t 1 --no-warmup", "other settings: `warmup` was `true`, now it is `false`"),
        ("-t 1", "-t 1 --take-turns", "other settings: `take-turns` was `false`, now it is `true`"),
        ("-t 1", "-t 1 --delay 0.5", "other settings: `delay` was `0.0`, now it is `0.5`"),
    ] {
        let ran = world.run(&(GROWTH.replace(from, to) + FILE + " --resume"));
        let message = ran.exit.unwrap_err().message().to_owned();
        assert!(message.contains(&format!("was written with {what}")), "{message}");
        assert_eq!((ran.looks, world.read("out.jsonl.runs")), (0, journal.clone()));
    }
    world.cpu = "Other CPU";
    let message = world.run(&format!("{GROWTH}{FILE} --resume")).exit.unwrap_err().message().to_owned();
    assert!(message.ends_with("other settings: `cpu` was `\"Fake CPU @ 3 GHz\"`, now it is `\"Other CPU\"`"), "{message}");
}

#[test]
fn no_run_is_left_out_unasked() {
    let world = interrupted(20 * RUN + 5); // 6 to warm up, then 14: two cases have three
    let journal = world.read("out.jsonl.runs");
    let ran = world.run(&(GROWTH.replace("-r 3", "-r 2") + FILE + " --resume"));
    assert!(ran.exit.unwrap_err().message().ends_with("out.jsonl.runs` has 3 runs of a case, more than the 2 asked for"));
    assert_eq!(world.read("out.jsonl.runs"), journal);
}

#[test]
fn a_journal_is_never_overwritten_unasked() {
    let world = interrupted(8 * RUN + 5);
    let journal = world.read("out.jsonl.runs");
    let ran = world.run(&format!("{GROWTH}{FILE}"));
    assert!(ran.exit.unwrap_err().message().ends_with("out.jsonl.runs` is left from an interrupted run"));
    assert_eq!((ran.looks, world.read("out.jsonl.runs")), (0, journal));
}

/// More runs than before may be asked for; those that there are count.
#[test]
fn going_on_with_more_runs() {
    let mut world = interrupted((6 + 6 + 2) * RUN + 7);
    resumed(&mut world, 6 + 6 + 2, 6);
    let ran = world.run(&format!("{}{FILE} --resume", GROWTH.replace("-r 3", "-r 4")));
    assert_eq!((ran.exit.unwrap(), ran.looks), (Exit::Success, 5 * ROUND));
    assert!(records_of(&world.read("out.jsonl")).iter().all(|r| r["repetitions"] == 4));
}
