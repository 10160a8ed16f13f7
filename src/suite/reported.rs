//! What a paper reports: each row belongs to exactly one case, and is compared with a row of another model's.

use super::case::{Facets, dtype_name};
use super::fields::{Entry, Fields};
use super::file::{dtype, index, label, strategy};
use super::text::{all, shown};
use super::{Case, MOST_REPORTED, Quantity, Reported, Statistic, Suite, Unit};
use crate::error::{Error, Result};
use crate::report::grouped;
use std::collections::HashMap;

/// The rows and the suite they belong to.
struct Rows<'s> {
    suite: &'s Suite,
    names: HashMap<&'s str, usize>,
    facets: Vec<Facets>,
}

/// The rows of `[[reported]]`; `suite` has everything else already.
pub(super) fn rows(tables: &[Fields], suite: &Suite) -> Result<Vec<Reported>> {
    if let Some(beyond) = tables.get(MOST_REPORTED) {
        let error = beyond.error(format!("the suite has more than {} rows of `[[reported]]`", grouped(MOST_REPORTED)));
        return Err(error.hint("make two suites"));
    }
    let names = suite.models.iter().enumerate().map(|(i, m)| (m.name.as_str(), i)).collect();
    let all = Rows { suite, names, facets: suite.cases.iter().map(Case::facets).collect() };
    let mut rows: Vec<Reported> = Vec::new();
    let mut found: HashMap<(usize, Quantity), usize> = HashMap::new();
    for fields in tables {
        let row = all.row(fields)?;
        if let Some(first) = found.insert((row.case, row.quantity), rows.len()) {
            let error = fields.error("a second row gives the same of the same case");
            return Err(error.hint(format!("line {} has the first: keep one", rows[first].line)));
        }
        rows.push(row);
    }
    for (at, fields) in tables.iter().enumerate() {
        if let Some(entry) = fields.get("against") {
            rows[at].against = Some(all.against(&entry, &rows[at], &found)?);
        } else if let Some(entry) = fields.get("ratio") {
            // what others are relative to, in a paper that has ratios alone
            if fields.get("figure").is_some() || entry.above_zero()? != 1.0 {
                return Err(entry.error("`ratio` without `against`").hint("name the model that the ratio is relative to with `against`"));
            }
        }
    }
    Ok(rows)
}

