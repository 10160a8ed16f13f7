//! Where an axis is labelled, and how.

use super::chart::{Axis, Scale, Unit};
use super::{fixed, grouped};

/// A place on an axis with its label.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// The place.
    pub value: f64,
    /// What stands there.
    pub label: String,
}

/// At most `most` places between `low` and `high`: powers of two or 1-2-5 on a logarithmic axis, equal steps on a linear one and where a
/// logarithmic one is too short for factors. There may be none.
pub fn ticks(axis: &Axis, low: f64, high: f64, most: usize) -> Vec<Tick> {
    if axis.scale == Scale::Log {
        let values = match axis.unit {
            Unit::Count | Unit::Bytes => powers(low, high, most),
            Unit::Milliseconds | Unit::Share => decades(low, high, most),
        };
        if values.len() > 1 {
            return at(axis.unit, &values);
        }
    }
    steps(axis.unit, low, high, most)
}

/// These places, each labelled in the unit that suits it.
pub fn at(unit: Unit, values: &[f64]) -> Vec<Tick> {
    values.iter().map(|&value| Tick { value, label: name(unit, value) }).collect()
}

/// Powers of two, each second, each fifth, …
fn powers(low: f64, high: f64, most: usize) -> Vec<f64> {
    let (first, last) = (low.log2(), high.log2());
    for every in [1, 2, 5, 10, 20, 50, 100] {
        let found: Vec<f64> = multiples(first, last, f64::from(every)).take(most + 1).map(f64::exp2).collect();
        if found.len() <= most {
            return found;
        }
    }
    Vec::new()
}

/// 1-2-5, the decades only, each second decade, …
fn decades(low: f64, high: f64, most: usize) -> Vec<f64> {
    let whole = |every: i32| multiples(low.log10(), high.log10(), f64::from(every)).map(|e| scaled(1.0, e as i32)).collect::<Vec<_>>();
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let all = (first..=last).flat_map(|e| [1.0, 2.0, 5.0].map(|m| scaled(m, e))).filter(|v| (low..=high).contains(v)).collect::<Vec<_>>();
    let mut choices = std::iter::once(all).chain([1, 2, 5, 10, 20].map(whole));
    choices.find(|c| c.len() <= most).unwrap_or_default()
}

/// Equal steps of 1, 2 or 5 (bytes: a power of two).
fn steps(unit: Unit, low: f64, high: f64, most: usize) -> Vec<Tick> {
    let Some(step) = nice_steps(unit, high - low).find(|s| multiples(low, high, *s).take(most + 1).count() <= most) else {
        return Vec::new();
    };
    let (divisor, suffix) = common(unit, high.abs().max(low.abs()), step);
    // a step of 1/8 needs more digits than its size tells
    let whole = |x: f64| (x - x.round()).abs() < 1e-6;
    let digits = (0..9).find(|d| whole(step / divisor * scaled(1.0, *d))).unwrap_or(9) as usize;
    let label = |v: f64| match v == 0.0 {
        true => format!("0{suffix}"),
        false => thousands(&fixed(v / divisor, digits)) + suffix,
    };
    multiples(low, high, step).map(|value| Tick { value, label: label(value) }).collect()
}

/// Steps from too small to too large for this width.
fn nice_steps(unit: Unit, width: f64) -> Box<dyn Iterator<Item = f64>> {
    let floor = if unit == Unit::Count { 1.0 } else { 0.0 };
    if unit == Unit::Bytes {
        let first = (width.log2().floor() as i32 - 8).max(0);
        return Box::new((first..first + 16).map(|e| f64::from(e).exp2()));
    }
    let first = width.log10().floor() as i32 - 2;
    Box::new((first..first + 5).flat_map(|e| [1.0, 2.0, 5.0].map(|m| scaled(m, e))).filter(move |s| *s >= floor))
}

/// The multiples of `step` from `low` to `high`, a breath beyond them counted in.
fn multiples(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    // adding zero turns a negative zero into a plain one
    std::iter::successors(Some(first), |n| Some(n + 1.0)).take_while(move |n| *n <= last).map(move |n| n * step + 0.0)
}

/// m · 10^e, as exact as it can be written.
fn scaled(m: f64, e: i32) -> f64 {
    if e < 0 { m / 10f64.powi(-e) } else { m * 10f64.powi(e) }
}

const KIB: f64 = 1024.0;
const SIZES: [(f64, &str); 5] =
    [(KIB * KIB * KIB * KIB, " TiB"), (KIB * KIB * KIB, " GiB"), (KIB * KIB, " MiB"), (KIB, " KiB"), (1.0, " B")];
const TIMES: [(f64, &str); 3] = [(1000.0, " s"), (0.1, " ms"), (0.0, " µs")];

/// The unit for a value of this size: what it is divided by, and its name.
fn suited(unit: Unit, size: f64) -> (f64, &'static str) {
    match unit {
        Unit::Count => (1.0, ""),
        Unit::Share => (0.01, " %"),
        Unit::Bytes => SIZES.into_iter().find(|(least, _)| size >= *least).unwrap_or((1.0, " B")),
        Unit::Milliseconds => match TIMES.iter().find(|(least, _)| size >= *least).map_or(" µs", |(_, name)| name) {
            " s" => (1000.0, " s"),
            " ms" => (1.0, " ms"),
            name => (0.001, name),
        },
    }
}

