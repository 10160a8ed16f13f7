//! Reports with everything in them, byte for byte.

use super::{World, growing, noise, uneven};
use crate::command::Exit;
use serde_json::Value;

pub(super) const GROWTH: &str = "-m {dir}/led,{dir}/bart --random-weights -p 16,32,64 -n 12 -r 3 -t 1";
const COLUMNS: &str = "-m {dir}/gpt2 --random-weights -p 16 -n 9 -d 0,40 -b 1,2 -t 1,2 --strategy greedy,beam3 -r 3";

/// A text with nothing between two marks.
fn without(text: &str, (from, to): (&str, &str)) -> String {
    let (before, rest) = text.split_once(from).unwrap();
    let (_, after) = rest.split_once(to).unwrap();
    format!("{before}{from}{to}{after}")
}

#[test]
fn growth_and_overtaking_in_every_format() {
    let world = World::new(growing);
    for (format, name) in [("text", "report.txt"), ("markdown", "report.md"), ("csv", "report.csv"), ("json", "report.json")] {
        world.same(&world.run(&format!("{GROWTH} -f {format}")).done(), name);
    }
    // in a file the format is that of the name
    assert_eq!(world.run(&format!("{GROWTH} -o {{dir}}/out.jsonl")).done(), "");
    world.same(&world.read("out.jsonl"), "report.jsonl");
    assert!(!world.path("out.jsonl.runs").exists());
    world.same(&world.run(&format!("{GROWTH} -f jsonl --plot {{dir}}/plot.svg --html {{dir}}/page.html")).done(), "report.jsonl");
    world.same(&world.read("plot.svg"), "plot.svg");
    // the style sheet has its own tests, and the plots are those of the other file
    let page = without(&world.read("page.html"), ("<style>", "</style>"));
    assert!(page.contains(world.read("plot.svg").trim_end()));
    world.same(&without(&page, ("<svg", "</svg>")), "page.html");
}

#[test]
fn the_document_holds_what_the_lines_hold() {
    let world = World::new(growing);
    let document: Value = serde_json::from_str(&world.stored("report.json")).unwrap();
    let lines = world.stored("report.jsonl");
    let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(document["results"], Value::from(lines));
    let growth: Value = serde_json::from_str(&world.stored("growth.json")).unwrap();
    for key in ["growth", "overtaking", "baseline"] {
        assert_eq!(document[key], growth[key], "{key}");
    }
}

#[test]
fn pages_and_markdown_hold_the_cells_of_the_text() {
    let world = World::new(growing);
    let (text, markdown, page) = (world.stored("report.txt"), world.stored("report.md"), world.stored("page.html"));
    let bare = |line: &str, marks: &[&str]| {
        let line = marks.iter().fold(line.to_owned(), |l, m| l.replace(m, " "));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let page: String = page.replace("</t", " </t").replace("</p", " </p").replace("&#39;", "'").replace("</h", " </h");
    let page: String = page.split('<').filter_map(|p| p.split_once('>')).map(|(_, text)| text.to_owned() + " ").collect();
    let (page, markdown) = (bare(&page, &[]), bare(&markdown, &["|", "**", "---", "--:", "\n- "]));
    for line in text.lines().map(|l| bare(l, &["─"])).filter(|l| !l.is_empty()) {
        assert!(markdown.contains(&line), "not in the markdown: {line}");
        // the page has the machine in a table of its own
        let line = line.replace('`', "");
        assert!(page.contains(&line) || line.starts_with("Fake CPU"), "not in the page: {line}");
    }
}

#[test]
fn whatever_varies_has_a_column() {
    let world = World::new(|look| match look {
        260..272 | 700..712 => 30 * noise(look),
        _ => uneven(look),
    });
    world.same(&world.run(COLUMNS).done(), "columns.txt");
    world.same(&world.run(&format!("{COLUMNS} -f csv")).done(), "columns.csv");
}

/// As long as the model can, several documents at once, with beams and draws, behind a beginning that is not timed.
#[test]
fn several_rows_up_to_the_last_position() {
    let world = World::new(noise);
    let words = "-m {dir}/led --random-weights -p 200 -n 3 -d 5,61 -b 3 --strategy beam3,sample -r 2 -t 2";
    world.same(&world.run(words).done(), "rows.txt");
    world.same(&world.run(&format!("{words} -f csv")).done(), "rows.csv");
}

/// A prompt's time is that to its first token, and grows as that does, whatever the order of the lengths.
#[test]
fn prompts_grow() {
    let words = "-m {dir}/gpt2 --random-weights -p 64,16,32 -n 0 -r 3 -t 1";
    let world = World::new(uneven);
    world.same(&world.run(words).done(), "prompts.txt");
}

#[test]
fn reading_alone_without_a_warm_up() {
    let world = World::new(|look| match look % 2 {
        0 => [2_000, 4_000, 8_000, 16_000, 100, 400, 1_600, 6_400][(look / 2 % 8) as usize] * noise(look) / 1_000,
        _ => 30_000,
    });
    let words = "-m {dir}/led,{dir}/bart --random-weights -p 8,16,32,64 -n 0 -r 4 --no-warmup -t 1";
    world.same(&world.run(words).done(), "reading.txt");
    world.same(&world.run(&format!("{words} -f jsonl")).done(), "reading.jsonl");
}

#[test]
fn one_run_has_no_interval() {
    let world = World::new(growing);
    let text = world.run(&GROWTH.replace("-r 3", "-r 1").replace("16,32,64", "32,64")).done();
    world.same(&text, "once.txt");
    assert!(!text.contains(" ± 0") && !text.contains("NaN"));
}

#[test]
fn the_time_by_phase() {
    let world = World::new(uneven);
    let words = "-m {dir}/led,{dir}/gpt2 --random-weights -p 9 -n 4 -r 2 --phases -t 1";
    world.same(&world.run(words).done(), "phases.txt");
    world.same(&world.run(&format!("{words} -f jsonl")).done(), "phases.jsonl");
}

/// Figures of a paper by each statistic, the first two tokens after the first left out.
#[test]
fn what_a_paper_reports() {
    for statistic in ["mean", "median", "min", "sum"] {
        let world = World::new(uneven);
        world.wide();
        let suite = if statistic == "sum" { "paper-sum.toml" } else { "paper.toml" };
        world.write("paper.toml", &world.stored(suite).replace("{statistic}", statistic));
        let ran = world.run("--suite {dir}/paper.toml -t 1");
        assert_eq!(ran.exit.unwrap(), Exit::Success);
        world.same(&ran.out, &format!("paper-{statistic}.txt"));
        if statistic == "median" {
            world.same(&world.run("--suite {dir}/paper.toml -t 1 -f jsonl").done(), "paper-median.jsonl");
        }
    }
}
