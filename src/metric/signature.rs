//! Signatures: everything a score depends on, in one line that a paper can print.

use super::Metric;

/// What a score depends on beside the metric's own options.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Setting {
    /// References a segment; `None` where it varies or where there are none.
    pub references: References,
    /// Resamples of the bootstrap, if there was one.
    pub bootstrap: Option<usize>,
    /// Trials of approximate randomisation, if there was one.
    pub randomisation: Option<usize>,
    /// The seed of either.
    pub seed: u64,
}

/// How many references each segment has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum References {
    /// The score needs none.
    #[default]
    None,
    /// As many in every segment.
    Each(usize),
    /// Not the same number everywhere.
    Varying,
}

/// Names and values in sacreBLEU's order: references, resampling, the metric's own, version.
pub fn signature(metric: &dyn Metric, which: usize, setting: &Setting) -> Vec<(&'static str, String)> {
    let mut pairs = Vec::new();
    match setting.references {
        References::None => {}
        _ if !metric.has_references() => {}
        References::Each(n) => pairs.push(("nrefs", n.to_string())),
        References::Varying => pairs.push(("nrefs", "var".to_owned())),
    }
    if let Some(n) = setting.bootstrap {
        pairs.push(("bs", n.to_string()));
    }
    if let Some(n) = setting.randomisation {
        pairs.push(("ar", n.to_string()));
    }
    if setting.bootstrap.or(setting.randomisation).is_some() {
        pairs.push(("seed", setting.seed.to_string()));
    }
    pairs.extend(metric.signature(which));
    pairs.push(("version", concat!("effattn-", env!("CARGO_PKG_VERSION")).to_owned()));
    pairs
}

/// `nrefs:1|case:mixed|…`.
pub fn line(pairs: &[(&'static str, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>().join("|")
}