impl Rows<'_> {
    /// A row, with `against` left open.
    fn row(&self, fields: &Fields) -> Result<Reported> {
        let model = index(&fields.need("model")?, &self.names)?;
        let figure = match (fields.get("figure"), fields.get("ratio")) {
            (None, Some(_)) => None,
            _ => Some(fields.need("figure")?.above_zero()?),
        };
        let (unit, quantity) = measured(fields, self.suite.protocol.statistic)?;
        let case = self.case(fields, model)?;
        fits(fields, &self.suite.cases[case], quantity)?;
        Ok(Reported {
            case,
            figure,
            unit,
            quantity,
            place: fields.get("where").map(|e| e.string().map(str::to_owned)).transpose()?,
            against: None,
            ratio: fields.get("ratio").map(|e| e.above_zero()).transpose()?,
            line: fields.line(),
        })
    }

    /// The index of the one case that a row's keys fit.
    fn case(&self, fields: &Fields, model: usize) -> Result<usize> {
        let wanted = wanted(fields)?;
        let name = shown(&self.suite.models[model].name);
        let fitting = self.fitting(model, &wanted);
        if let [only] = fitting[..] {
            return Ok(only);
        }
        if fitting.is_empty() {
            let keys = wanted.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", ");
            return Err(fields.error(format!("no case of model {name} has {keys}")).hint(self.remedy(model, &wanted)));
        }
        let values = |at: usize| fitting.iter().map(move |case| &self.facets[*case][at].1);
        let open: Vec<&str> =
            (0..7).filter(|at| values(*at).any(|v| Some(v) != values(*at).next())).map(|at| self.facets[0][at].0).collect();
        let error = fields.error(format!("the row fits {} cases of model {name}", grouped(fitting.len())));
        Err(error.hint(format!("say which one with {}", all(open))))
    }

    /// The cases of a model that have all these values.
    fn fitting(&self, model: usize, wanted: &[(&str, String)]) -> Vec<usize> {
        let has = |case: usize| wanted.iter().all(|w| self.facets[case].contains(w));
        (0..self.suite.cases.len()).filter(|case| self.suite.cases[*case].model == model && has(*case)).collect()
    }

    /// What a row could have said where no case fits it: the values that one key has where all others fit.
    fn remedy(&self, model: usize, wanted: &[(&'static str, String)]) -> String {
        for (skipped, _) in wanted {
            let others: Vec<_> = wanted.iter().filter(|(key, _)| key != skipped).cloned().collect();
            let mut values: Vec<&str> = Vec::new();
            for case in self.fitting(model, &others) {
                let value = self.facets[case].iter().find(|(key, _)| key == skipped).map_or("", |(_, value)| value);
                if !values.contains(&value) {
                    values.push(value);
                }
            }
            if !values.is_empty() {
                return format!("there `{skipped}` is {}", all(values));
            }
        }
        let first = self.fitting(model, &[]).first().map_or(String::new(), |case| label(&self.suite.cases[*case]));
        format!("its first case has {first}")
    }

    /// The index of the row that `row` is compared with.
    fn against(&self, entry: &Entry, row: &Reported, found: &HashMap<(usize, Quantity), usize>) -> Result<usize> {
        let other = index(entry, &self.names)?;
        let name = shown(&self.suite.models[other].name);
        if other == self.suite.cases[row.case].model {
            return Err(entry
                .error(format!("a row of model {name} is `against` itself"))
                .hint("name the model it is compared with, or leave it out"));
        }
        let same = self.fitting(other, &self.facets[row.case]);
        let case = self.label(row.case);
        let Some(same) = same.first() else {
            return Err(entry
                .error(format!("model {name} has no such case to compare with"))
                .hint(format!("add a `[[case]]` of {name} with {case}")));
        };
        found.get(&(*same, row.quantity)).copied().ok_or_else(|| {
            let error = entry.error(format!("no row gives the figure of model {name} for this case"));
            error.hint(format!("add a `[[reported]]` of {name} with {case}, in a unit of the same kind"))
        })
    }

    fn label(&self, case: usize) -> String {
        label(&self.suite.cases[case])
    }
}

/// The keys and values by which a row names its case.
fn wanted(fields: &Fields) -> Result<Vec<(&'static str, String)>> {
    let mut wanted = Vec::new();
    for key in ["n-prompt", "n-gen", "n-depth", "batch-size", "threads"] {
        if let Some(entry) = fields.get(key) {
            wanted.push((key, entry.count()?.to_string()));
        }
    }
    if let Some(entry) = fields.get("dtype") {
        wanted.push(("dtype", dtype_name(dtype(&entry)?)));
    }
    if let Some(entry) = fields.get("strategy") {
        wanted.push(("strategy", strategy(&entry)?.to_string()));
    }
    Ok(wanted)
}

/// The unit of a row, and what it is a figure of.
fn measured(fields: &Fields, statistic: Statistic) -> Result<(Unit, Quantity)> {
    let entry = fields.need("unit")?;
    let unit = entry.choice(&Unit::NAMES)?;
    let of = fields
        .get("of")
        .map(|e| {
            Ok::<_, Error>((e, e.choice(&[("encoder", Quantity::Encoder), ("decoder", Quantity::Decoder), ("prompt", Quantity::Prompt)])?))
        })
        .transpose()?;
    let whole = matches!(unit, Unit::Seconds | Unit::Milliseconds);
    let sum = statistic == Statistic::Sum;
    let quantity = match of {
        Some((of, _)) if unit == Unit::Gigabytes => {
            return Err(of.error("`GB` is of the whole process").hint("leave `of` out"));
        }
        None if unit == Unit::Gigabytes => Quantity::Memory,
        Some((of, Quantity::Prompt)) if !whole => {
            return Err(of.error(format!("a prompt has no figure in `{unit}`")).hint("`unit` is `s` or `ms`, or leave `of` out"));
        }
        Some((_, Quantity::Prompt)) => Quantity::Prompt,
        Some((of, Quantity::Encoder)) if !whole => {
            return Err(of.error(format!("the encoder has no figure in `{unit}`")).hint("`unit` is `s` or `ms`, or leave `of` out"));
        }
        Some((of, Quantity::Decoder)) if whole && !sum => {
            let error = of.error(format!("`{unit}` of the decoder is a sum, and the protocol's `statistic` is `{statistic}`"));
            return Err(error.hint("`statistic = \"sum\"` in `[protocol]`, or a `unit` of a token such as `s/token`"));
        }
        _ if !whole && sum => {
            let error = entry.error(format!("`{unit}` is of one token, and the protocol's `statistic` is `sum`"));
            return Err(error.hint("`unit = \"s\"` with `of = \"decoder\"` is a sum of token times"));
        }
        Some((_, Quantity::Decoder)) if whole => Quantity::Decoder,
        _ if whole => Quantity::Encoder,
        _ => Quantity::Token,
    };
    Ok((unit, quantity))
}

/// Whether the case measures what the row is a figure of.
fn fits(fields: &Fields, case: &Case, quantity: Quantity) -> Result<()> {
    let entry = fields.need("unit")?;
    match (quantity, case.n_gen) {
        (Quantity::Prompt, n) if case.n_prompt == 0 || n > 0 => {
            let error = entry.error("a figure of a prompt, and its case writes tokens or has no prompt");
            Err(error.hint("give it a case with `n-prompt` above 0 and `n-gen = 0`"))
        }
        (Quantity::Encoder, _) if case.n_prompt == 0 => {
            Err(entry.error("a figure of the encoder, and its case has `n-prompt` 0").hint("give a case something to encode"))
        }
        (Quantity::Token | Quantity::Decoder, n @ 0..=1) => {
            let error = entry.error(format!("a figure of token times, and its case has `n-gen` {n}"));
            Err(error.hint("the first token is the time to first token: a case needs two for a token time"))
        }
        _ => Ok(()),
    }
}
