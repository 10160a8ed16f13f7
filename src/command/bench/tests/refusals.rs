//! Cases that are not run: what a model cannot do, and what does not fit into memory.

use super::{World, noise, uneven};
use crate::command::Exit;

/// 48 layers that nobody could build here.
const BIG: &str =
    r#"{"model_type": "gpt2", "vocab_size": 61, "n_positions": 80, "n_embd": 8192, "n_layer": 48, "n_head": 64, "n_inner": 32768}"#;

fn with_big() -> World {
    let world = World::new(uneven);
    std::fs::create_dir(world.path("big")).unwrap();
    std::fs::write(world.path("big/config.json"), BIG).unwrap();
    world
}

#[test]
fn what_cannot_be_done_is_said_and_the_rest_is_measured() {
    let world = with_big();
    let words = "-m {dir}/gpt2,{dir}/big --random-weights -p 16,100 -n 9 -d 0,72 -r 2 -t 1";
    let ran = world.run(words);
    assert_eq!((ran.exit.unwrap(), ran.loaded), (Exit::SomeFailed, 1));
    world.same(&ran.out, "refused.txt");
    world.same(&world.run(&format!("{words} -f csv")).out, "refused.csv");
}

/// A line of fewer lengths than another is compared where both were measured, and a plot of different lengths says which.
#[test]
fn a_model_that_reaches_less_far() {
    let world = World::new(noise);
    let ran = world.run("-m {dir}/led,{dir}/bart --random-weights -p 64,16,100 -n 9 -r 2 -t 1 --plot {dir}/plot.svg");
    assert_eq!(ran.exit.unwrap(), Exit::SomeFailed);
    world.same(&ran.out, "mixed.txt");
    let svg = world.read("plot.svg");
    for words in ["\nled at 100 tokens\n", "\nbart at 64 tokens\n", "\ntimes of single tokens\n"] {
        assert!(svg.contains(words), "{words}");
    }
}

#[test]
fn where_nothing_can_be_measured_nothing_is_built_or_written() {
    let world = with_big();
    for (words, why) in [
        (
            "-m {dir}/big --random-weights -p 16 -n 0 -t 1 -o {dir}/out",
            "big pp16 b1 t1 f32 greedy: needs about 144 GiB (weights 144 GiB, state and activations",
        ),
        (
            "-m {dir}/gpt2 --random-weights -p 81 -n 0 -t 1 -o {dir}/out",
            "gpt2 pp81 b1 t1 f32 greedy: 81 tokens are more than the 80 that its decoder holds",
        ),
        (
            "-m {dir}/bart --random-weights -p 81 -n 3 -t 1 -o {dir}/out",
            "bart dec3 @ e81 b1 t1 f32 greedy: 81 tokens are more than the 80 that its encoder reads",
        ),
    ] {
        let ran = world.run(words);
        let error = ran.exit.unwrap_err();
        assert!(error.message().starts_with(why), "{}", error.message());
        assert_eq!((ran.out.as_str(), ran.loaded, ran.looks), ("", 0, 0));
        assert!(!world.path("out").exists() && !world.path("out.runs").exists());
    }
}

/// At the limit: as many bytes as the forecast says are enough, one less is not.
#[test]
fn a_forecast_is_held_against_what_is_available() {
    let mut world = World::new(uneven);
    let words = "-m {dir}/bart --random-weights -p 16 -n 3 -r 1 -t 1 -f jsonl";
    let record: serde_json::Value = serde_json::from_str(&world.run(words).done()).unwrap();
    world.available = record["forecast_bytes"].as_u64().unwrap() as usize;
    assert_eq!(world.run(words).loaded, 1);
    world.available -= 1;
    assert_eq!(world.run(words).loaded, 0);
}

const FEW: &str = "-m {dir}/led,{dir}/bart --random-weights -p 16,32 -n 3 -t 1";

