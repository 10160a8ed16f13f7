use super::super::expected::{Normal, PLAIN, STUDENT, near, points, rows, same, series};
use super::super::fit::power;
use super::*;

/// Rows whose samples are all equal, one mean a length.
fn still(means: &[f64]) -> Vec<(f64, Vec<f64>)> {
    means.iter().enumerate().map(|(i, m)| (10f64.powi(i as i32), vec![*m; 3])).collect()
}

fn line(factor: f64, exponent: f64, noise: f64, normal: &mut Normal) -> Power {
    let points: Vec<(f64, f64)> =
        (0..6).map(|i| 512.0 * 2f64.powi(i)).map(|x| (x, factor * x.powf(exponent) * (noise * normal.draw()).exp())).collect();
    power(&points).unwrap()
}

#[test]
fn measured_crossings_are_the_references() {
    for row in rows("overtakes") {
        let name = row["name"].as_str().unwrap();
        let flips = overtakes(&series(&row["a"]), &series(&row["b"]));
        let want = row["flips"].as_array().unwrap();
        assert_eq!(flips.len(), want.len(), "{name}");
        for (flip, want) in flips.iter().zip(want) {
            assert_eq!(flip.between, (want["between"][0].as_f64().unwrap(), want["between"][1].as_f64().unwrap()), "{name}");
            assert_eq!(flip.faster_before, want["faster_before"].as_bool().unwrap(), "{name}");
            same(flip.crossing.at, &want["at"], PLAIN, name);
            same(flip.crossing.low, &want["low"], STUDENT, name);
            same(flip.crossing.high, &want["high"], STUDENT, name);
        }
    }
}

#[test]
fn exactly_equal_lengths_count_once_and_only_between_different_winners() {
    let b = still(&[5.0; 5]);
    let found = |means: &[f64]| -> Vec<(f64, f64, f64)> {
        overtakes(&still(means), &b[..means.len()]).iter().map(|f| (f.between.0, f.crossing.at, f.between.1)).collect()
    };
    assert_eq!(found(&[4.0, 5.0, 6.0]), [(1.0, 10.0, 100.0)]);
    assert_eq!(found(&[6.0, 5.0, 6.0]), []);
    assert_eq!(found(&[5.0, 6.0, 7.0]), []);
    assert_eq!(found(&[7.0, 6.0, 5.0]), []);
    assert_eq!(found(&[5.0; 5]), []);
    assert_eq!(found(&[4.0, 5.0, 6.0, 5.0, 4.0]), [(1.0, 10.0, 100.0), (100.0, 1000.0, 10000.0)]);
    // equal from 10 to 1000
    assert_eq!(found(&[4.0, 5.0, 5.0, 5.0, 6.0]), [(1.0, 100.0, 10000.0)]);
}

#[test]
fn an_interval_without_width_is_around_its_estimate_whatever_the_rounding() {
    let around = |c: Crossing| c.low.unwrap() <= c.at && c.at <= c.high.unwrap();
    let normal = &mut Normal::new(2);
    for i in 0..200 {
        let middle = 100.0 + f64::from(i) * 0.7;
        let row = |means: [f64; 3]| [1.0, middle, 1e4].into_iter().zip(means).map(|(x, m)| (x, vec![m; 2])).collect::<Vec<_>>();
        assert!(around(overtakes(&row([1.0, 3.0, 7.0]), &row([3.0; 3]))[0].crossing), "zero at {middle}");
        assert!(around(overtakes(&row([1.0, 2.0, 7.0]), &row([3.0; 3]))[0].crossing), "none at {middle}");
        assert!(around(extrapolated(&line(2.0, 2.0, 0.0, normal), &line(middle, 1.0, 0.0, normal)).unwrap()), "lines, {middle}");
    }
}

#[test]
fn an_interval_reaches_over_all_lengths_that_are_equal() {
    let spread = |d: f64| vec![d - 0.01, d, d + 0.01];
    let a: Vec<_> = [4.0, 5.0, 5.0, 6.0].iter().enumerate().map(|(i, m)| (10f64.powi(i as i32), spread(*m))).collect();
    let b: Vec<_> = a.iter().map(|(x, _)| (*x, spread(5.0))).collect();
    let flips = overtakes(&a, &b);
    let [Flip { crossing: Crossing { low: Some(low), high: Some(high), .. }, faster_before: true, .. }] = flips[..] else {
        panic!("{flips:?}")
    };
    assert!(1.0 < low && low < 10.0 && 100.0 < high && high < 1000.0, "{flips:?}");
}