/// One unit for a whole axis: that of its largest value, or the next smaller one if the steps were hard to read in it.
fn common(unit: Unit, size: f64, step: f64) -> (f64, &'static str) {
    if unit != Unit::Bytes {
        return suited(unit, size);
    }
    let readable = SIZES.into_iter().find(|(least, _)| size >= *least && step / least >= 0.125);
    readable.unwrap_or((1.0, " B"))
}

/// A single value in the unit that suits it.
fn name(unit: Unit, value: f64) -> String {
    let (divisor, suffix) = suited(unit, value.abs());
    let text = fixed(value / divisor, 3);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "0" && value != 0.0 {
        return format!("{:e}{suffix}", value / divisor);
    }
    thousands(text) + suffix
}

/// Groups the digits before the point.
fn thousands(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |r| ("−", r));
    let (whole, after) = rest.find('.').map_or((rest, ""), |i| rest.split_at(i));
    format!("{sign}{}{after}", whole.parse().map_or(whole.to_owned(), grouped))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(unit: Unit, scale: Scale, low: f64, high: f64, most: usize) -> Vec<String> {
        let found = ticks(&Axis::new("", unit, scale), low, high, most);
        assert!(found.len() <= most && found.iter().all(|t| t.value >= low - 1e-6 && t.value <= high + 1e-6), "{found:?}");
        found.into_iter().map(|t| t.label).collect()
    }

    #[test]
    fn powers_of_two_for_tokens_and_bytes() {
        let count = |low, high, most| labels(Unit::Count, Scale::Log, low, high, most);
        assert_eq!(count(512.0, 16384.0, 8), ["512", "1,024", "2,048", "4,096", "8,192", "16,384"]);
        assert_eq!(count(100.0, 20000.0, 4), ["256", "1,024", "4,096", "16,384"]);
        let bytes = |low, high| labels(Unit::Bytes, Scale::Log, low, high, 6);
        assert_eq!(bytes(6e7, 6e8), ["64 MiB", "128 MiB", "256 MiB", "512 MiB"]);
        assert_eq!(bytes(1e6, 2e9), ["1 MiB", "4 MiB", "16 MiB", "64 MiB", "256 MiB", "1 GiB"]);
        assert_eq!(bytes(2000.0, 2e9), ["32 KiB", "1 MiB", "32 MiB", "1 GiB"]);
        assert_eq!(bytes(1.0, 2e12), ["1 B", "1 KiB", "1 MiB", "1 GiB", "1 TiB"]);
    }

    #[test]
    fn one_two_five_for_times() {
        let ms = |low, high, most| labels(Unit::Milliseconds, Scale::Log, low, high, most);
        assert_eq!(ms(0.4, 25.0, 6), ["0.5 ms", "1 ms", "2 ms", "5 ms", "10 ms", "20 ms"]);
        assert_eq!(ms(90.0, 6000.0, 6), ["100 ms", "200 ms", "500 ms", "1 s", "2 s", "5 s"]);
        assert_eq!(ms(0.009, 2e5, 7), ["10 µs", "1 ms", "100 ms", "10 s"]);
        assert_eq!(ms(3.05, 3.95, 6), ["3.2 ms", "3.4 ms", "3.6 ms", "3.8 ms"]);
        assert_eq!(labels(Unit::Share, Scale::Log, 0.001, 1.0, 6), ["0.1 %", "1 %", "10 %", "100 %"]);
    }

    #[test]
    fn equal_steps() {
        let linear = |unit, low, high| labels(unit, Scale::Linear, low, high, 6);
        assert_eq!(linear(Unit::Share, 0.0, 1.0), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]);
        assert_eq!(linear(Unit::Milliseconds, 0.0, 1.3), ["0 ms", "0.5 ms", "1.0 ms"]);
        assert_eq!(linear(Unit::Milliseconds, 0.0, 2600.0), ["0 s", "0.5 s", "1.0 s", "1.5 s", "2.0 s", "2.5 s"]);
        assert_eq!(linear(Unit::Milliseconds, -20.0, 20.0), ["−20 ms", "−10 ms", "0 ms", "10 ms", "20 ms"]);
        assert_eq!(linear(Unit::Milliseconds, 0.0, 0.05), ["0 µs", "10 µs", "20 µs", "30 µs", "40 µs", "50 µs"]);
        assert_eq!(linear(Unit::Count, 0.0, 3.0), ["0", "1", "2", "3"]);
        assert_eq!(linear(Unit::Count, 0.0, 1.2), ["0", "1"]);
        assert_eq!(linear(Unit::Count, 0.0, 1e6), ["0", "200,000", "400,000", "600,000", "800,000", "1,000,000"]);
        assert_eq!(linear(Unit::Bytes, 0.0, 1.2e9), ["0 GiB", "0.25 GiB", "0.50 GiB", "0.75 GiB", "1.00 GiB"]);
        assert_eq!(linear(Unit::Bytes, 3.0e9, 3.006e9), ["2,862 MiB", "2,863 MiB", "2,864 MiB", "2,865 MiB", "2,866 MiB"]);
    }

    #[test]
    fn measured_places_are_named_one_by_one() {
        let names = |unit, values: &[f64]| at(unit, values).into_iter().map(|t| t.label).collect::<Vec<_>>();
        assert_eq!(names(Unit::Count, &[1.0, 512.0, 16384.0, 1234567.0]), ["1", "512", "16,384", "1,234,567"]);
        assert_eq!(names(Unit::Milliseconds, &[0.05, 0.5, 20.0, 3000.0, 1250.0]), ["50 µs", "0.5 ms", "20 ms", "3 s", "1.25 s"]);
        assert_eq!(names(Unit::Milliseconds, &[1e-9]), ["1e-6 µs"]);
    }
}
