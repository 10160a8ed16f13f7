//! What cases are called: by everything, by what varies, by what they share.

use super::case::{Case, Test};
use super::plan::Plan;

impl Plan {
    /// A case in words, with everything that tells it from others.
    pub fn describe(&self, case: &Case) -> String {
        let Case { batch, threads, strategy, .. } = case;
        format!("{} {} b{batch} t{threads} {} {strategy}", self.models[case.model].name, case.test.name(), case.dtype.name())
    }

    /// What cases of one line of growth share, beside the model: all but the length.
    pub fn kin(&self, case: &Case) -> String {
        let kind = match case.test {
            Test::Encoder { depth, new, .. } => format!("enc d{depth} n{new}"),
            Test::Prompt(_) => "pp".to_owned(),
            Test::Generate { new, .. } => format!("tg n{new}"),
        };
        format!("{kind} b{} t{} {} {}", case.batch, case.threads, case.dtype.name(), case.strategy)
    }

    /// Batch, threads, dtype and strategy of a case: those that are not the same in all cases.
    pub fn varied(&self, case: &Case) -> Vec<String> {
        DIMENSIONS.iter().filter(|(_, of)| self.varies(*of)).map(|(name, of)| in_words(name, &of(case))).collect()
    }

    /// Batch, threads, dtype and strategy, in words: those that are the same in all cases.
    pub fn constant(&self) -> Vec<String> {
        let Some(first) = self.cases.first() else { return Vec::new() };
        DIMENSIONS.iter().filter(|(_, of)| !self.varies(*of)).map(|(name, of)| in_words(name, &of(first))).collect()
    }

    /// Whether cases differ in a dimension.
    pub fn varies(&self, of: fn(&Case) -> String) -> bool {
        self.cases.windows(2).any(|w| of(&w[0]) != of(&w[1]))
    }

    /// Model and whatever else tells a line of cases from others, the length left out.
    pub fn line_name(&self, case: &Case) -> String {
        let tests = |c: &Case| match c.test {
            Test::Encoder { depth, new, .. } => format!("n{new} d{depth}"),
            Test::Prompt(_) => "pp".to_owned(),
            Test::Generate { new, .. } => format!("tg{new}"),
        };
        let mut words = vec![self.models[case.model].name.clone()];
        if self.cases.iter().any(|c| tests(c) != tests(case)) {
            words.push(tests(case));
        }
        words.extend(self.varied(case));
        words.join(", ")
    }
}

/// `# threads` and 4: `4 threads`; one of them is no plural.
fn in_words(name: &str, value: &str) -> String {
    let words = name.replace('#', value);
    if value == "1" { words.trim_end_matches('s').to_owned() } else { words }
}

/// The value of a dimension.
type Value = fn(&Case) -> String;

/// How a case is told from others of the same model and test: `#` stands for the value.
pub const DIMENSIONS: [(&str, Value); 4] = [
    ("batch #", |c| c.batch.to_string()),
    ("# threads", |c| c.threads.to_string()),
    ("#", |c| c.dtype.name().to_owned()),
    ("#", |c| c.strategy.to_string()),
];

impl Plan {
    /// What a closing line calls a case: the model where models differ, and whatever else does.
    pub fn title(&self, case: &Case) -> String {
        let mut words = Vec::new();
        let varied = self.varied(case);
        if self.models.len() > 1 || varied.is_empty() {
            words.push(format!("`{}`", self.models[case.model].name));
        }
        match (words.is_empty(), varied.is_empty()) {
            (false, false) => format!("{} with {}", words.concat(), varied.join(", ")),
            (true, _) => varied.join(", "),
            (false, true) => words.concat(),
        }
    }
}