#[test]
fn lengths_only_one_side_has_are_passed_over() {
    let (mut a, mut b) = (still(&[1.0, 2.0, 9.0, 9.0]), still(&[3.0, 3.0, 3.0, 3.0]));
    a.remove(2);
    b.remove(1);
    let flips = overtakes(&a, &b);
    assert_eq!((flips.len(), flips[0].between), (1, (1.0, 1000.0)));
    assert!(overtakes(&still(&[1.0, -1.0]), &still(&[2.0, 2.0])).is_empty());
    assert!(overtakes(&[(0.0, vec![1.0]), (1.0, vec![3.0])], &[(0.0, vec![2.0]), (1.0, vec![2.0])]).is_empty());
}

#[test]
fn swapping_the_sides_turns_the_winner_and_nothing_else() {
    for row in rows("overtakes") {
        let (a, b) = (series(&row["a"]), series(&row["b"]));
        for (one, other) in overtakes(&a, &b).iter().zip(overtakes(&b, &a)) {
            assert_eq!((one.between, one.faster_before), (other.between, !other.faster_before));
            near(one.crossing.at, other.crossing.at, PLAIN, "at");
            assert_eq!(one.crossing.low.is_some(), other.crossing.low.is_some());
        }
    }
}

#[test]
fn extrapolated_crossings_are_the_references() {
    for row in rows("extrapolated") {
        let name = row["name"].as_str().unwrap();
        let got = extrapolated(&power(&points(&row["a"])).unwrap(), &power(&points(&row["b"])).unwrap());
        same(got.map(|c| c.at), &row["at"], PLAIN, name);
        same(got.and_then(|c| c.low), &row["low"], STUDENT, name);
        same(got.and_then(|c| c.high), &row["high"], STUDENT, name);
    }
}

#[test]
fn exact_laws_cross_where_they_should_and_parallel_ones_nowhere() {
    let normal = &mut Normal::new(1);
    let (dense, window) = (line(2.0, 2.0, 0.0, normal), line(8192.0, 1.0, 0.0, normal));
    let c = extrapolated(&dense, &window).unwrap();
    for x in [c.at, c.low.unwrap(), c.high.unwrap()] {
        near(x, 4096.0, 1e-11, "at");
    }
    assert!(c.low.unwrap() <= c.at && c.at <= c.high.unwrap());
    assert_eq!(extrapolated(&dense, &dense), None);
    let two = |y: f64| power(&[(512.0, y), (1024.0, 2.0 * y)]).unwrap();
    assert_eq!(extrapolated(&two(100.0), &two(300.0)), None);
}

#[test]
fn bounds_fulfil_fiellers_equation_and_a_bound_past_all_numbers_is_none() {
    let normal = &mut Normal::new(7);
    let (a, b) = (line(1.0, 1.9, 0.05, normal), line(3e5, 1.05, 0.2, normal));
    let c = extrapolated(&a, &b).unwrap();
    for x in [c.low.unwrap(), c.high.unwrap()] {
        let u = f64::ln(x);
        let variance = |f: &Power| f.variance.unwrap() * (1.0 / f.n as f64 + (u - f.centre).powi(2) / f.spread);
        let gap = a.ln_factor - b.ln_factor + (a.exponent - b.exponent) * u;
        near(gap.abs(), t_quantile(0.975, 8.0) * (variance(&a) + variance(&b)).sqrt(), 1e-10, "gap");
    }
    assert!(c.low.unwrap() < c.at && c.at < c.high.unwrap());
    // about e^693, and e^709 is the largest number
    let far = extrapolated(&line(1.0, 1.001, 0.0, normal), &line(2.0, 1.0, 1e-4, normal)).unwrap();
    assert!(far.low.is_some() && far.high.is_none(), "{far:?}");
}

#[test]
fn contains_the_true_crossing_about_as_often_as_it_says() {
    let normal = &mut Normal::new(41);
    let trials = 4000;
    let hits = (0..trials)
        .filter(|_| {
            let c = extrapolated(&line(1.0, 2.0, 0.03, normal), &line(30_000.0, 1.0, 0.03, normal)).unwrap();
            c.low.unwrap() <= 30_000.0 && 30_000.0 <= c.high.unwrap()
        })
        .count();
    // 95.0 % in the reference's simulation; three standard errors are 1.0 %
    assert!((0.94..0.96).contains(&(hits as f64 / f64::from(trials))), "{hits}");
}