/// Models that do not fit together are in memory one at a time, and still all of them run in each round.
#[test]
fn models_that_do_not_fit_together_take_turns() {
    let mut world = World::new(uneven);
    let words = format!("{FEW} -r 2 -f jsonl");
    let together = world.run(&words).done();
    let bytes = |l: &str| serde_json::from_str::<serde_json::Value>(l).unwrap()["forecast_bytes"].as_u64().unwrap() as usize;
    world.available = together.lines().map(bytes).max().unwrap();
    let ran = world.run(&words);
    assert_eq!(ran.loaded, 4, "two models, two rounds");
    let apart = ran.done();
    assert_ne!(together, apart);
    world.same(&apart, "apart.jsonl");
    world.same(&world.run(&format!("{FEW} -r 2")).done(), "apart.txt");
}

#[test]
fn models_take_turns_where_somebody_wants_it() {
    let world = World::new(uneven);
    let ran = world.run(&format!("{FEW} -r 3 --no-warmup --take-turns"));
    assert_eq!(ran.loaded, 6);
    world.same(&ran.done(), "turns.txt");
    // by a suite too; one model has nobody to take turns with
    let model = |name: &str| format!("[[model]]\nname = \"{name}\"\npath = \"{name}\"\nrandom-weights = true\n");
    let suite = |models: &str| {
        world.write("s.toml", &format!("summary = \"s\"\n[protocol]\ntake-turns = true\n{models}[[case]]\nn-prompt = 16\nn-gen = 3\n"));
        let ran = world.run("--suite {dir}/s.toml -t 1 -r 3 -f json");
        (ran.loaded, ran.done().contains("\"take_turns\": true"))
    };
    assert_eq!(suite(&(model("led") + &model("bart"))), (6, true));
    assert_eq!(suite(&model("led")), (1, false));
}

/// What is said before models take turns that nobody asked for.
#[test]
fn taking_turns_is_announced() {
    use crate::cli::{Cli, Command};
    use crate::command::bench::{Plan, forecast::Forecast, turns::Turns};
    use clap::Parser;
    let world = World::new(uneven);
    let words = world.fill(&format!("effattn bench {FEW}"));
    let cli = Cli::try_parse_from(words.split_whitespace()).unwrap();
    let Command::Bench(args) = &cli.command else { panic!("{words}") };
    let plan = Plan::new(args, &cli.common).unwrap();
    assert_eq!((Turns::of(&plan, None), Turns::of(&plan, Some(1 << 30))), (Turns::No, Turns::No));
    let largest = plan.cases.iter().map(|c| Forecast::of(plan.models[c.model].sizes(c.dtype), c).total()).max().unwrap();
    let Turns::Forced { together, available } = Turns::of(&plan, Some(largest)) else { panic!("they fit") };
    assert!(available == largest && together > largest);
    assert_eq!(Turns::of(&plan, Some(together)), Turns::No);
    let note = Turns::of(&plan, Some(together - 1)).note().unwrap();
    let size = crate::report::bytes(together);
    let words = format!("the models together need about {size}, {size} are available: they take turns, loaded anew in each round");
    assert_eq!(note, words);
    // a model that does not fit by itself is refused, and the other has the memory
    assert_eq!(Turns::of(&plan, Some(1)), Turns::No);
}

/// A run that goes on loads only what has something to do.
#[test]
fn turns_go_on_where_they_were_interrupted() {
    let mut world = World::new(uneven);
    let words = format!("{FEW} -r 3 --take-turns -o {{dir}}/out.jsonl");
    // a run looks 6 times: two cases, warmed up and timed, are a turn of 24 looks; here the second model's first counted run is cut off
    world.stop = 24 + 12 + 3;
    assert_eq!(world.run(&words).exit.unwrap(), Exit::Interrupted);
    assert_eq!(world.read("out.jsonl.runs").lines().count(), 1 + 2);
    world.stop = u64::MAX;
    let ran = world.run(&format!("{words} --resume"));
    assert_eq!((ran.loaded, ran.looks), (5, 5 * 24), "the first model has its first runs");
    ran.done();
    let records = world.read("out.jsonl");
    assert!(records.lines().all(|l| l.contains("\"repetitions\":3")), "{records}");
}
