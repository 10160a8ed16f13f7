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

/// Models that do not fit together are in memory one after the other, and then a round is one of one model.
#[test]
fn models_that_do_not_fit_together_take_turns() {
    let mut world = World::new(uneven);
    let words = "-m {dir}/led,{dir}/bart --random-weights -p 16 -n 3 -r 2 -t 1 -f jsonl";
    let together = world.run(words).done();
    let bytes = |l: &str| serde_json::from_str::<serde_json::Value>(l).unwrap()["forecast_bytes"].as_u64().unwrap() as usize;
    world.available = together.lines().map(bytes).max().unwrap();
    let apart = world.run(words).done();
    assert_ne!(together, apart);
    world.same(&apart, "apart.jsonl");
}
